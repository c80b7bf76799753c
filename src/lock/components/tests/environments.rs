//! Environments to try: platforms times Pythons.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

/// `sys_platform`, `platform_system`, `os_name`, `platform_machine`, `platform_release`.
const PLATFORMS: [[&str; 5]; 6] = [
    ["linux", "Linux", "posix", "x86_64", ""],
    ["linux", "Linux", "posix", "aarch64", "6.1.0-rpi7"],
    ["darwin", "Darwin", "posix", "arm64", "23.1.0"],
    ["darwin", "Darwin", "posix", "x86_64", "22.0.0"],
    ["win32", "Windows", "nt", "AMD64", "10"],
    ["freebsd14", "FreeBSD", "posix", "amd64", "14.0-RELEASE"],
];

const PYTHONS: [(&str, &str); 4] =
    [("3.10", "3.10.13"), ("3.11", "3.11.7"), ("3.12", "3.12.1"), ("3.13", "3.13.0")];

/// The environment of a platform and a Python.
fn environment(platform: [&str; 5], python: (&str, &str), pypy: bool) -> MarkerEnvironment {
    let [sys_platform, platform_system, os_name, platform_machine, platform_release] = platform;
    let implementation = if pypy { ("pypy", "PyPy", "7.3.17") } else { ("cpython", "CPython", python.1) };
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: implementation.0,
        implementation_version: implementation.2,
        os_name,
        platform_machine,
        platform_python_implementation: implementation.1,
        platform_release,
        platform_system,
        platform_version: "",
        python_full_version: python.1,
        python_version: python.0,
        sys_platform,
    })
    .unwrap()
}

/// All of them, and PyPy once.
pub fn environments() -> Vec<MarkerEnvironment> {
    let all =
        PLATFORMS.iter().flat_map(|platform| PYTHONS.map(|python| environment(*platform, python, false)));
    all.chain([environment(PLATFORMS[0], PYTHONS[0], true)]).collect()
}

/// Linux on amd64 with a Python, such as `3.12`.
pub fn linux(python: &str) -> MarkerEnvironment {
    environment(PLATFORMS[0], python_named(python), false)
}

/// Windows on amd64 with a Python.
pub fn windows(python: &str) -> MarkerEnvironment {
    environment(PLATFORMS[4], python_named(python), false)
}

fn python_named(python: &str) -> (&'static str, &'static str) {
    *PYTHONS.iter().find(|(minor, _)| *minor == python).unwrap()
}

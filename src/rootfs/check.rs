//! Whether wheels can be built in a root file system: looks at its files and runs nothing of them. Knows nothing of
//! how its findings are shown.

use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use serde::Serialize;

use super::error::RootfsError;
use super::inside::Inside;
use super::platform::RootfsPlatform;
use crate::finding::{Finding, FindingStatus};
use crate::platform::{Arch, Libc};

/// All that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct RootfsCheck {
    /// The root file system.
    pub root: PathBuf,
    /// As platform properties (REAPI), each with its value.
    pub properties: Vec<(String, String)>,
    pub findings: Vec<Finding>,
}

impl RootfsCheck {
    /// Whether pure wheels can be built.
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.status != FindingStatus::Broken)
    }
}

/// How this host runs programs of an architecture, in plain words; or why it cannot, and what mends that.
pub type HostSupport<'a> = &'a dyn Fn(Arch) -> Result<String, (String, String)>;

/// Looks at the root file system `root`.
///
/// # Errors
/// If it is no directory that can be read.
pub fn check(root: &Path, host: HostSupport<'_>) -> Result<RootfsCheck, RootfsError> {
    let failed = |error| RootfsError::io("look at", root)(error);
    let inside = Inside::open(root).map_err(failed)?;
    let platform = RootfsPlatform::of(root, &[]).map_err(failed)?;
    let mut findings = vec![architecture(&platform), emulation(&platform, host), libc(&platform)];
    findings.extend(python(&inside, &platform));
    findings.extend([c_compiler(&inside, &platform), cplusplus(&inside, &platform), shell(&inside)]);
    findings.extend([mount_points(&inside), access(&inside, &platform)]);
    Ok(RootfsCheck { root: root.to_owned(), properties: platform.properties(), findings })
}

const AGAIN: &str = "make it again: crosswheel rootfs create --force DIR";

fn architecture(platform: &RootfsPlatform) -> Finding {
    match platform.arch {
        Some(arch) => Finding::works("architecture", arch.property()),
        None => Finding::broken(
            "architecture",
            "there is no program (/bin/sh, /usr/bin/env, /bin/busybox, /bin/bash) for amd64 or arm64",
            AGAIN,
        ),
    }
}

fn emulation(platform: &RootfsPlatform, host: HostSupport<'_>) -> Finding {
    let subject = "on this host";
    let Some(arch) = platform.arch else {
        return Finding::limited(subject, "unknown, like the architecture", AGAIN);
    };
    match host(arch) {
        Ok(how) => Finding::works(subject, how),
        // It may have been made for another host.
        Err((problem, mend)) => Finding::limited(subject, problem, mend),
    }
}

fn libc(platform: &RootfsPlatform) -> Finding {
    match platform.libc {
        Some(Libc::Musl) => Finding::limited(
            "C library",
            "musl; crosswheel builds wheels with compiled code for glibc",
            "use a root with glibc, such as Debian's",
        ),
        Some(libc) => Finding::works("C library", libc.to_string()),
        None => Finding::broken("C library", "neither glibc nor musl; no Python can start", AGAIN),
    }
}

/// Where a Python may be installed, as prefixes.
const PREFIXES: [&str; 2] = ["usr", "usr/local"];

fn python(inside: &Inside, platform: &RootfsPlatform) -> Vec<Finding> {
    let mend = "apt's packages: --include python3";
    if platform.python_minors.is_empty() {
        return vec![Finding::broken("Python", "there is no python3.X in /usr/bin or /usr/local/bin", mend)];
    }
    let exists = |path: &dyn Fn(&str, u8) -> String, minor: u8| {
        PREFIXES.iter().any(|prefix| inside.has_file(Path::new(&path(prefix, minor))))
    };
    let library = |prefix: &str, minor: u8| format!("{prefix}/lib/python3.{minor}/os.py");
    let header = |prefix: &str, minor: u8| format!("{prefix}/include/python3.{minor}/Python.h");
    let distutils = |prefix: &str, minor: u8| format!("{prefix}/lib/python3.{minor}/distutils/core.py");
    let usable: Vec<u8> =
        platform.python_minors.iter().copied().filter(|minor| exists(&library, *minor)).collect();
    let names =
        |minors: &[u8]| minors.iter().map(|minor| format!("3.{minor}")).collect::<Vec<_>>().join(", ");
    if usable.is_empty() {
        let found = format!("{}, without a standard library", names(&platform.python_minors));
        return vec![Finding::broken("Python", found, mend)];
    }
    let mut findings = vec![Finding::works("Python", names(&usable))];
    let missing = |path: &dyn Fn(&str, u8) -> String, minors: &[u8]| -> Vec<u8> {
        minors.iter().copied().filter(|minor| !exists(path, *minor)).collect()
    };
    let old: Vec<u8> = usable.iter().copied().filter(|minor| *minor < 12).collect();
    let without = missing(&distutils, &old);
    if !without.is_empty() {
        findings.push(Finding::limited(
            "distutils",
            format!("missing for {}; old setup.py files import it", names(&without)),
            "apt's packages: python3-distutils",
        ));
    }
    let without = missing(&header, &usable);
    findings.push(if without.is_empty() {
        Finding::works("Python.h", format!("for {}", names(&usable)))
    } else {
        Finding::limited(
            "Python.h",
            format!("missing for {}; no extension can be compiled for it", names(&without)),
            "apt's packages: libpython3-dev",
        )
    });
    findings
}

fn c_compiler(inside: &Inside, platform: &RootfsPlatform) -> Finding {
    let machine = platform.arch.map_or("", Arch::machine);
    let names = ["cc", "gcc", "clang", &format!("{machine}-linux-gnu-gcc")];
    let limited = |found: String| {
        Finding::limited(
            "C compiler",
            format!("{found}; only pure wheels can be built, unless a cross compiler is used"),
            "apt's packages: gcc libc6-dev",
        )
    };
    let Some(compiler) = program(inside, &names) else {
        return limited("there is none of cc, gcc and clang".to_owned());
    };
    let library_directories =
        [format!("usr/lib/{machine}-linux-gnu"), "usr/lib64".to_owned(), "usr/lib".to_owned()];
    let start =
        library_directories.iter().any(|directory| inside.has_file(&Path::new(directory).join("crt1.o")));
    let needs = [
        ("as", program(inside, &["as", &format!("{machine}-linux-gnu-as")]).is_some()),
        ("ld", program(inside, &["ld", &format!("{machine}-linux-gnu-ld")]).is_some()),
        ("crt1.o", start),
        ("stdio.h", inside.has_file(Path::new("usr/include/stdio.h"))),
    ];
    let missing: Vec<_> = needs.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        Finding::works("C compiler", compiler)
    } else {
        limited(format!("{compiler}, which needs {}", missing.join(", ")))
    }
}

fn cplusplus(inside: &Inside, platform: &RootfsPlatform) -> Finding {
    let own = format!("{}-linux-gnu-g++", platform.arch.map_or("", Arch::machine));
    match program(inside, &["c++", "g++", "clang++", &own]) {
        Some(compiler) => Finding::works("C++ compiler", compiler),
        None => {
            Finding::limited("C++ compiler", "there is none of c++, g++ and clang++", "apt's packages: g++")
        }
    }
}

/// The first of these programs that is there.
fn program(inside: &Inside, names: &[&str]) -> Option<String> {
    let directories = ["usr/local/bin", "usr/bin", "bin"];
    let candidates = names.iter().flat_map(|name| directories.map(|directory| format!("{directory}/{name}")));
    let executable = |path: &String| {
        inside.has_file(Path::new(path))
            && inside.stat(Path::new(path)).is_some_and(|stat| stat.st_mode & Mode::XOTH.as_raw_mode() != 0)
    };
    candidates.into_iter().find(executable).map(|path| format!("/{path}"))
}

fn shell(inside: &Inside) -> Finding {
    if inside.has_file(Path::new("bin/sh")) {
        return Finding::works("shell", "/bin/sh");
    }
    Finding::limited(
        "shell",
        "there is no /bin/sh; compilers and configure scripts are often started by one",
        "apt's packages: dash",
    )
}

fn mount_points(inside: &Inside) -> Finding {
    let points = ["proc", "dev", "sys", "tmp", "run", "var/tmp"];
    let missing: Vec<_> =
        points.into_iter().filter(|point| !inside.has_directory(Path::new(point))).collect();
    if missing.is_empty() {
        return Finding::works("mount points", "/proc, /dev, /sys, /tmp, /run and /var/tmp");
    }
    let missing: Vec<_> = missing.iter().map(|point| format!("/{point}")).collect();
    let commands: Vec<_> = missing.iter().map(|point| format!("DIR{point}")).collect();
    Finding::limited(
        "mount points",
        format!("{} missing; the sandbox cannot give builds one of their own", missing.join(", ")),
        format!("mkdir -p {}", commands.join(" ")),
    )
}

/// Whoever can change a root can change what is built in it. Looks at what every build uses: where programs and
/// libraries are, and the programs that start first. Sticky directories count, too: anybody can add to them.
fn access(inside: &Inside, platform: &RootfsPlatform) -> Finding {
    let own = rustix::process::geteuid().as_raw();
    let writable = (Mode::WGRP | Mode::WOTH).as_raw_mode();
    let is_open = |path: &&String| {
        inside
            .stat(Path::new(path))
            .is_some_and(|stat| stat.st_mode & writable != 0 || ![0, own].contains(&stat.st_uid))
    };
    let paths = paths_of_every_build(platform);
    let open: Vec<_> = paths.iter().filter(is_open).map(|path| format!("/{path}")).collect();
    if open.is_empty() {
        return Finding::works(
            "access",
            "no other user of this host can change the shell, Python, or the directories of programs and libraries",
        );
    }
    Finding::limited(
        "access",
        format!("other users of this host can change {}, and with that what is built", open.join(", ")),
        "make it yours: chown -R, chmod go-w",
    )
}

fn paths_of_every_build(platform: &RootfsPlatform) -> Vec<String> {
    let directories = [
        "",
        "bin",
        "sbin",
        "lib",
        "lib64",
        "etc",
        "usr",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "usr/include",
        "usr/local",
        "usr/local/bin",
        "usr/local/lib",
    ];
    let mut paths: Vec<String> = directories.map(str::to_owned).to_vec();
    paths.push("bin/sh".to_owned());
    if let Some(arch) = platform.arch {
        paths.extend(["lib", "usr/lib"].map(|library| format!("{library}/{}-linux-gnu", arch.machine())));
    }
    for minor in &platform.python_minors {
        let of_prefix =
            |prefix| [format!("{prefix}/bin/python3.{minor}"), format!("{prefix}/lib/python3.{minor}")];
        paths.extend(PREFIXES.into_iter().flat_map(of_prefix));
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::rootfs::furnish::furnish;

    const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";

    fn host(arch: Arch) -> Result<String, (String, String)> {
        match arch {
            Arch::Arm64 => Ok("emulated".into()),
            Arch::Amd64 => Err(("no".into(), "mend".into())),
        }
    }

    fn add(root: &Path, path: &str, contents: &[u8]) {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        // Whatever the umask is.
        for parent in path.ancestors().skip(1).take_while(|parent| *parent != root) {
            fs_err::set_permissions(parent, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs_err::write(&path, contents).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn status(check: &RootfsCheck, subject: &str) -> Option<FindingStatus> {
        check.findings.iter().find(|finding| finding.subject == subject).map(|finding| finding.status)
    }

    #[test]
    fn a_root_gets_better_with_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let look = || check(root, &host).unwrap();
        assert!(!look().is_usable());
        for (path, contents) in [
            ("usr/bin/dash", PROGRAM),
            ("usr/lib/libc.so.6", b"\0GNU C Library (x) stable release version 2.36.\n".as_slice()),
            ("usr/bin/python3.11", PROGRAM),
        ] {
            add(root, path, contents);
        }
        furnish(&Inside::open(root).unwrap()).unwrap();
        let without_library = look();
        assert!(!without_library.is_usable());
        add(root, "usr/lib/python3.11/os.py", b"");
        let pure = look();
        assert!(pure.is_usable(), "{:?}", pure.findings);
        assert_eq!(status(&pure, "C compiler"), Some(FindingStatus::Limited));
        assert_eq!(status(&pure, "on this host"), Some(FindingStatus::Works));
        assert_eq!(status(&pure, "shell"), Some(FindingStatus::Works));
        assert_eq!(status(&pure, "mount points"), Some(FindingStatus::Works));
        let more = [
            "usr/bin/gcc",
            "usr/bin/aarch64-linux-gnu-as",
            "usr/bin/ld",
            "usr/lib/aarch64-linux-gnu/crt1.o",
            "usr/bin/g++",
            "usr/include/python3.11/Python.h",
            "usr/lib/python3.11/distutils/core.py",
        ];
        more.iter().for_each(|path| add(root, path, b""));
        let compiler = look().findings.into_iter().find(|finding| finding.subject == "C compiler").unwrap();
        assert!(compiler.found.starts_with("/usr/bin/gcc, which needs stdio.h"), "{compiler:?}");
        add(root, "usr/include/stdio.h", b"");
        let all = look();
        assert!(
            all.findings.iter().all(|finding| finding.status == FindingStatus::Works),
            "{:?}",
            all.findings
        );
        assert_eq!(all.properties[0], ("Arch".to_owned(), "arm64".to_owned()));

        for (path, mode) in [
            ("usr/bin", 0o777),
            ("usr/lib", 0o1777),
            ("usr/lib/aarch64-linux-gnu", 0o775),
            ("usr/bin/python3.11", 0o775),
            ("usr/bin/dash", 0o757),
        ] {
            let was = fs_err::metadata(root.join(path)).unwrap().permissions();
            fs_err::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(status(&look(), "access"), Some(FindingStatus::Limited), "{path}");
            fs_err::set_permissions(root.join(path), was).unwrap();
        }
        assert_eq!(status(&look(), "access"), Some(FindingStatus::Works));
        fs_err::set_permissions(root.join("usr/bin"), PermissionsExt::from_mode(0o777)).unwrap();
        fs_err::remove_dir(root.join("var/tmp")).unwrap();
        let worse = look();
        assert_eq!(status(&worse, "access"), Some(FindingStatus::Limited));
        let mounts = worse.findings.iter().find(|finding| finding.subject == "mount points").unwrap();
        assert_eq!(mounts.mend.as_deref(), Some("mkdir -p DIR/var/tmp"));
        assert!(worse.is_usable());
    }

    #[test]
    fn a_root_for_another_host_is_still_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut program = PROGRAM.to_vec();
        program[18] = 62;
        program[19] = 0;
        add(directory.path(), "bin/sh", &program);
        let found = check(directory.path(), &host).unwrap();
        assert_eq!(status(&found, "on this host"), Some(FindingStatus::Limited));
        assert!(check(&directory.path().join("bin/sh"), &host).is_err());
        assert!(check(&directory.path().join("absent"), &host).is_err());
    }
}

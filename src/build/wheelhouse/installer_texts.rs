//! The files with which others install a wheelhouse: a requirements file, and a lock file of the standard (PEP 751), with
//! exactly its wheels, by hash. Knows nothing of where the wheels come from.

use pep440_rs::VersionSpecifiers;

use super::record::WheelRecord;
use crate::lock::{FileHash, FilePlace, PylockEntry, write_pylock};
use crate::platform::Target;

/// The text of the requirements file for `wheels`, of `target` and `python`.
pub(super) fn requirements_text(wheels: &[&WheelRecord], target: Target, python: &str) -> String {
    let line =
        |wheel: &&WheelRecord| format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256);
    let mut lines: Vec<String> = wheels.iter().map(line).collect();
    lines.sort();
    let head = format!(
        "# For Python {python} on {target}. Written by `crosswheel wheelhouse`.\n\
         # pip install --no-index --find-links DIR -r DIR/THIS\n"
    );
    head + &lines.concat()
}

/// The name of the lock file beside the requirements file `requirements`: between its first and its last part are no dots.
pub(super) fn pylock_name(requirements: &str) -> String {
    let name = requirements.strip_prefix("requirements-").unwrap_or(requirements);
    format!("pylock.{}.toml", name.strip_suffix(".txt").unwrap_or(name).replace('.', ""))
}

/// The text of the lock file for `wheels`, which are beside it, of `target` and `python`.
pub(super) fn pylock_text(wheels: &[&WheelRecord], target: Target, python: &str) -> String {
    let entry = |wheel: &&WheelRecord| {
        Some(PylockEntry {
            name: wheel.name.parse().ok()?,
            version: wheel.version.parse().ok(),
            file_name: wheel.file_name.clone(),
            place: FilePlace::Path((&wheel.file_name).into()),
            hash: FileHash { algorithm: "sha256".to_owned(), hex: wheel.sha256.to_string() },
            size: Some(wheel.size_bytes),
        })
    };
    let entries: Vec<PylockEntry> = wheels.iter().filter_map(entry).collect();
    let version = python.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let pythons: Option<VersionSpecifiers> = format!("=={version}.*").parse().ok();
    let machine = target.arch.machine();
    let environment = format!("sys_platform == 'linux' and platform_machine == '{machine}'");
    write_pylock(&entries, pythons.as_ref(), Some(&environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_lock_file_is_one_of_the_standard() {
        assert_eq!(pylock_name("requirements-linux_arm64.txt"), "pylock.linux_arm64.toml");
        assert_eq!(pylock_name("requirements-linux_arm64-py3.12.txt"), "pylock.linux_arm64-py312.toml");
    }
}

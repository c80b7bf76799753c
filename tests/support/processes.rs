//! Looking for processes of this machine, to see that nothing is left of what a test has started.
#![allow(dead_code, reason = "nobody uses all of it")]

use std::path::PathBuf;

/// A word that no other process has on its command line or in its environment.
pub fn token() -> String {
    format!("token-{}", uuid::Uuid::new_v4())
}

/// Those that have exactly this argument and have not ended, as `/proc/PID`.
pub fn processes_with(argument: &str) -> Vec<PathBuf> {
    processes_that(|process| {
        let arguments = fs_err::read(process.join("cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|one| one == argument.as_bytes())
    })
}

/// Those that have `mark` anywhere on their command line or in their environment and have not ended.
pub fn processes_marked(mark: &str) -> Vec<PathBuf> {
    let has_mark = |bytes: Vec<u8>| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    processes_that(|process| {
        ["cmdline", "environ"].iter().any(|file| fs_err::read(process.join(file)).is_ok_and(has_mark))
    })
}

fn processes_that(is_so: impl Fn(&PathBuf) -> bool) -> Vec<PathBuf> {
    let entries = fs_err::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let processes = entries.filter(|path| path.file_name().unwrap().as_encoded_bytes()[0].is_ascii_digit());
    processes.filter(is_so).collect()
}

//! Trees that no function can walk that calls itself, nor anybody who opens every level, and processes that may open
//! few files.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

pub const LEVELS: usize = 30_000;

/// Enough for whoever opens every level; making the others takes its time.
pub const SOME_LEVELS: usize = 2000;

/// Files that a process may have open.
pub const DESCRIPTORS: usize = 256;

/// Python that makes such a tree in the directory `base`, and in it a directory with a file that was closed.
pub const MAKE_DEEP: &str = r#"
def make_deep(base, levels=30000):
    import os
    here = os.getcwd()
    os.chdir(base)
    os.mkdir("closed")
    open("closed/file", "w").close()
    os.chmod("closed", 0)
    for level in range(levels):
        os.mkdir("d")
        os.chdir("d")
    open("file", "w").close()
    os.symlink("/", "link")
    os.chdir(here)
"#;

/// Makes so many directories in the directory `top`, each in the one before.
pub fn nest(top: &Path, levels: usize) {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(CWD, top, open, Mode::empty()).unwrap();
    (0..levels).fold(top, |parent, _| {
        mkdirat(&parent, "d", Mode::RWXU).unwrap();
        openat(&parent, "d", open, Mode::empty()).unwrap()
    });
}

/// The same command, for a process that may have few files open.
pub fn with_few_descriptors(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$@\"")]).arg0("sh").arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell.stdin(std::process::Stdio::null());
    shell
}

//! Debian's packages as a root file system, by mmdebstrap's variant `extract`: they are unpacked and nothing of them
//! is run, so that the architecture does not matter. Knows nothing of where its archive is unpacked.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::platform::Arch;

/// What a build needs: Python, a C and C++ compiler, and what configure scripts and makefiles call.
const PACKAGES: [&str; 21] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "g++",
    "gcc",
    "grep",
    "gzip",
    "libc-bin",
    "libc6-dev",
    "libpython3-dev",
    "make",
    "mawk",
    "python3",
    "sed",
    "tar",
    "xz-utils",
];

/// Where distutils is a package of its own; later Pythons have none.
const WITH_DISTUTILS: [&str; 5] = ["buster", "bullseye", "bookworm", "focal", "jammy"];

/// Makes `/bin` & co. links to `/usr/bin` & co. before anything is unpacked, as all of Debian has it by now; usrmerge,
/// which would do that, has to be run.
fn merge_usr(arch: Arch) -> String {
    // Where the architecture's loader is.
    let more = match arch {
        Arch::Amd64 => " lib64",
        Arch::Arm64 => "",
    };
    format!(
        r#"for name in bin sbin lib{more}; do mkdir -p "$1/usr/$name" && ln -s "usr/$name" "$1/$name" || exit 1; done"#
    )
}

/// Lines of its log that are kept for an error.
const TAIL: usize = 12;

/// Which Debian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debian {
    /// A release, by name: `bookworm`.
    pub suite: String,
    /// Where its packages are; mmdebstrap knows Debian's own.
    pub mirror: Option<String>,
    /// Packages besides those that every root has.
    pub include: Vec<String>,
    /// Take lists of packages of which their makers say that they are too old, as those of archives are.
    pub allow_expired: bool,
}

/// Why mmdebstrap made no root.
#[derive(Debug, thiserror::Error)]
pub enum MmdebstrapError {
    #[error("mmdebstrap is not on PATH")]
    Missing,
    #[error("mmdebstrap cannot be used without being root: {0}")]
    Unprivileged(String),
    #[error("cannot run mmdebstrap: {0}")]
    Start(io::Error),
    /// It said that it failed.
    #[error("mmdebstrap failed ({status}){}", .lines.iter().map(|line| format!("\n  | {line}")).collect::<String>())]
    Failed {
        status: ExitStatus,
        /// The last lines it wrote.
        lines: Vec<String>,
        cause: Option<MmdebstrapCause>,
    },
}

/// What its log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MmdebstrapCause {
    Unreachable,
    Expired,
    UnknownPackage,
    UnknownSuite,
    Unsigned,
    DiskFull,
}

impl MmdebstrapError {
    /// What the user can do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing => {
                "apt-get install mmdebstrap, or make the root from an image or an archive with --from"
            }
            Self::Unprivileged(_) => {
                "apt-get install uidmap and give yourself ids (usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 USER), or apt-get install fakechroot fakeroot, or use --from"
            }
            Self::Start(_) => return None,
            Self::Failed { cause, .. } => match (*cause)? {
                MmdebstrapCause::Unreachable => {
                    "check the network and the proxy (http_proxy), or name a mirror that can be reached with --mirror URL"
                }
                MmdebstrapCause::Expired => "if that is an archive or a snapshot: --allow-expired",
                MmdebstrapCause::UnknownPackage => {
                    "check the names given with --include; not every suite has every package"
                }
                MmdebstrapCause::UnknownSuite => {
                    "check --suite, and whether the mirror has it for this architecture"
                }
                MmdebstrapCause::Unsigned => {
                    "the key of the suite is not known here: apt-get install debian-archive-keyring, or for Ubuntu \
                     ubuntu-keyring"
                }
                MmdebstrapCause::DiskFull => "the disk is full; TMPDIR says where mmdebstrap unpacks",
            },
        };
        Some(hint.to_owned())
    }
}

/// A running mmdebstrap, in a process group of its own.
pub(super) struct Run {
    child: Child,
}

impl Debian {
    /// Starts it; what it writes is a tar archive.
    pub(super) fn start<'a>(
        &self,
        arch: Arch,
        interrupted: &'a AtomicBool,
    ) -> Result<(Run, Output<'a>, ChildStderr), MmdebstrapError> {
        let program = which::which("mmdebstrap").map_err(|_| MmdebstrapError::Missing)?;
        if !rustix::process::geteuid().is_root() {
            check_unprivileged().map_err(MmdebstrapError::Unprivileged)?;
        }
        let mut child = self
            .command(&program, arch)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(MmdebstrapError::Start)?;
        let stdout = child.stdout.take().expect("it was asked for");
        let stderr = child.stderr.take().expect("it was asked for");
        Ok((Run { child }, Output { stdout, interrupted }, stderr))
    }

    fn command(&self, program: &Path, arch: Arch) -> Command {
        let mut packages: Vec<&str> = PACKAGES.to_vec();
        if WITH_DISTUTILS.contains(&self.suite.as_str()) {
            packages.push("python3-distutils");
        }
        packages.extend(self.include.iter().map(String::as_str));
        let mut command = Command::new(program);
        command
            .arg(format!("--architectures={}", arch.property()))
            .args(["--variant=extract", "--mode=auto", "--format=tar", "--skip=output/dev,check/qemu"])
            .arg(format!("--include={}", packages.join(",")))
            .arg(format!("--setup-hook={}", merge_usr(arch)))
            // So that what it says can be understood.
            .env("LC_ALL", "C.UTF-8");
        if self.allow_expired {
            command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
        }
        command.args(["--", &self.suite, "-"]).args(&self.mirror);
        command
    }
}

impl Run {
    /// Waits for its end.
    pub(super) fn finish(mut self, lines: &VecDeque<String>) -> Result<(), MmdebstrapError> {
        let status = self.child.wait().map_err(MmdebstrapError::Start)?;
        if status.success() {
            return Ok(());
        }
        let cause = lines.iter().find_map(|line| cause_of(line));
        let lines = lines.iter().rev().take(TAIL).rev().cloned().collect();
        Err(MmdebstrapError::Failed { status, lines, cause })
    }
}

impl Drop for Run {
    /// It cleans up after itself when it is asked to end, but first waits for apt and tar, so these are asked, too.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// Its archive. A signal is noticed even while it writes none.
pub(super) struct Output<'a> {
    stdout: ChildStdout,
    interrupted: &'a AtomicBool,
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(io::Error::other("interrupted"));
            }
            let mut ready = [PollFd::new(&self.stdout, PollFlags::IN)];
            match poll(&mut ready, Some(&patience)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.stdout.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Passes its log on line by line and keeps the end of it.
pub(super) fn follow(log: impl Read, mut show: impl FnMut(&str)) -> VecDeque<String> {
    const KEPT: usize = 500;
    let mut lines = VecDeque::new();
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    // Nobody is told of a log that cannot be read: whether it worked is told by the exit code.
    while log.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        // Progress bars rewrite their line.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
        if !text.is_empty() {
            show(text);
            lines.push_back(text.to_owned());
            if lines.len() > KEPT {
                lines.pop_front();
            }
        }
        line.clear();
    }
    lines
}

fn cause_of(line: &str) -> Option<MmdebstrapCause> {
    let has = |parts: &[&str]| parts.iter().any(|part| line.contains(part));
    if has(&["No space left on device", "not enough free space"]) {
        Some(MmdebstrapCause::DiskFull)
    } else if has(&["is expired", "is not valid yet", "invalid since"]) {
        Some(MmdebstrapCause::Expired)
    } else if has(&["NO_PUBKEY", "is not signed", "couldn't be verified"]) {
        Some(MmdebstrapCause::Unsigned)
    } else if has(&[
        "Could not resolve",
        "resolving '",
        "Could not connect",
        "Connection refused",
        "Connection timed out",
        "connection timed out",
        "Network is unreachable",
        "Unable to connect",
    ]) {
        Some(MmdebstrapCause::Unreachable)
    } else if has(&["Unable to locate package", "has no installation candidate"]) {
        Some(MmdebstrapCause::UnknownPackage)
    } else if has(&["does not have a Release file", "no longer has a Release file"]) {
        Some(MmdebstrapCause::UnknownSuite)
    } else {
        None
    }
}

/// Whether mmdebstrap has a way to work for a user who is not root.
fn check_unprivileged() -> Result<(), String> {
    let has = |program: &str| which::which(program).is_ok();
    let mapped = has("newuidmap") && has_subordinate_ids(Path::new("/etc/subuid"));
    if mapped || (has("fakechroot") && has("fakeroot")) {
        return Ok(());
    }
    let ids =
        if has("newuidmap") { "this user has no range in /etc/subuid" } else { "there is no newuidmap" };
    Err(format!("{ids}, and there is no fakechroot with fakeroot"))
}

fn has_subordinate_ids(table: &Path) -> bool {
    let uid = rustix::process::getuid().as_raw();
    let user = user_name();
    let table = fs_err::read_to_string(table).unwrap_or_default();
    let owners = table.lines().filter_map(|line| line.split(':').next());
    owners.into_iter().any(|owner| Some(owner) == user.as_deref() || owner == uid.to_string())
}

/// What this user is called. Only the C library can tell, wherever users are listed, and `id` asks it.
fn user_name() -> Option<String> {
    let output = Command::new("id").arg("-un").stderr(Stdio::null()).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}

/// The names of the packages that every root has, for the help.
pub fn packages() -> String {
    PACKAGES.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Debian {
        Debian { suite: "bookworm".into(), mirror: None, include: Vec::new(), allow_expired: false }
    }

    fn arguments(debian: &Debian, arch: Arch) -> Vec<String> {
        let command = debian.command(Path::new("mmdebstrap"), arch);
        command.get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_was_asked_for_is_on_the_command_line() {
        let plain = arguments(&debian(), Arch::Arm64);
        assert_eq!(plain[0], "--architectures=arm64");
        assert!(plain[5].contains(",python3,") && plain[5].ends_with(",python3-distutils"), "{}", plain[5]);
        assert_eq!(plain[plain.len() - 3..], ["--", "bookworm", "-"]);
        let more = Debian {
            suite: "trixie".into(),
            mirror: Some("http://mirror/debian".into()),
            include: vec!["libffi-dev".into()],
            allow_expired: true,
        };
        let more = arguments(&more, Arch::Amd64);
        assert!(more[5].ends_with(",libffi-dev") && !more[5].contains("distutils"), "{}", more[5]);
        assert!(more.contains(&"--aptopt=Acquire::Check-Valid-Until \"false\"".to_owned()));
        assert_eq!(more[more.len() - 2..], ["-", "http://mirror/debian"]);
    }

    /// Lines as apt and mmdebstrap write them.
    #[test]
    fn its_log_says_what_went_wrong() {
        for (line, cause) in [
            (
                "W: Failed to fetch http://x/dists/bookworm/InRelease  Could not resolve 'x'",
                Some(MmdebstrapCause::Unreachable),
            ),
            (
                "  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
                Some(MmdebstrapCause::Unreachable),
            ),
            (
                "E: Release file for http://x/InRelease is expired (invalid since 3d). Updates",
                Some(MmdebstrapCause::Expired),
            ),
            ("E: Unable to locate package nosuch", Some(MmdebstrapCause::UnknownPackage)),
            (
                "E: The repository 'http://x nosuch Release' does not have a Release file.",
                Some(MmdebstrapCause::UnknownSuite),
            ),
            ("W: GPG error: http://x InRelease: NO_PUBKEY 0E98404D386FA1D9", Some(MmdebstrapCause::Unsigned)),
            ("tar: a: Cannot write: No space left on device", Some(MmdebstrapCause::DiskFull)),
            ("I: running apt-get update...", None),
        ] {
            assert_eq!(cause_of(line), cause, "{line}");
        }
    }

    #[test]
    fn the_log_is_passed_on_and_its_end_kept() {
        let mut shown = Vec::new();
        let lines = follow(&b"one\n10%\r20%\rtwo\n\nthree \xff"[..], |line| shown.push(line.to_owned()));
        assert_eq!(shown, ["one", "two", "three \u{fffd}"]);
        assert_eq!(lines, shown);
    }

    #[test]
    fn subordinate_ids_are_found_by_name_and_by_number() {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("subuid");
        let uid = rustix::process::getuid().as_raw();
        fs_err::write(&table, "nobody-else:100000:65536\n").unwrap();
        assert!(!has_subordinate_ids(&table));
        fs_err::write(&table, format!("x:1:1\n{uid}:100000:65536\n")).unwrap();
        assert!(has_subordinate_ids(&table));
        fs_err::write(&table, format!("{}:100000:65536\n", user_name().unwrap())).unwrap();
        assert!(has_subordinate_ids(&table));
    }
}

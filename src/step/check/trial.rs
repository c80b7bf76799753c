//! Something of an environment, tried: one process of its Python in the sandbox, without network, with nothing to read, and
//! for so long. Knows nothing of what is tried.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cancellation::Cancellation;
use crate::deadline;
use crate::platform::SYSTEM_PATH;
use crate::sandbox::{Bind, Exit, ResourceLimits, RootFileSystem, Sandbox, SandboxError, Spec};
use crate::step::error::{StepError, host};

/// Bytes of what is written that are kept: the end.
const KEPT: usize = 64 << 10;

/// Characters of a line that are shown.
const WIDEST: usize = 500;

/// How things are tried.
pub(super) struct Trials<'a> {
    pub sandbox: &'a Sandbox,
    pub cancellation: &'a Cancellation,
    /// The Python of the environment, and the program that it runs; as they are seen from inside.
    pub python: PathBuf,
    pub program: PathBuf,
    /// A directory that may be written to, as it is seen from inside.
    pub directory: PathBuf,
    pub binds: Vec<Bind>,
    /// Of the host.
    pub visible: Vec<PathBuf>,
}

/// How a trial ended.
#[derive(Debug)]
pub(super) struct Tried {
    pub exit: Exit,
    /// The last lines that it wrote, to whichever of its outputs.
    pub lines: Vec<String>,
}

/// The directories in that of the trials that must be there.
pub(super) const DIRECTORIES: [&str; 2] = ["home", "tmp"];

impl Trials<'_> {
    /// Runs the program with these arguments, for no longer than `timeout`.
    ///
    /// # Errors
    /// If it cannot be started or watched, or is cancelled.
    pub fn run(&self, arguments: [&str; 2], timeout: Duration) -> Result<Tried, StepError> {
        self.cancellation.check()?;
        let tried = self.run_to_end(arguments, timeout);
        // Whatever else went wrong then.
        self.cancellation.check()?;
        tried
    }

    fn run_to_end(&self, arguments: [&str; 2], timeout: Duration) -> Result<Tried, StepError> {
        let (reader, writer) = io::pipe().map_err(host("make a pipe"))?;
        let start = |error: SandboxError| host("start Python")(error);
        let mut tree = self
            .sandbox
            .spawn(Spec {
                argv: [self.python.as_os_str(), self.program.as_os_str()]
                    .map(OsString::from)
                    .into_iter()
                    .chain(arguments.map(OsString::from))
                    .collect(),
                env: self.environment(),
                working_directory: self.directory.join("home"),
                root: RootFileSystem::Host,
                overlays: Vec::new(),
                binds: self.binds.clone(),
                visible_host_paths: self.visible.clone(),
                stdin: None,
                stdout: writer.into(),
                stderr: None,
                network: false,
                limits: ResourceLimits::default(),
            })
            .map_err(start)?;
        self.cancellation.watch(tree.killer());
        let deadline = deadline::after(Instant::now(), timeout);
        std::thread::scope(|scope| {
            // Without a thread to give, starting one is an error, and dropping the tree ends it.
            let log = std::thread::Builder::new().name("log".into()).spawn_scoped(scope, || end_of(reader));
            let log = log.map_err(host("start a thread"))?;
            let exit = tree.wait_for_end(Some(deadline)).map_err(start)?;
            drop(tree);
            let log = log.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(Tried { exit, lines: lines(&log.map_err(host("read what Python writes"))?) })
        })
    }

    /// Complete: nothing is inherited.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let inside = |name: &str| self.directory.join(name).into_os_string();
        let bin = self.python.parent().unwrap_or(Path::new("/"));
        let mut path = bin.as_os_str().to_owned();
        path.push(format!(":{SYSTEM_PATH}"));
        let fixed = [
            ("USER", "crosswheel"),
            ("LOGNAME", "crosswheel"),
            ("SHELL", "/bin/sh"),
            ("LC_ALL", "C.UTF-8"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("PYTHONHASHSEED", "0"),
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHONNOUSERSITE", "1"),
            // Where a module crashes Python, its stack is the only evidence.
            ("PYTHONFAULTHANDLER", "1"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()));
        let of_directory = [
            ("PATH", path),
            ("HOME", inside("home")),
            ("TMPDIR", inside("tmp")),
            ("VIRTUAL_ENV", bin.parent().unwrap_or(bin).into()),
            // What one trial compiles the next one need not.
            ("PYTHONPYCACHEPREFIX", inside("byte_code")),
        ]
        .map(|(name, value)| (name.into(), value));
        fixed.into_iter().chain(of_directory).collect()
    }
}

/// All is read, so that nobody waits for us, and the end of it kept.
fn end_of(mut log: PipeReader) -> io::Result<Vec<u8>> {
    let (mut kept, mut buffer) = (VecDeque::new(), [0; 16 * 1024]);
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return Ok(kept.into()),
            Ok(count) => {
                kept.extend(&buffer[..count]);
                kept.drain(..kept.len().saturating_sub(KEPT));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lines that can be shown: no longer than anybody reads, and without what a terminal would obey.
fn lines(bytes: &[u8]) -> Vec<String> {
    let show = |line: &str| {
        let shown = line.trim_end().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        shown.take(WIDEST).collect()
    };
    String::from_utf8_lossy(bytes).lines().map(show).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn of_much_that_is_written_the_end_is_kept() {
        let (reader, mut writer) = io::pipe().unwrap();
        let wrote = std::thread::spawn(move || {
            for number in 0..50_000 {
                writeln!(writer, "line {number}").unwrap();
            }
        });
        let kept = end_of(reader).unwrap();
        wrote.join().unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(lines(&kept).last().unwrap(), "line 49999");
    }

    #[test]
    fn a_line_says_nothing_to_a_terminal_and_is_no_longer_than_anybody_reads() {
        assert_eq!(lines(b"\x1b[31mred\r\n"), [" [31mred"]);
        assert_eq!(lines("x".repeat(WIDEST * 2).as_bytes())[0].len(), WIDEST);
    }
}

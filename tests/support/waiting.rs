//! Waits that end. Whatever a test waits for, it waits for through this file: with a deadline, and a panic that says
//! what did not come. A wait without an end shows nothing, not even which test it is in.
//!
//! Benchmarks and the unit tests in `src/` use this file as well.
#![allow(dead_code, reason = "nobody uses all of it")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// No machine is so busy that something that works takes longer.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// For whatever downloads, compiles much or is emulated.
pub const LONG_DEADLINE: Duration = Duration::from_secs(3600);

/// Between two looks at what tells nobody that it has changed.
const PAUSE: Duration = Duration::from_millis(2);

/// Returns once `is_so`; a condition that must come true by itself.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// As [`wait_until`], and returns what was found.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look() {
            Some(found) => return found,
            None if Instant::now() < deadline => thread::sleep(PAUSE),
            None => panic!("{}", late(what, DEADLINE)),
        }
    }
}

/// As [`wait_until`], while the rest of the runtime goes on.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !within(what, is_so()).await {
        assert!(Instant::now() < deadline, "{}", late(what, DEADLINE));
        tokio::time::sleep(PAUSE).await;
    }
}

/// What `future` gives.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    within_time(DEADLINE, what, future).await
}

pub async fn within_time<F: Future>(deadline: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(deadline, future).await {
        Ok(output) => output,
        Err(_) => panic!("{}", late(what, deadline)),
    }
}

/// All that comes on a stream until its end.
pub async fn messages<T>(what: &str, stream: tonic::Streaming<T>) -> Result<Vec<T>, tonic::Status> {
    messages_within(DEADLINE, what, stream).await
}

pub async fn messages_within<T>(
    deadline: Duration,
    what: &str,
    mut stream: tonic::Streaming<T>,
) -> Result<Vec<T>, tonic::Status> {
    within_time(deadline, what, async {
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await? {
            messages.push(message);
        }
        Ok(messages)
    })
    .await
}

/// Lets time pass, when it is time itself that a test needs.
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// As [`pause`], while the rest of the runtime goes on.
pub async fn pause_here(time: Duration) {
    tokio::time::sleep(time).await;
}

fn late(what: &str, deadline: Duration) -> String {
    format!("waited {deadline:?} for {what}, in vain")
}

/// Does work of this process that nothing can interrupt. If it does not end, all of the process does.
pub fn in_time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let _watched = Watched::start(what);
    work()
}

/// As [`thread::scope`], whose threads must end by themselves.
pub fn scope<'env, T>(what: &str, threads: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    in_time(what, || thread::scope(threads))
}

/// A piece of work that has not ended.
struct Watched(u64);

/// What each of them is, and until when it should have ended.
static WATCHED: Mutex<BTreeMap<u64, (Instant, String)>> = Mutex::new(BTreeMap::new());

/// Whatever can be interrupted within the work has its chance before.
const UNTIL_ABORT: Duration = DEADLINE.saturating_mul(2);

impl Watched {
    fn start(what: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        static WATCHDOG: Once = Once::new();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let test = thread::current().name().unwrap_or("a thread without a name").to_owned();
        let entry = (Instant::now() + UNTIL_ABORT, format!("{test}: {}", late(what, UNTIL_ABORT)));
        WATCHED.lock().insert(number, entry);
        WATCHDOG.call_once(|| drop(thread::spawn(watch)));
        Self(number)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHED.lock().remove(&self.0);
    }
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let watched = WATCHED.lock();
        if let Some((_, late)) = watched.values().find(|(deadline, _)| *deadline < Instant::now()) {
            // Not `eprintln`, which a test that passes or is aborted does not show.
            let _ = writeln!(std::io::stderr(), "{late}");
            std::process::abort();
        }
    }
}

/// Commands that end in time.
pub trait InTime {
    /// As [`Command::output`].
    fn output_in_time(&mut self) -> Output {
        self.output_within(DEADLINE)
    }

    fn output_within(&mut self, deadline: Duration) -> Output;

    /// As [`Command::status`].
    fn status_in_time(&mut self) -> ExitStatus {
        self.status_within(DEADLINE)
    }

    fn status_within(&mut self, deadline: Duration) -> ExitStatus;

    /// As [`Command::spawn`].
    fn start(&mut self) -> Started;
}

impl InTime for Command {
    fn output_within(&mut self, deadline: Duration) -> Output {
        self.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start()
            .output_within(deadline)
    }

    fn status_within(&mut self, deadline: Duration) -> ExitStatus {
        self.start().exit_by(Instant::now() + deadline, deadline)
    }

    fn start(&mut self) -> Started {
        let called = format!("{:?} {:?}", self.get_program(), self.get_args().collect::<Vec<_>>());
        let child = self.spawn().unwrap_or_else(|error| panic!("cannot start {called}: {error}"));
        Started { child, called }
    }
}

/// A process of a test's own, which is killed at the latest when the test has ended.
pub struct Started {
    child: Child,
    called: String,
}

impl Started {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("nobody has waited for it yet");
    }

    /// What it writes to its standard output, which must be a pipe.
    pub fn stdout(&mut self) -> Lines<ChildStdout> {
        Lines::of(&self.called, self.child.stdout.take().expect("standard output is a pipe"))
    }

    /// What it writes to its standard error, which must be a pipe.
    pub fn stderr(&mut self) -> Lines<ChildStderr> {
        Lines::of(&self.called, self.child.stderr.take().expect("standard error is a pipe"))
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> ExitStatus {
        self.exit_by(Instant::now() + DEADLINE, DEADLINE)
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().expect("it is our child");
        self.exit()
    }

    /// Waits for its end and for that of what it writes to pipes.
    pub fn output_in_time(self) -> Output {
        self.output_within(DEADLINE)
    }

    fn output_within(mut self, deadline: Duration) -> Output {
        let until = Instant::now() + deadline;
        let (stdout, stderr) = self.read_both(until, deadline);
        Output { status: self.exit_by(until, deadline), stdout, stderr }
    }

    fn read_both(&mut self, until: Instant, deadline: Duration) -> (Vec<u8>, Vec<u8>) {
        let mut stdout = Reading::of(self.child.stdout.take());
        let mut stderr = Reading::of(self.child.stderr.take());
        while stdout.is_open() || stderr.is_open() {
            let sources = [stdout.descriptor(), stderr.descriptor()];
            if !readable(sources.into_iter().flatten(), until) {
                let late = late(&format!("the end of {}", self.called), deadline);
                let said = [stdout.bytes, stderr.bytes];
                panic!("{late}; so far: {:?}", said.map(|said| String::from_utf8_lossy(&said).into_owned()));
            }
            stdout.take();
            stderr.take();
        }
        (stdout.bytes, stderr.bytes)
    }

    fn exit_by(&mut self, until: Instant, deadline: Duration) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            return status;
        }
        let process = Pid::from_child(&self.child);
        let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())
            .expect("this kernel has descriptors of processes");
        assert!(
            readable([process.as_fd()], until),
            "{}",
            late(&format!("the end of {}", self.called), deadline)
        );
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What has been read from a source that is open as long as it has not come to its end.
struct Reading<R> {
    source: Option<R>,
    bytes: Vec<u8>,
}

impl<R: Read + AsFd> Reading<R> {
    fn of(source: Option<R>) -> Self {
        Self { source, bytes: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.source.is_some()
    }

    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }

    /// Reads a piece of what is there by now, if anything is.
    fn take(&mut self) {
        if !self.descriptor().is_some_and(|source| readable([source], Instant::now())) {
            return;
        }
        let mut piece = [0; 1 << 14];
        match self.source.as_mut().map(|source| source.read(&mut piece)) {
            Some(Ok(length @ 1..)) => self.bytes.extend(&piece[..length]),
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => (),
            // The end, or that of a connection that was cut.
            _ => self.source = None,
        }
    }
}

/// Whether one of them has something to be read, or has ended, before the deadline.
fn readable<'fd>(sources: impl IntoIterator<Item = std::os::fd::BorrowedFd<'fd>>, until: Instant) -> bool {
    let mut sources: Vec<_> =
        sources.into_iter().map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)).collect();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("deadlines are near");
        match poll(&mut sources, Some(&left)) {
            Ok(count) => return count > 0,
            Err(rustix::io::Errno::INTR) => (),
            Err(error) => panic!("cannot wait for descriptors: {error}"),
        }
    }
}

/// What somebody writes, line by line, each of which must come in time.
pub struct Lines<R> {
    whose: String,
    reading: Reading<R>,
    seen: Vec<String>,
}

impl<R: Read + AsFd> Iterator for Lines<R> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.line_by(Instant::now() + DEADLINE, "another line")
    }
}

impl<R: Read + AsFd> Lines<R> {
    pub fn of(whose: &str, source: R) -> Self {
        Self { whose: whose.to_owned(), reading: Reading::of(Some(source)), seen: Vec::new() }
    }

    /// Reads until a line has `text` in it, which must come.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let (deadline, what) = (Instant::now() + DEADLINE, format!("`{text}`"));
        while let Some(line) = self.line_by(deadline, &what) {
            if line.contains(text) {
                return line;
            }
        }
        panic!("`{text}` did not come from {}, but: {:?}", self.whose, self.seen)
    }

    /// Reads until everybody has closed the other end.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let deadline = Instant::now() + DEADLINE;
        while self.more_by(deadline, "the end of the output") {}
        String::from_utf8(std::mem::take(&mut self.reading.bytes)).expect("it writes text")
    }

    #[track_caller]
    fn line_by(&mut self, deadline: Instant, what: &str) -> Option<String> {
        loop {
            let bytes = &mut self.reading.bytes;
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            if end.is_some() || !self.more_by(deadline, what) {
                let bytes = &mut self.reading.bytes;
                let line: Vec<u8> = bytes.drain(..end.unwrap_or(bytes.len())).collect();
                return (!line.is_empty()).then(|| self.remember(&line));
            }
        }
    }

    fn remember(&mut self, line: &[u8]) -> String {
        let line = String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
        self.seen.push(line.clone());
        line
    }

    /// Whether more could be read; not at the end.
    #[track_caller]
    fn more_by(&mut self, deadline: Instant, what: &str) -> bool {
        let Some(source) = self.reading.descriptor() else { return false };
        if !readable([source], deadline) {
            let said = String::from_utf8_lossy(&self.reading.bytes);
            let late = late(&format!("{what} from {}", self.whose), DEADLINE);
            panic!("{late}; so far: {:?} {said:?}", self.seen);
        }
        self.reading.take();
        true
    }
}

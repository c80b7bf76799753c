//! The waits that all tests use: they end, and say what did not come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::processes::{processes_with, token};
use crate::waiting::{InTime, Lines, within_time};

const SHORT: Duration = Duration::from_millis(2000);

/// What `work` panics with.
fn panic_of<T>(work: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(_) => panic!("it does not panic"),
        Err(panic) => *panic.downcast().unwrap(),
    }
}

/// A command that writes a line and then runs for as long as anybody waits.
fn endless(token: &str) -> Command {
    let mut command = Command::new("python3");
    let program = "import time; print('so far', flush=True); time.sleep(1000)";
    command.args(["-c", program, token]).stdout(Stdio::piped());
    command
}

#[test]
fn a_command_that_does_not_end_is_killed_and_named_with_what_it_wrote() {
    let token = token();
    let panic = panic_of(|| endless(&token).output_within(SHORT));
    assert!(panic.contains("waited 2s for the end of") && panic.contains(&token), "{panic}");
    assert!(panic.contains("so far\\n"), "{panic}");
    assert_eq!(processes_with(&token).len(), 0);
    let panic = panic_of(|| endless(&token).stdout(Stdio::null()).status_within(SHORT));
    assert!(panic.contains(&token), "{panic}");
    assert_eq!(processes_with(&token).len(), 0);
}

#[test]
fn a_process_does_not_outlive_the_test_that_started_it() {
    let token = token();
    let mut started = endless(&token).start();
    assert_eq!(started.stdout().next().unwrap(), "so far");
    assert_eq!(processes_with(&token).len(), 1);
    drop(started);
    assert_eq!(processes_with(&token).len(), 0);
}

#[test]
fn the_end_of_a_process_is_known_however_often_it_is_asked_for() {
    let mut started = Command::new("sh").args(["-c", "exit 7"]).start();
    for _ in 0..2 {
        assert_eq!(started.exit().code(), Some(7));
    }
    assert!(started.has_ended());
    let both = Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]).output_in_time();
    assert_eq!((both.status.code(), &both.stdout[..], &both.stderr[..]), (Some(3), &b"a\n"[..], &b"b\n"[..]));
}

#[tokio::test]
async fn what_does_not_come_is_named() {
    let waiting = tokio::spawn(within_time(SHORT, "a pigeon", std::future::pending::<()>()));
    let panic: String = *waiting.await.unwrap_err().into_panic().downcast().unwrap();
    assert_eq!(panic, "waited 2s for a pigeon, in vain");
    assert_eq!(within_time(SHORT, "what is there", async { 1 }).await, 1);
}

#[test]
fn lines_are_read_one_by_one_and_the_last_needs_no_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"one\ntwo is here\n\nthree\nfour").unwrap();
    drop(writer);
    let mut lines = Lines::of("a pipe", reader);
    assert_eq!(lines.next().unwrap(), "one");
    assert_eq!(lines.until("is"), "two is here");
    assert_eq!(lines.next().unwrap(), "");
    assert_eq!(lines.by_ref().collect::<Vec<_>>(), ["three", "four"]);
    assert!(panic_of(|| lines.until("five")).contains("`five` did not come from a pipe, but: [\"one\""));
}

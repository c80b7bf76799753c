//! Printing. A reader that has gone away, or a full disk behind a redirection, is no reason to fail: the
//! standard macros would panic.

use std::io::Write;

/// Prints `text` and a line break on standard output.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Prints `text` and a line break on standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

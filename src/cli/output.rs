//! Printing. A reader that has gone away, or a full disk behind a redirection, is no reason to fail: the
//! standard macros would panic.

use std::io::Write;

use crate::finding::{Finding, FindingStatus};

/// Prints `text` and a line break on standard output.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Prints `text` and a line break on standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints what was found, and what mends it, on standard output.
pub(super) fn print_finding(finding: &Finding) {
    let mark = match finding.status {
        FindingStatus::Works => "works  ",
        FindingStatus::Limited => "limited",
        FindingStatus::Broken => "BROKEN ",
    };
    print(&format!("{mark}  {}: {}", finding.subject, finding.found));
    if let Some(mend) = &finding.mend {
        print(&format!("         mend: {mend}"));
    }
}

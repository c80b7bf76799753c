//! Why an output cannot be had. Knows nothing of the others.

use std::fmt::Display;
use std::io;

use crate::execute::command::Output;
use crate::execute::error::ExecuteError;

pub(super) fn refused(output: &Output, problem: impl Display) -> ExecuteError {
    ExecuteError::Refused(format!("the output `{}` {problem} ({})", output.name, output.field))
}

pub(super) fn io_error(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> ExecuteError {
    |errno| ExecuteError::Io { doing: doing.into(), source: io::Error::from(errno) }
}

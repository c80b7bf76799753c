//! Why an output cannot be had. Knows nothing of the others.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;

use crate::execute::command::Output;
use crate::execute::error::{ExecuteError, Place};

pub(super) fn refused(output: &Output, problem: impl Display) -> ExecuteError {
    ExecuteError::Refused(format!("the output `{}` {problem} ({})", output.name, output.field))
}

/// For `map_err`: what was attempted with `name`, a path of the client's. What the command itself has made impossible is
/// its fault.
pub(super) fn cannot(doing: &'static str, name: impl Display) -> impl FnOnce(Errno) -> ExecuteError {
    move |errno| match errno {
        Errno::ACCESS | Errno::PERM => ExecuteError::Refused(format!(
            "cannot {doing} `{name}`: the command has left it, or a directory above it, so that nobody may read it"
        )),
        Errno::NAMETOOLONG | Errno::LOOP => {
            ExecuteError::Refused(format!("cannot {doing} `{name}`: {errno}"))
        }
        _ => ExecuteError::Io {
            doing,
            place: Place::Clients(name.to_string()),
            source: io::Error::from(errno),
        },
    }
}

/// As [`cannot`], for what comes of reading.
pub(super) fn cannot_read(doing: &'static str, name: impl Display) -> impl FnOnce(io::Error) -> ExecuteError {
    move |source| match Errno::from_io_error(&source) {
        Some(errno) => cannot(doing, name)(errno),
        None => ExecuteError::Io { doing, place: Place::Clients(name.to_string()), source },
    }
}

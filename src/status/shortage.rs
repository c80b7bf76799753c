//! What clients are told of errors of the operating system: what passes, with the time after which to try again, and never
//! where on this machine it was. Knows nothing of what was attempted.

use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::shortage::{Shortage, without_paths};

/// When to try again what failed for want of room.
pub(super) const RETRY_FULL_DISK: Duration = Duration::from_secs(30);
/// Likewise, of processes and the like.
pub(super) const RETRY_BUSY_MACHINE: Duration = Duration::from_secs(5);

/// A refusal for want of something that there will be again.
pub(crate) fn later(code: Code, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(RETRY_BUSY_MACHINE)))
}

/// An error of the kernel's: something that passes, with the time after which to try again, or a fault. `doing` has no
/// path of this machine in it, and nothing else here has one either: those are for its log.
pub(super) fn of_io(doing: &str, error: &io::Error) -> Status {
    let text = format!("cannot {doing}: {}", without_paths(error));
    match Shortage::of(error) {
        Some(shortage) => short(shortage, &text),
        None => Status::internal(text),
    }
}

/// This machine has run out of something that it will have again.
fn short(shortage: Shortage, text: &str) -> Status {
    let (code, retry) = match shortage {
        Shortage::Disk => (Code::ResourceExhausted, RETRY_FULL_DISK),
        Shortage::Memory | Shortage::OpenFiles | Shortage::Processes => {
            (Code::Unavailable, RETRY_BUSY_MACHINE)
        }
    };
    let details = ErrorDetails::with_retry_info(Some(retry));
    Status::with_error_details(code, format!("{text} ({shortage})"), details)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::cas::StoreError;
    use crate::execute::ExecuteError;

    /// As the store wraps it, with the path in its words.
    fn wrapped(errno: Errno) -> StoreError {
        // What opens a file says which one.
        let deep = Deep(io::Error::from_raw_os_error(errno.raw_os_error()));
        StoreError::Io { doing: "write a blob".to_owned(), source: io::Error::other(deep) }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open `/var/secret`")]
    struct Deep(#[source] io::Error);

    #[test]
    fn a_shortage_is_to_be_tried_again_and_says_no_path() {
        for (errno, code) in [
            (Errno::MFILE, Code::Unavailable),
            (Errno::NFILE, Code::Unavailable),
            (Errno::NOMEM, Code::Unavailable),
            (Errno::AGAIN, Code::Unavailable),
            (Errno::NOSPC, Code::ResourceExhausted),
        ] {
            for status in [Status::from(&wrapped(errno)), Status::from(&ExecuteError::Store(wrapped(errno)))]
            {
                assert_eq!(status.code(), code, "{errno:?}");
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                assert!(!status.message().contains("/var"), "{status:?}");
            }
        }
        assert_eq!(Status::from(&wrapped(Errno::IO)).code(), Code::Internal);
    }
}

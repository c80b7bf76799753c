//! Errors of the operating system that say no more than that there is too little of something for now. Knows nothing of
//! what was attempted.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When to try again what there was no room for.
const RETRY: Duration = Duration::from_secs(5);

/// A refusal for want of something that there will be again.
pub(crate) fn later(code: Code, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(RETRY)))
}

/// What to say if this is why something failed: that it is to be tried again, and nothing of where on this machine it
/// was. `None` if it failed for another reason.
pub(super) fn shortage(error: &(dyn Error + 'static)) -> Option<Status> {
    let errno = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())?;
    let (code, what) = match Errno::from_raw_os_error(errno) {
        Errno::MFILE | Errno::NFILE => (Code::Unavailable, "file descriptors"),
        Errno::NOMEM | Errno::NOBUFS => (Code::Unavailable, "memory"),
        Errno::AGAIN => (Code::Unavailable, "processes and threads"),
        Errno::NOSPC | Errno::DQUOT => (Code::ResourceExhausted, "room on its disk"),
        _ => return None,
    };
    tracing::warn!(error = %chain(error), "short of {what}");
    Some(later(code, format!("this machine is short of {what}; ask again later")))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
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

//! What a machine has run out of, as the errors of its kernel tell. The one place that tells such errors, which pass,
//! from faults. Knows nothing of what was attempted.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// What there was none left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// Bytes or inodes of a file system, or what a quota leaves of them.
    #[error("a disk of this machine is full, or has no more inodes")]
    Disk,
    #[error("this machine has no more memory to give")]
    Memory,
    /// Open files, of this process or of all.
    #[error("too many files are open on this machine")]
    OpenFiles,
    /// Processes or threads, of this user or of all.
    #[error("too many processes or threads run on this machine")]
    Processes,
}

impl Shortage {
    /// What was short, if that was it.
    pub fn of(error: &io::Error) -> Option<Self> {
        if let Some(errno) = errno_of(error) {
            return Self::of_errno(errno);
        }
        // Some keep no more of an error than its kind.
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Self::Disk),
            ErrorKind::OutOfMemory => Some(Self::Memory),
            ErrorKind::WouldBlock => Some(Self::Processes),
            _ => None,
        }
    }

    /// As [`Shortage::of`].
    pub fn of_errno(errno: Errno) -> Option<Self> {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Some(Self::Disk),
            Errno::NOMEM => Some(Self::Memory),
            Errno::MFILE | Errno::NFILE => Some(Self::OpenFiles),
            Errno::AGAIN | Errno::USERS => Some(Self::Processes),
            _ => None,
        }
    }
}

/// The kernel's number of an error, however often others have wrapped it to name a path.
pub fn errno_of(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        cause = match inner.downcast_ref::<io::Error>() {
            Some(error) if Errno::from_io_error(error).is_some() => return Errno::from_io_error(error),
            // Its source would be that of what it wraps.
            Some(error) => error.get_ref().map(|wrapped| wrapped as &(dyn Error + 'static)),
            None => inner.source(),
        };
    }
    // fs_err, which names the paths, keeps of the error it wraps only the kind and the words, the number at their end.
    let words = error.to_string();
    let (_, number) = words.strip_suffix(')')?.rsplit_once("(os error ")?;
    number.parse().ok().filter(|number| *number > 0).map(Errno::from_raw_os_error)
}

/// An error in the words of the kernel, and in no others: those who wrap one put paths of this machine into it, which are
/// nobody else's business.
pub fn without_paths(error: &io::Error) -> String {
    match errno_of(error) {
        Some(errno) => io::Error::from(errno).to_string(),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_known_through_all_that_wraps_it_and_no_path_is_told() {
        let full = || io::Error::from(Errno::NOSPC);
        let wrapped = io::Error::other(io::Error::other(full()));
        let kind_only = io::Error::new(ErrorKind::StorageFull, "cannot write /secret/place");
        for error in [full(), wrapped, kind_only] {
            assert_eq!(Shortage::of(&error), Some(Shortage::Disk), "{error}");
            assert!(!without_paths(&error).contains("secret"));
        }
        let error = fs_err::read("/no/such/place").unwrap_err();
        assert!(error.to_string().contains("/no/such/place"));
        assert_eq!(Shortage::of(&error), None);
        assert_eq!(without_paths(&error), "No such file or directory (os error 2)");
    }
}

//! Digests of output files, and their way into the store: by a rename where nobody else can have the file, else by
//! a copy. Knows nothing of outputs as the client names them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::collecting::Collecting;
use super::failure::{cannot, cannot_read};
use super::found::FoundFile;
use super::left::LeftExecRoot;
use crate::cas::{BlobStore, DiskStore, StoreError};
use crate::digest::{Digest, DigestFunction};
use crate::execute::error::ExecuteError;
use crate::execute::input::Entry;
use crate::execute::kept::Kept;
use crate::execute::path::ExecPath;
use crate::execute::quota::Effort;

/// Bytes that are worth another thread.
const PER_THREAD: u64 = 2 << 20;
const MOST_THREADS: usize = 8;

const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const STRAIGHT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Puts all files into the store; returns their digests in order.
pub(super) fn store_files(
    files: &[FoundFile],
    collecting: &Collecting<'_>,
) -> Result<Vec<Digest>, ExecuteError> {
    let Collecting { left, kept, function, effort, .. } = *collecting;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let own =
        rustix::fs::openat(CWD, left.own, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| ExecuteError::io_at("open the exec root", left.own)(errno.into()))?;
    // One that lies behind a symlink may be one of the others, and has to be there still.
    let adopts = left.closed_off && !files.iter().any(|file| file.through_symlink);
    let storing = Storing { left, own, kept, store: kept.store(), function, effort, adopts };
    let bytes: u64 = files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add);
    let worth = usize::try_from(bytes / PER_THREAD).unwrap_or(usize::MAX).saturating_add(1);
    // Asking for the processors there are reads half a dozen files.
    let threads = match worth.min(files.len()) {
        1 => 1,
        wanted => wanted.min(thread::available_parallelism().map_or(1, usize::from)).min(MOST_THREADS),
    };
    if threads == 1 {
        return files.iter().map(|file| storing.file(file)).collect();
    }
    let next = AtomicUsize::new(0);
    let digests: Vec<Mutex<Option<Result<Digest, ExecuteError>>>> =
        files.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(index) else { return };
                let digest = storing.file(file);
                let failed = digest.is_err();
                *digests[index].lock() = Some(digest);
                if failed {
                    // The others need not go on.
                    next.store(files.len(), Ordering::Relaxed);
                }
            }
        };
        for _ in 1..threads {
            // Without threads to give, we do it all.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    // Only the failure of another makes one skip a file, and a failed one stands before all that were skipped.
    digests.into_iter().map_while(Mutex::into_inner).collect()
}

struct Storing<'a> {
    left: &'a LeftExecRoot<'a>,
    own: OwnedFd,
    kept: &'a Kept,
    store: &'a DiskStore,
    function: DigestFunction,
    effort: Effort<'a>,
    /// Files may become blobs themselves.
    adopts: bool,
}

impl Storing<'_> {
    fn file(&self, file: &FoundFile) -> Result<Digest, ExecuteError> {
        self.effort.check()?;
        let digest = self.stored_file(file)?;
        self.kept.keep(&digest)?;
        Ok(digest)
    }

    fn stored_file(&self, file: &FoundFile) -> Result<Digest, ExecuteError> {
        let open = openat2(self.own.as_fd(), &file.path, READ, Mode::empty(), STRAIGHT);
        match open {
            Ok(opened) => self.own_file(file, opened),
            Err(Errno::ACCESS) if self.make_readable(file) => {
                let opened = openat2(self.own.as_fd(), &file.path, READ, Mode::empty(), STRAIGHT)
                    .map_err(cannot("open the output", file.path.display()))?;
                self.own_file(file, opened)
            }
            // Not there, or behind a symlink.
            Err(_) => self.other_file(file),
        }
    }

    /// The command's own, as it is: owners may take from themselves the right to read.
    fn make_readable(&self, file: &FoundFile) -> bool {
        let path = self.left.own.join(&file.path);
        !file.through_symlink && fs_err::set_permissions(path, PermissionsExt::from_mode(0o400)).is_ok()
    }

    /// A file that the command has made or changed. If nothing else refers to it, and nobody can have it open for
    /// writing, it becomes the blob. The bytes of a copy are hashed as they are written.
    fn own_file(&self, file: &FoundFile, opened: OwnedFd) -> Result<Digest, ExecuteError> {
        let stat = fstat(&opened).map_err(cannot("look at the output", file.path.display()))?;
        let mut opened = File::from(opened);
        let digest = self.digest(file, &mut opened)?;
        if digest.size_bytes == 0 {
            self.store.write(&digest, bytes::Bytes::new())?;
            return Ok(digest);
        }
        // One that is broken is mended: here are its bytes.
        if self.store.find_unsound(&[digest])?.is_empty() {
            return Ok(digest);
        }
        if self.adopts && stat.st_nlink == 1 && has_no_attributes(&opened) {
            let path = self.left.own.join(&file.path);
            match self.store.adopt(&digest, &path) {
                Ok(()) => return Ok(digest),
                Err(error) => tracing::debug!("{path:?} has to be copied into the store: {error}"),
            }
        }
        self.copy(file, &mut opened, &digest)
    }

    /// A file that the command has not changed, or one that lies behind a symlink.
    fn other_file(&self, file: &FoundFile) -> Result<Digest, ExecuteError> {
        if let Some(digest) = self.input_digest(file)
            && self.store.find_missing(&[digest])?.is_empty()
        {
            return Ok(digest);
        }
        let opened = openat2(self.left.root.as_fd(), &file.path, READ, Mode::empty(), INSIDE)
            .map_err(cannot("open the output", file.path.display()))?;
        let mut opened = File::from(opened);
        let digest = self.digest(file, &mut opened)?;
        self.copy(file, &mut opened, &digest)
    }

    fn input_digest(&self, file: &FoundFile) -> Option<Digest> {
        if file.through_symlink {
            return None;
        }
        let path = ExecPath::parse(file.path.to_str()?).ok()?;
        match self.left.inputs?.find(&path)? {
            Entry::File(input) => Some(input.digest),
            Entry::Directory(_) | Entry::Symlink(_) => None,
        }
    }

    fn digest(&self, file: &FoundFile, opened: &mut File) -> Result<Digest, ExecuteError> {
        // It may have become something else, or longer, if anybody is left who can do that.
        let stat = fstat(&*opened).map_err(cannot("look at the output", file.path.display()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(changed(file, "it is no regular file any more"));
        }
        let mut hasher = self.function.hasher();
        let mut buffer = vec![0; usize::try_from(file.size_bytes).unwrap_or(usize::MAX).clamp(1, 256 << 10)];
        loop {
            match opened.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    if hasher.size_bytes() > file.size_bytes {
                        return Err(changed(file, "it has grown"));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read("read the output", file.path.display())(error)),
            }
            self.effort.check()?;
        }
    }

    fn copy(&self, file: &FoundFile, opened: &mut File, digest: &Digest) -> Result<Digest, ExecuteError> {
        use std::io::Seek;
        opened.rewind().map_err(cannot_read("read again the output", file.path.display()))?;
        let written = self.store.write_from(digest, &mut self.effort.read(opened));
        if written.is_err() {
            self.effort.check()?;
        }
        match written {
            Ok(()) => Ok(*digest),
            Err(StoreError::Mismatch { .. }) => Err(changed(file, "it has other bytes")),
            Err(error) => Err(error.into()),
        }
    }
}

fn changed(file: &FoundFile, how: &str) -> ExecuteError {
    let path = file.path.display();
    ExecuteError::Refused(format!(
        "the output `{path}` was changed by somebody after the command had ended: {how}"
    ))
}

/// Extended attributes would stay with the blob. Those of a file changed in place are overlayfs's notes; labels
/// that the host's security module puts on every file do no harm.
fn has_no_attributes(file: &File) -> bool {
    let mut names = [0; 1024];
    match rustix::fs::flistxattr(file, &mut names) {
        Ok(length) => names[..length]
            .split(|byte| *byte == 0)
            .all(|name| matches!(name, b"" | b"security.selinux" | b"security.SMACK64")),
        Err(error) => error == Errno::NOTSUP,
    }
}

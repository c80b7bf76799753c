//! Files made of blobs, for actions to read: hard links where possible. Knows nothing of trees.
//!
//! All links to an inode have one mode, so a blob's file takes the mode of its first use; for the other mode there
//! is a copy (`variants/`), made when it is first asked for. Of the clients we know, Bazel wants all inputs
//! executable, and with the others hardly a blob is used in both ways.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat, fchmod, linkat, openat, statat};
use rustix::io::Errno;

use super::files::{EXECUTABLE, Files, PLAIN, Temporary, io};
use super::index::Inode;
use super::layout::Key;
use super::proofs::{ATTEMPTS, Look};
use super::reading::keeps_changing;
use super::store::{Core, DiskStore};
use super::writing::{in_parallel, write_failed};
use crate::cas::error::StoreError;
use crate::digest::Digest;

/// The mode of a file made of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// 0444.
    Plain,
    /// 0555.
    Executable,
}

impl FileMode {
    fn bits(self) -> Mode {
        match self {
            Self::Plain => PLAIN,
            Self::Executable => EXECUTABLE,
        }
    }

    fn inode(self) -> Inode {
        match self {
            Self::Plain => Inode::Plain,
            Self::Executable => Inode::Executable,
        }
    }
}

impl DiskStore {
    /// Makes `place`, where nothing may be yet, a file with the bytes of a blob: a hard link where possible, so
    /// whoever gets to see it must not be able to write to it. Pin the blob first, or it may be gone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the file system says.
    pub fn link(&self, digest: &Digest, mode: FileMode, place: &Path) -> Result<(), StoreError> {
        self.core.link(digest, mode, place)
    }

    /// As [`DiskStore::link`] for many files, on several threads if there are enough; each has its own outcome.
    pub fn link_many(&self, links: &[(Digest, FileMode, PathBuf)]) -> Vec<Result<(), StoreError>> {
        in_parallel(links, |(digest, mode, place)| self.core.link(digest, *mode, place))
    }

    /// Makes `place`, where nothing may be yet, a copy of a blob, sharing its blocks where the file system can.
    /// Nothing that is done to it reaches the store.
    pub fn copy_to(&self, digest: &Digest, mode: FileMode, place: &Path) -> Result<(), StoreError> {
        self.core.copy_to(digest, mode, place)
    }
}

/// Where to link to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Own,
    Variant,
}

impl Core {
    fn link(&self, digest: &Digest, mode: FileMode, place: &Path) -> Result<(), StoreError> {
        if digest.size_bytes == 0 {
            return self.copy_to(digest, mode, place);
        }
        let source = self.source(digest, mode)?;
        let outcome = match self.link_inode(digest, source, place) {
            // All the links an inode can have, or a variant that somebody removed.
            Err(Errno::MLINK) => self.link_afresh(digest, mode, source, place)?,
            Err(Errno::NOENT) if source == Source::Variant => {
                self.link_afresh(digest, mode, source, place)?
            }
            other => other,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => {
                self.copy_to(digest, mode, place)
            }
            Err(Errno::NOENT) if !self.is_there(digest)? => Err(StoreError::NotFound(*digest)),
            Err(error) => Err(io(&format!("link blob {digest} to {}", place.display()), error)),
        }
    }

    fn link_inode(&self, digest: &Digest, source: Source, place: &Path) -> Result<(), Errno> {
        let name = match source {
            Source::Own => Key::blob(digest).name(),
            Source::Variant => Key::blob(digest).variant(),
        };
        linkat(&self.files.root, name.as_c_str(), CWD, place, AtFlags::empty())
    }

    /// Makes a new inode for this link and all to come.
    fn link_afresh(
        &self,
        digest: &Digest,
        mode: FileMode,
        source: Source,
        place: &Path,
    ) -> Result<Result<(), Errno>, StoreError> {
        match source {
            Source::Own => self.renew(digest, mode, mode.inode())?,
            Source::Variant => self.make_variant(digest, mode)?,
        }
        Ok(self.link_inode(digest, source, place))
    }

    /// Whether the file of a blob is still there; notes it if not.
    fn is_there(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.files.drop_if_gone(&Key::blob(digest))?;
        self.files.has(digest, 0)
    }

    /// Sees to it that there is an inode with the mode, and bytes that are proven, and says where.
    fn source(&self, digest: &Digest, mode: FileMode) -> Result<Source, StoreError> {
        let key = Key::blob(digest);
        let mut is_proven = false;
        for _ in 0..2 * ATTEMPTS {
            let now = self.files.clock.now();
            let table = self.files.table(&key)?;
            let entry = table.get(&key.hash).filter(|entry| entry.size() == digest.size_bytes);
            let Some(entry) = entry else { return Err(StoreError::NotFound(*digest)) };
            entry.touch(now);
            // Proven by us is proven, however long it took.
            is_proven = is_proven && entry.proven_at() != 0 || self.files.proofs.is_fresh(entry, now);
            let (inode, has_variant) = (entry.inode(), entry.has_variant());
            drop(table);
            if !is_proven {
                self.files.prove(digest)?;
                is_proven = true;
                continue;
            }
            match inode {
                Inode::Free if self.choose_mode(digest, mode)? => return Ok(Source::Own),
                Inode::Free => {}
                Inode::Foreign => self.renew(digest, mode, Inode::Foreign)?,
                inode if inode == mode.inode() => {
                    if self.is_unchanged(digest)? {
                        return Ok(Source::Own);
                    }
                }
                _ => {
                    if !has_variant {
                        self.make_variant(digest, mode)?;
                    }
                    return Ok(Source::Variant);
                }
            }
        }
        Err(keeps_changing(digest))
    }

    /// A file that others have changed meanwhile must not get into a tree. `false` if it has to be proven again.
    fn is_unchanged(&self, digest: &Digest) -> Result<bool, StoreError> {
        match statat(&self.files.root, Key::blob(digest).name().as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => match self.files.compare(digest, &status)? {
                Look::Same => Ok(true),
                Look::Changed => self.files.doubt(digest).map(|()| false),
                Look::Wrong => Err(self.wrong_size(digest)),
            },
            Err(Errno::NOENT) => {
                self.files.drop_if_gone(&Key::blob(digest))?;
                Err(StoreError::NotFound(*digest))
            }
            Err(error) => Err(io(&format!("look at blob {digest}"), error)),
        }
    }

    /// Gives the file of a blob that nobody links to yet its mode for good. `false` if it has become another
    /// matter meanwhile.
    fn choose_mode(&self, digest: &Digest, mode: FileMode) -> Result<bool, StoreError> {
        if !self.is_unchanged(digest)? {
            return Ok(false);
        }
        let key = Key::blob(digest);
        let mut table = self.files.table_mut(&key)?;
        let Some(entry) = table.get_mut(&key.hash) else { return Err(StoreError::NotFound(*digest)) };
        if entry.inode() != Inode::Free {
            return Ok(false);
        }
        match chmodat(&self.files.root, key.name().as_c_str(), mode.bits(), AtFlags::empty()) {
            Ok(()) => {
                entry.set_inode(mode.inode());
                Ok(true)
            }
            // It is not our file. A copy will be.
            Err(Errno::PERM) => {
                entry.set_inode(Inode::Foreign);
                Ok(false)
            }
            Err(error) => Err(io(&format!("set the mode of blob {digest}"), error)),
        }
    }

    /// Replaces the file of a blob by a copy that nobody links to yet, unless it is no longer what it was.
    fn renew(&self, digest: &Digest, mode: FileMode, was: Inode) -> Result<(), StoreError> {
        let copy = self.temporary_copy(digest, mode)?;
        let key = Key::blob(digest);
        let mut table = self.files.table_mut(&key)?;
        let Some(entry) = table.get_mut(&key.hash) else { return Err(StoreError::NotFound(*digest)) };
        if entry.inode() != was {
            return Ok(());
        }
        self.files.replace(copy, &key).map_err(|error| io(&format!("copy blob {digest}"), error))?;
        entry.set_inode(mode.inode());
        // We wrote it, of bytes that were proven.
        entry.set_proven(self.files.clock.now());
        Ok(())
    }

    fn make_variant(&self, digest: &Digest, mode: FileMode) -> Result<(), StoreError> {
        let copy = self.temporary_copy(digest, mode)?;
        let key = Key::blob(digest);
        let mut table = self.files.table_mut(&key)?;
        self.files.put_variant(copy, &key).map_err(|error| io(&format!("copy blob {digest}"), error))?;
        table.set_variant(&key.hash);
        Ok(())
    }

    fn temporary_copy(&self, digest: &Digest, mode: FileMode) -> Result<Temporary<&Files>, StoreError> {
        let mut temporary = Temporary::new(&*self.files)?;
        self.copy_bytes(digest, &mut temporary.file)?;
        fchmod(&temporary.file, mode.bits()).map_err(|error| io("set the mode of a file", error))?;
        Ok(temporary)
    }

    fn copy_to(&self, digest: &Digest, mode: FileMode, place: &Path) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // Nothing is made of a blob that is not there.
        let source = self.file(digest)?;
        let file = openat(CWD, place, flags, mode.bits())
            .map_err(|error| io(&format!("make the file {}", place.display()), error))?;
        let mut file = File::from(file);
        drop(source);
        self.copy_bytes(digest, &mut file)?;
        if self.files.umask_interferes {
            fchmod(&file, mode.bits()).map_err(|error| io("set the mode of a file", error))?;
        }
        Ok(())
    }

    fn copy_bytes(&self, digest: &Digest, target: &mut File) -> Result<(), StoreError> {
        let mut source = self.file(digest)?.into_parts().0;
        // The kernel copies, and shares the blocks where the file system can.
        let copied = std::io::copy(&mut source, target).map_err(|error| write_failed(digest, error))?;
        if copied == digest.size_bytes { Ok(()) } else { Err(self.wrong_size(digest)) }
    }
}

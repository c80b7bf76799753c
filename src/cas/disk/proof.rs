//! Whether files are still what their names say. Knows nothing of who wants to know.
//!
//! What this process wrote, it hashed as it wrote it. What an earlier one left was hashed then, and a disk may have
//! forgotten a bit since; so its bytes are hashed again when it is first used, and all are when their proof is as old as
//! [`StoreSettings::reverify`](super::settings::StoreSettings::reverify). That is done before the first byte is handed
//! on: whoever reads a part of a blob, or links to it, gets no bytes of a broken one, and an error says so in time. It
//! reads a large blob twice, the second time from memory. Between two proofs, a time of modification that has changed
//! shows that somebody has written to the file; it is looked at where the file is looked at anyway.

use std::fs::File;
use std::io::Read;

use rustix::fs::{AtFlags, Stat, Timestamps, fstat, statat, utimensat};
use rustix::io::Errno;

use super::files::{Files, hash_of, io};
use super::index::{Entry, TableMut};
use super::layout::{Key, Kind};
use super::names::unlink;
use super::proofs::{ATTEMPTS, Look, Presence, Settled, is_file, stamp, stamp_of};
use super::results;
use crate::cas::error::StoreError;
use crate::digest::Digest;

impl Files {
    /// What the index knows of a blob; counts as a use of it.
    pub fn presence(&self, digest: &Digest, now: u32) -> Result<Presence, StoreError> {
        if digest.size_bytes == 0 {
            let is_empty = *digest == Digest::empty(digest.function);
            return Ok(if is_empty { Presence::Sound } else { Presence::Missing });
        }
        let table = self.table(&Key::blob(digest))?;
        let found = table.get(&digest.hash).filter(|entry| entry.size() == digest.size_bytes);
        Ok(match found {
            None => Presence::Missing,
            Some(entry) => {
                entry.touch(now);
                if self.proofs.is_fresh(entry, now) { Presence::Sound } else { Presence::Doubtful }
            }
        })
    }

    /// Whether the blob is there and its bytes are its own, after a look at them if there has to be one.
    pub fn holds(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.presence(digest, self.clock.now())? {
            Presence::Missing => Ok(false),
            Presence::Sound => Ok(true),
            Presence::Doubtful => match self.prove(digest) {
                Ok(()) => Ok(true),
                Err(StoreError::NotFound(_)) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Hashes the file of a blob, unless somebody else has just done so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not there, or was not what it must be.
    pub fn prove(&self, digest: &Digest) -> Result<(), StoreError> {
        let key = Key::blob(digest);
        let _turn = self.proofs.turn(key);
        for _ in 0..ATTEMPTS {
            match self.presence(digest, self.clock.now())? {
                Presence::Sound => return Ok(()),
                Presence::Missing => break,
                Presence::Doubtful => {}
            }
            let mut file = self.open_blob_file(digest)?;
            let status = fstat(&file).map_err(|error| io("look at a blob", error))?;
            if self.compare(digest, &status)? == Look::Wrong {
                self.condemn_wrong(digest)?;
                break;
            }
            let (_, flaw) = flaw(&mut file, &key);
            match self.settle(&key, &status, flaw.as_deref())? {
                Settled::Sound => return Ok(()),
                Settled::Broken => break,
                Settled::Replaced => {}
            }
        }
        Err(StoreError::NotFound(*digest))
    }

    /// Notes what the hash of a whole file has shown, which looked like `status` before it was read.
    pub fn settle(&self, key: &Key, status: &Stat, flaw: Option<&str>) -> Result<Settled, StoreError> {
        let is_same = |now: &Stat| (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino);
        self.proofs.count_proven(u64::try_from(status.st_size).unwrap_or(0));
        if let Some(flaw) = flaw {
            let condemned = self.condemn(key, flaw, is_same)?;
            return Ok(if condemned { Settled::Broken } else { Settled::Replaced });
        }
        let mut table = self.table_mut(key)?;
        match statat(&self.root, key.name().as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if is_same(&now) => {}
            _ => return Ok(Settled::Replaced),
        }
        // It was copied from this one, long ago perhaps. Whoever wants it has it made anew.
        self.drop_variant(&mut table, key);
        if let Some(entry) = table.get_mut(&key.hash) {
            entry.set_proven(self.clock.now());
            entry.set_stamp(stamp(status));
        }
        Ok(Settled::Sound)
    }

    /// Compares the file of a blob that somebody looks at with what it was when its bytes were proven.
    pub fn compare(&self, digest: &Digest, status: &Stat) -> Result<Look, StoreError> {
        if !is_file(status) || u64::try_from(status.st_size) != Ok(digest.size_bytes) {
            return Ok(Look::Wrong);
        }
        let table = self.table(&Key::blob(digest))?;
        // One that was evicted since it was opened is what it was.
        let Some(entry) = table.get(&digest.hash) else { return Ok(Look::Same) };
        Ok(if self.is_as_it_was(entry, status) { Look::Same } else { Look::Changed })
    }

    fn is_as_it_was(&self, entry: &Entry, status: &Stat) -> bool {
        let stamp = stamp(status);
        if entry.stamp() != 0 {
            return entry.stamp() == stamp;
        }
        // The first look at what we wrote: nobody had changed it by then, or it would be younger than its proof.
        let written = self.clock.of_file(status.st_mtime);
        let is_older = written.is_some_and(|written| written <= entry.proven_at().saturating_add(1));
        if is_older {
            entry.set_stamp(stamp);
        }
        is_older
    }

    /// Sets the times of a file that is ours alone, which are part of what it looks like. A file that is gone, or
    /// somebody else's, keeps its times; one that has changed is not made to look as if it had not.
    pub fn set_times(&self, key: &Key, times: &Timestamps) {
        let Ok(mut table) = self.table_mut(key) else { return };
        let Some(entry) = table.get_mut(&key.hash) else { return };
        let name = key.name();
        let Ok(status) = statat(&self.root, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) else { return };
        if !self.is_as_it_was(entry, &status) {
            entry.doubt();
        }
        if utimensat(&self.root, name.as_c_str(), times, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            entry.set_stamp(stamp_of(times.last_modification.tv_sec, times.last_modification.tv_nsec));
        }
    }

    /// Somebody has written to a file: its bytes have to be hashed before they are used, and links to it are no good.
    pub fn doubt_written(&self, key: &Key) -> Result<(), StoreError> {
        if let Some(entry) = self.table_mut(key)?.get_mut(&key.hash) {
            entry.doubt();
            self.proofs.count_written();
        }
        Ok(())
    }

    /// The file of a blob does not look as it did: its bytes have to be hashed before they are used.
    pub fn doubt(&self, digest: &Digest) -> Result<(), StoreError> {
        if let Some(entry) = self.table_mut(&Key::blob(digest))?.get_mut(&digest.hash) {
            entry.doubt();
        }
        Ok(())
    }

    /// Someone asks for a blob by a hash we have, with a size that our file has not: either the size is wrong, or
    /// our file is.
    pub fn settle_size(&self, digest: &Digest) -> Result<(), StoreError> {
        let now = self.clock.now();
        let actual = {
            let table = self.table(&Key::blob(digest))?;
            let suspect = table.get(&digest.hash).filter(|entry| !self.proofs.is_fresh(entry, now));
            let Some(entry) = suspect else { return Ok(()) };
            Digest { size_bytes: entry.size(), ..*digest }
        };
        match self.prove(&actual) {
            Err(StoreError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// The file of a blob is none, or has become shorter or longer than it was: it goes, and is not served.
    pub fn condemn_wrong(&self, digest: &Digest) -> Result<bool, StoreError> {
        let is_wrong =
            |status: &Stat| !is_file(status) || u64::try_from(status.st_size) != Ok(digest.size_bytes);
        self.condemn(&Key::blob(digest), "it has not the size of its blob any more, or is no file", is_wrong)
    }

    /// Moves a file that is not what its name says out of the way, if what lies there now `still` is bad: an upload may
    /// have put the right one in its place. Says whether it was.
    pub fn condemn(
        &self,
        key: &Key,
        reason: &str,
        still: impl Fn(&Stat) -> bool,
    ) -> Result<bool, StoreError> {
        let name = key.name();
        let mut table = self.table_mut(key)?;
        let status = match statat(&self.root, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::NOENT) => {
                table.remove(&key.hash);
                return Ok(true);
            }
            Err(error) => return Err(io(&format!("look at {}", name.as_str()), error)),
        };
        if !still(&status) {
            return Ok(false);
        }
        self.drop_variant(&mut table, key);
        table.remove(&key.hash);
        // After it is gone from the index, before anybody can have made another of it.
        self.proofs.count_damaged();
        let moved = if is_file(&status) {
            self.quarantine.take(&self.root, key, &status)
        } else {
            self.set_aside(key)
        };
        moved.map_err(|error| io(&format!("move the damaged file {} away", name.as_str()), error))?;
        tracing::warn!(file = name.as_str(), reason, "moved a damaged file of the store out of the way");
        Ok(true)
    }

    /// Removes the second inode of a blob, if it has one; its table is locked.
    pub fn drop_variant(&self, table: &mut TableMut<'_>, key: &Key) {
        if table.clear_variant(&key.hash) {
            let _ = unlink(&self.root, key.variant().as_c_str());
        }
    }
}

/// Reads all of a file: how many bytes it has, and what is wrong with them.
pub(super) fn flaw(file: &mut File, key: &Key) -> (u64, Option<String>) {
    match key.kind {
        Kind::Blob => match hash_of(file, key.function.hasher()) {
            Ok(actual) if actual.hash == key.hash => (actual.size_bytes, None),
            Ok(actual) => (actual.size_bytes, Some(format!("its bytes have the digest {actual}"))),
            Err(error) => (0, Some(error.to_string())),
        },
        Kind::Result => {
            let mut bytes = Vec::new();
            match file.read_to_end(&mut bytes) {
                Ok(_) => (bytes.len() as u64, results::unseal(&bytes).err().map(str::to_owned)),
                Err(error) => (0, Some(format!("it cannot be read: {error}"))),
            }
        }
    }
}

//! Results of actions: files as in Bazel's disk cache, those used last in memory as well. Knows nothing of whether the
//! outputs they name still exist.

use std::io::{Read, Write};
use std::sync::Arc;

use prost::Message;
use rustix::io::Errno;

use super::eviction::Quota;
use super::files::{Temporary, io};
use super::index::Entry;
use super::layout::Key;
use super::proofs::is_damage;
use super::store::{Core, DiskStore};
use super::writing::write_failed;
use crate::cas::error::StoreError;
use crate::digest::Digest;
use crate::reapi::ActionResult;

/// What our files start with: a field of 16 bytes with a number that `ActionResult` does not have (2000), which
/// other readers skip. It holds the start of the BLAKE3 of the rest, since a message that lost its end, or is
/// empty, is still a message.
const SEAL: [u8; 3] = [0x82, 0x7d, 16];
const SEALED: usize = SEAL.len() + 16;

fn seal(message: &[u8]) -> Vec<u8> {
    let checksum = blake3::hash(message);
    [&SEAL, &checksum.as_bytes()[..16], message].concat()
}

/// The result in a file: one of ours, or one of Bazel's, which has no checksum.
pub(super) fn unseal(bytes: &[u8]) -> Result<ActionResult, &'static str> {
    let message = match bytes.strip_prefix(&SEAL) {
        Some(_) => {
            let (seal, message) = bytes.split_at_checked(SEALED).ok_or("it is too short")?;
            if blake3::hash(message).as_bytes()[..16] != seal[SEAL.len()..] {
                return Err("its checksum is wrong");
            }
            message
        }
        None if bytes.is_empty() => return Err("it is empty"),
        // Bazel's start with a field of a result: those are nothing like a seal.
        None if is_almost_a_seal(bytes) => return Err("its seal is damaged"),
        None => bytes,
    };
    ActionResult::decode(message).map_err(|_| "it is not an action result")
}

/// Whether a few flipped bits keep the start of a file from being [`SEAL`]: without it, nothing would check the rest.
fn is_almost_a_seal(bytes: &[u8]) -> bool {
    let flipped = |(is, was): (&u8, &u8)| (is ^ was).count_ones();
    bytes.len() >= SEALED && bytes.iter().zip(&SEAL).map(flipped).sum::<u32>() <= 3
}

impl DiskStore {
    /// As [`ActionCache::get`](crate::cas::traits::ActionCache::get), without a copy of one that is in memory.
    pub fn result(
        &self,
        instance_name: &str,
        action: &Digest,
    ) -> Result<Option<Arc<ActionResult>>, StoreError> {
        self.core.result(instance_name, action)
    }
}

impl Core {
    pub fn result(
        &self,
        instance_name: &str,
        action: &Digest,
    ) -> Result<Option<Arc<ActionResult>>, StoreError> {
        let key = Key::result(instance_name, action);
        let bad = {
            // Held until the result is in memory, so that it is the one that the file has.
            let table = self.files.table(&key)?;
            let Some(entry) = table.get(&key.hash) else { return Ok(None) };
            entry.touch(self.files.clock.now());
            if let Some(result) = self.recent_results.get(&key) {
                return Ok(Some(result));
            }
            match self.read_result(&key) {
                Ok(Ok((result, cost))) => {
                    let result = Arc::new(result);
                    self.recent_results.insert(key, Arc::clone(&result), cost);
                    return Ok(Some(result));
                }
                Ok(Err(bad)) => Some(bad),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => None,
                Err(error) if Errno::from_io_error(&error).is_some_and(is_damage) => {
                    Some("it cannot be read")
                }
                Err(error) => return Err(io("read an action result", error)),
            }
        };
        match bad {
            // One that was set meanwhile would be set again.
            Some(bad) => drop(self.files.condemn(&key, bad, |_| true)?),
            None => self.files.drop_if_gone(&key)?,
        }
        Ok(None)
    }

    fn read_result(&self, key: &Key) -> std::io::Result<Result<(ActionResult, usize), &'static str>> {
        let mut bytes = Vec::new();
        self.files.open(key)?.read_to_end(&mut bytes)?;
        // Decoded, it takes about twice the memory.
        Ok(unseal(&bytes).map(|result| (result, 2 * bytes.len() + size_of::<ActionResult>())))
    }

    pub fn put_result(
        &self,
        instance_name: &str,
        action: &Digest,
        result: &ActionResult,
    ) -> Result<(), StoreError> {
        let key = Key::result(instance_name, action);
        let bytes = seal(&result.encode_to_vec());
        let size_bytes = bytes.len() as u64;
        let _reservation = Quota::reserve(&*self.quota, &self.files, &Digest { size_bytes, ..*action })?;
        let mut temporary = Temporary::new(&*self.files)?;
        temporary.file.write_all(&bytes).map_err(|error| write_failed(action, error))?;
        if self.fsync {
            temporary.file.sync_data().map_err(|error| write_failed(action, error))?;
        }
        let entry = Entry::new(key.hash, size_bytes, self.files.clock.now());
        let cost = 2 * bytes.len() + size_of::<ActionResult>();
        let result = Arc::new(result.clone());
        self.files.publish(temporary, &key, entry, || self.recent_results.insert(key, result, cost))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reapi::OutputFile;

    fn result() -> ActionResult {
        let file = |path: &str| OutputFile { path: path.into(), ..OutputFile::default() };
        ActionResult { output_files: vec![file("a"), file("b")], exit_code: 3, ..ActionResult::default() }
    }

    #[test]
    fn a_sealed_result_is_a_message_for_everyone() {
        let sealed = seal(&result().encode_to_vec());
        assert_eq!(unseal(&sealed), Ok(result()));
        assert_eq!(ActionResult::decode(&sealed[..]), Ok(result()), "as Bazel reads it");
        assert_eq!(unseal(&result().encode_to_vec()), Ok(result()), "as Bazel writes it");
        assert_eq!(unseal(&seal(&[])), Ok(ActionResult::default()));
    }

    #[test]
    fn a_sealed_result_that_lost_its_end_is_none() {
        let sealed = seal(&result().encode_to_vec());
        assert!((0..sealed.len()).all(|length| unseal(&sealed[..length]).is_err()));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_sealed_result_is_noticed() {
        let sealed = seal(&result().encode_to_vec());
        for bit in 0..8 * sealed.len() {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&damaged).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(bytes: Vec<u8>) {
            let _ = unseal(&bytes);
            let _ = unseal(&[&SEAL[..], &bytes].concat());
        }
    }
}

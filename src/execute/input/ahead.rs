//! Fetches the directories of an input root before they are read: by one call where the engine has one for that, else
//! level by level, as many at a time as there are in one. Knows nothing of files.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;

use super::directory::InputDirectory;
use super::limits::InputLimits;
use super::source::Source;
use crate::cas::{BlobStore, MAX_DIRECTORY_BYTES, Pins, StoreError};
use crate::digest::Digest;
use crate::execute::error::ExecuteError;
use crate::reapi;

/// Directories that are here, and stay here until they have been read.
#[derive(Default)]
pub struct Ahead {
    _known: Vec<Arc<InputDirectory>>,
    _pins: Option<Pins>,
}

impl Source<'_> {
    /// Has the directories of `root` in the store, but for those that are in memory (`known`), those that are missing,
    /// and what is below either. Does nothing where nothing can be fetched.
    ///
    /// # Errors
    /// Whatever keeps a directory from being fetched that may be there, and [`ExecuteError::Invalid`] for more of them
    /// than an input root may have.
    pub fn fetch_directories(
        &self,
        root: &Digest,
        limits: &InputLimits,
        known: impl Fn(&Digest) -> Option<Arc<InputDirectory>>,
    ) -> Result<Ahead, ExecuteError> {
        let mut ahead = Ahead::default();
        let Some(fetching) = self.fetching else { return Ok(ahead) };
        let is_new = !self.store.contains(root)?;
        let mut seen = HashSet::from([*root]);
        let mut level = vec![*root];
        let mut depth = 0;
        while !level.is_empty() {
            self.check_cancelled()?;
            depth += 1;
            limits.check_depth(depth)?;
            level.retain(|digest| match known(digest) {
                Some(directory) => {
                    ahead._known.push(directory);
                    false
                }
                // Whoever reads it says that it is too large.
                None => digest.size_bytes <= MAX_DIRECTORY_BYTES,
            });
            let pins = fetching.pin_present(&level).map_err(|error| self.failed(error))?.0;
            match &mut ahead._pins {
                Some(all) => all.join(pins),
                none => *none = Some(pins),
            }
            level = self.children(&level, &mut seen, limits)?;
            if depth == 1 && is_new && self.is_cold(&level)? {
                fetching.fetch_directories(root).map_err(|error| self.failed(error))?;
            }
        }
        Ok(ahead)
    }

    /// The subdirectories of those of `directories` that are here, but for those that were `seen`. What is wrong with one is
    /// for others to say.
    fn children(
        &self,
        directories: &[Digest],
        seen: &mut HashSet<Digest>,
        limits: &InputLimits,
    ) -> Result<Vec<Digest>, ExecuteError> {
        let mut children = Vec::new();
        for digest in directories {
            let bytes = match self.store.read_directory(digest) {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let Ok(message) = reapi::Directory::decode(bytes) else { continue };
            for node in &message.directories {
                let child = Digest::from_field(digest.function, node.digest.as_ref());
                children.extend(child.ok().filter(|child| seen.insert(*child)));
            }
            // A level may have many, and each of them many more.
            limits.check_entries(seen.len() as u64)?;
        }
        Ok(children)
    }

    /// Whether nothing is known of any of them: an input root that differs in a few from others is cheaper to be had one
    /// by one.
    fn is_cold(&self, directories: &[Digest]) -> Result<bool, ExecuteError> {
        // The empty one is everywhere.
        let some: Vec<Digest> = directories.iter().copied().filter(|digest| digest.size_bytes > 0).collect();
        Ok(!some.is_empty() && self.store.find_missing(&some)?.len() == some.len())
    }
}

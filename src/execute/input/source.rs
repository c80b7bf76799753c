//! Where the blobs of an action come from: the store, and the engine's for what is not there. Says what is missing, by
//! name. Knows nothing of how they become files.

use std::collections::HashSet;
use std::sync::Arc;

use super::directory::{Entry, InputDirectory};
use crate::cancellation::Cancellation;
use crate::cas::{DiskStore, FetchingStore, Pins, StoreError, Unpinned};
use crate::digest::Digest;
use crate::execute::error::{ExecuteError, MissingInput};
use crate::execute::path::ExecPath;

/// The blobs of one action.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// What is here.
    pub store: &'a DiskStore,
    /// What is elsewhere, and how it gets here.
    pub fetching: Option<&'a FetchingStore>,
    /// Ends what takes long, beside calls.
    pub cancellation: &'a Cancellation,
}

impl Source<'_> {
    /// Keeps the blobs of `files` in the store, and fetches those that are not there if there is where from.
    ///
    /// # Errors
    /// [`ExecuteError::MissingInputs`] with all that are nowhere.
    pub fn pin(&self, files: &[(Digest, ExecPath)]) -> Result<Pins, ExecuteError> {
        let mut digests: Vec<Digest> =
            files.iter().map(|(digest, _)| *digest).filter(|digest| digest.size_bytes > 0).collect();
        digests.sort_unstable();
        digests.dedup();
        let Some(fetching) = self.fetching else {
            return match self.store.pin(&digests) {
                Ok(pins) => Ok(pins),
                Err(missing) => Err(ExecuteError::MissingInputs(self.missing_files(&missing, files)?)),
            };
        };
        fetching.pin(&digests).map_err(|error| match error {
            Unpinned::Missing(missing) => {
                let missing: HashSet<Digest> = missing.into_iter().collect();
                ExecuteError::MissingInputs(named(files, |digest| missing.contains(digest)))
            }
            Unpinned::Failed(error) => self.failed(error),
        })
    }

    /// What to make of an error of the store that came after `files` were pinned: somebody may have removed blobs
    /// behind its back.
    pub fn explain(&self, error: ExecuteError, files: &[(Digest, ExecPath)]) -> ExecuteError {
        if !matches!(error, ExecuteError::Store(StoreError::NotFound(_))) {
            return error;
        }
        let missing = missing_here(self.store, &[], files);
        if missing.is_empty() { error } else { ExecuteError::MissingInputs(missing) }
    }

    /// Those of `files` that are nowhere, each once; `known` are missing here.
    ///
    /// # Errors
    /// If the engine cannot be asked.
    pub fn missing_files(
        &self,
        known: &[Digest],
        files: &[(Digest, ExecPath)],
    ) -> Result<Vec<MissingInput>, ExecuteError> {
        let mut missing = missing_here(self.store, known, files);
        if let Some(fetching) = self.fetching
            && !missing.is_empty()
        {
            let asked: Vec<Digest> = missing.iter().map(|input| input.digest).collect();
            let nowhere = fetching.missing_upstream(&asked).map_err(|error| self.failed(error))?;
            let nowhere: HashSet<Digest> = nowhere.into_iter().collect();
            missing.retain(|input| nowhere.contains(&input.digest));
        }
        Ok(missing)
    }

    /// # Errors
    /// Once nobody wants the action any more.
    pub fn check_cancelled(&self) -> Result<(), ExecuteError> {
        self.cancellation.check().map_err(|_| ExecuteError::Cancelled)
    }

    /// What ends for being cancelled is no failure of the store.
    pub fn failed(&self, error: StoreError) -> ExecuteError {
        self.check_cancelled().err().unwrap_or(ExecuteError::Store(error))
    }
}

/// Those of `files` that are not in the store, each once. It may learn late of blobs that somebody has removed, so
/// all are looked for, beside those that it knows to be missing.
fn missing_here(store: &DiskStore, known: &[Digest], files: &[(Digest, ExecPath)]) -> Vec<MissingInput> {
    let known: HashSet<&Digest> = known.iter().collect();
    named(files, |digest| {
        known.contains(digest)
            || digest.size_bytes > 0 && matches!(store.file(digest), Err(StoreError::NotFound(_)))
    })
}

fn named(files: &[(Digest, ExecPath)], is_gone: impl Fn(&Digest) -> bool) -> Vec<MissingInput> {
    let mut seen = HashSet::new();
    let missing = files.iter().filter(|(digest, _)| seen.insert(digest) && is_gone(digest));
    let missing = missing.map(|(digest, path)| {
        let role = format!("the input file `{path}`");
        MissingInput { digest: *digest, role }
    });
    missing.collect()
}

/// All blobs that `directory` is made of, and where each is needed.
pub fn all_blobs(directory: &Arc<InputDirectory>) -> Vec<(Digest, ExecPath)> {
    let mut files = Vec::new();
    blobs(&Entry::Directory(Arc::clone(directory)), &ExecPath::default(), &mut files);
    files
}

/// As [`all_blobs`], of whatever is at `path`.
pub fn blobs(entry: &Entry, path: &ExecPath, found: &mut Vec<(Digest, ExecPath)>) {
    match entry {
        Entry::File(file) => found.push((file.digest, path.clone())),
        Entry::Directory(directory) => {
            for (name, entry) in &directory.entries {
                blobs(entry, &path.join(name), found);
            }
        }
        Entry::Symlink(_) => {}
    }
}

//! Reads input roots from where they are: every `Directory` once, as long as somebody uses it. Knows nothing of how
//! they become files.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prost::Message;

use super::directory::{Entry, InputDirectory};
use super::limits::InputLimits;
use super::source::Source;
use crate::cas::{BlobStore, StoreError};
use crate::digest::Digest;
use crate::execute::error::{ExecuteError, MissingInput};
use crate::execute::path::{ExecPath, LONGEST};
use crate::reapi;

/// Reads directories, and remembers those that are in use and some of those that were.
#[derive(Debug)]
pub struct InputReader {
    limits: InputLimits,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    directories: HashMap<Digest, Weak<InputDirectory>>,
    /// Dead ones are dropped when there are this many.
    next_cleaning: usize,
    /// Input roots of late, so that those without a tree are not read every time.
    recent: VecDeque<Arc<InputDirectory>>,
}

/// Input roots that are remembered for being recent, and how large each may be for that.
const RECENT: usize = 64;
const RECENT_ENTRIES: u64 = 20_000;

impl InputReader {
    pub fn new(limits: InputLimits) -> Self {
        Self { limits, known: Mutex::default() }
    }

    /// The input root with this digest.
    ///
    /// # Errors
    /// [`ExecuteError::MissingInputs`] with every directory that is known to be missing, and every missing file
    /// of the others; [`ExecuteError::Invalid`] for a directory that is not one.
    pub fn read(&self, root: &Digest, source: &Source<'_>) -> Result<Arc<InputDirectory>, ExecuteError> {
        // Kept until all has been read.
        let _ahead = source.fetch_directories(root, &self.limits, |digest| self.known(digest))?;
        let mut reading = Reading {
            reader: self,
            source,
            missing: Vec::new(),
            incomplete: HashSet::new(),
            searched: HashSet::new(),
            complete: Vec::new(),
            depth: 0,
        };
        match reading.directory(root, &ExecPath::default())? {
            Some(root) if reading.missing.is_empty() => {
                self.check_size(&root)?;
                self.remember(&root);
                Ok(root)
            }
            _ => Err(ExecuteError::MissingInputs(reading.missing)),
        }
    }

    fn check_size(&self, root: &InputDirectory) -> Result<(), ExecuteError> {
        let totals = &root.totals;
        self.limits.check_entries(totals.entries)?;
        // Those that are known were not gone into.
        self.limits.check_depth(totals.depth)?;
        if totals.longest_path > LONGEST {
            let problem =
                format!("has a path of {} bytes; at most {LONGEST} are accepted", totals.longest_path);
            return Err(ExecuteError::invalid("action.input_root_digest", problem));
        }
        Ok(())
    }

    fn remember(&self, root: &Arc<InputDirectory>) {
        if root.totals.entries > RECENT_ENTRIES {
            return;
        }
        let mut known = self.known.lock();
        if known.recent.iter().rev().take(RECENT / 4).any(|recent| recent.digest == root.digest) {
            return;
        }
        if known.recent.len() == RECENT {
            known.recent.pop_front();
        }
        known.recent.push_back(Arc::clone(root));
    }

    fn known(&self, digest: &Digest) -> Option<Arc<InputDirectory>> {
        self.known.lock().directories.get(digest)?.upgrade()
    }

    fn insert(&self, directory: InputDirectory) -> Arc<InputDirectory> {
        let directory = Arc::new(directory);
        let mut known = self.known.lock();
        if known.directories.len() >= known.next_cleaning {
            known.directories.retain(|_, directory| directory.strong_count() > 0);
            known.next_cleaning = (known.directories.len() * 2).max(1024);
        }
        known.directories.insert(directory.digest, Arc::downgrade(&directory));
        directory
    }
}

/// One input root being read.
struct Reading<'a> {
    reader: &'a InputReader,
    source: &'a Source<'a>,
    missing: Vec<MissingInput>,
    /// Directories that are missing or lack something. Shared ones are met again; all has been said about them.
    incomplete: HashSet<Digest>,
    /// Complete directories in which missing files have been looked for.
    searched: HashSet<Digest>,
    /// Keeps what was read from being forgotten before it is all there.
    complete: Vec<Arc<InputDirectory>>,
    depth: usize,
}

impl Reading<'_> {
    /// None if it, or something below it, is missing.
    fn directory(
        &mut self,
        digest: &Digest,
        path: &ExecPath,
    ) -> Result<Option<Arc<InputDirectory>>, ExecuteError> {
        if let Some(known) = self.reader.known(digest) {
            return Ok(Some(known));
        }
        if self.incomplete.contains(digest) {
            return Ok(None);
        }
        self.reader.limits.check_depth(self.depth.saturating_add(1))?;
        let bytes = match self.source.store.read_directory(digest) {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound(_)) => {
                let role = if path.is_empty() {
                    "the input root".to_owned()
                } else {
                    format!("the input directory `{path}`")
                };
                self.incomplete.insert(*digest);
                self.missing.push(MissingInput { digest: *digest, role });
                return Ok(None);
            }
            Err(error @ StoreError::TooLarge { .. }) => {
                let field = format!("action.input_root_digest: directory `{path}`");
                return Err(ExecuteError::invalid(field, error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let invalid = |(field, problem): (String, String)| {
            ExecuteError::invalid(format!("action.input_root_digest: directory `{path}`: {field}"), problem)
        };
        let message = reapi::Directory::decode(bytes)
            .map_err(|error| invalid(("its bytes".into(), format!("are no Directory message: {error}"))))?;
        let children = self.children(&message, digest, path, invalid)?;
        let Some(children) = children else {
            self.find_missing_files(&message, digest, path)?;
            self.incomplete.insert(*digest);
            return Ok(None);
        };
        let directory = InputDirectory::new(*digest, message, children).map_err(invalid)?;
        let directory = self.reader.insert(directory);
        self.complete.push(Arc::clone(&directory));
        Ok(Some(directory))
    }

    /// The subdirectories in their order; none if some are missing.
    fn children(
        &mut self,
        message: &reapi::Directory,
        digest: &Digest,
        path: &ExecPath,
        invalid: impl Fn((String, String)) -> ExecuteError,
    ) -> Result<Option<Vec<Arc<InputDirectory>>>, ExecuteError> {
        let mut children = Some(Vec::with_capacity(message.directories.len()));
        for (index, node) in message.directories.iter().enumerate() {
            let child = Digest::from_field(digest.function, node.digest.as_ref())
                .map_err(|error| invalid((format!("directories[{index}].digest"), error.to_string())))?;
            self.depth += 1;
            let child = self.directory(&child, &path.join(&node.name));
            self.depth -= 1;
            match child? {
                Some(child) => {
                    if let Some(children) = &mut children {
                        children.push(child);
                    }
                }
                None => children = None,
            }
        }
        Ok(children)
    }

    /// Something is missing anyway: says what else is, so that the client need not come back for it. The files of
    /// directories that are complete are looked for here, too.
    fn find_missing_files(
        &mut self,
        message: &reapi::Directory,
        digest: &Digest,
        path: &ExecPath,
    ) -> Result<(), ExecuteError> {
        let mut files = Vec::new();
        for file in &message.files {
            if let Ok(file_digest) = Digest::from_field(digest.function, file.digest.as_ref()) {
                files.push((file_digest, path.join(&file.name)));
            }
        }
        for node in &message.directories {
            let known = Digest::from_field(digest.function, node.digest.as_ref())
                .ok()
                .and_then(|child| self.reader.known(&child));
            if let Some(known) = known {
                self.collect_files(&known, &path.join(&node.name), &mut files);
            }
        }
        let known: HashSet<Digest> = self.missing.iter().map(|input| input.digest).collect();
        let missing = self.source.missing_files(&[], &files)?;
        self.missing.extend(missing.into_iter().filter(|input| !known.contains(&input.digest)));
        Ok(())
    }

    /// Each directory's files once, at one of the paths where it is seen.
    fn collect_files(
        &mut self,
        directory: &InputDirectory,
        path: &ExecPath,
        files: &mut Vec<(Digest, ExecPath)>,
    ) {
        if !self.searched.insert(directory.digest) {
            return;
        }
        for (name, entry) in &directory.entries {
            match entry {
                Entry::File(file) => files.push((file.digest, path.join(name))),
                Entry::Directory(child) => self.collect_files(child, &path.join(name), files),
                Entry::Symlink(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::Cancellation;
    use crate::cas::{DiskStore, MAX_DIRECTORY_BYTES, StoreSettings};
    use crate::digest::DigestFunction;

    #[test]
    fn a_directory_that_claims_to_be_huge_is_refused_by_name() {
        let place = tempfile::tempdir().unwrap();
        let settings = StoreSettings { directory: place.path().to_owned(), ..StoreSettings::default() };
        let store = DiskStore::open(&settings).unwrap();
        let mut huge = DigestFunction::Sha256.digest(b"huge");
        huge.size_bytes = MAX_DIRECTORY_BYTES + 1;
        let child = reapi::DirectoryNode { name: "sub".into(), digest: Some(huge.to_message()) };
        let root = reapi::Directory { directories: vec![child], ..Default::default() }.encode_to_vec();
        let root_digest = DigestFunction::Sha256.digest(&root);
        store.write(&root_digest, root.into()).unwrap();
        let reader = InputReader::new(InputLimits::default());
        let cancellation = Cancellation::default();
        let source = Source { store: &store, fetching: None, cancellation: &cancellation };
        for (digest, path) in [(huge, "`.`"), (root_digest, "`sub`")] {
            let refused = reader.read(&digest, &source).unwrap_err();
            assert!(matches!(refused, ExecuteError::Invalid { .. }), "{refused}");
            let text = refused.to_string();
            assert!(text.contains(path) && text.contains(&huge.to_string()), "{text}");
        }
        // One that may be read is only missing.
        huge.size_bytes = MAX_DIRECTORY_BYTES;
        assert!(matches!(reader.read(&huge, &source).unwrap_err(), ExecuteError::MissingInputs(_)));
    }
}

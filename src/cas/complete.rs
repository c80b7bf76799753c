//! Action results of which every output is still there. Knows nothing of who asks.
//!
//! A client that gets a result relies on every blob in it (REAPI `GetActionResult`). What a result needs is found out
//! once, trees included, and remembered; after that a look-up costs one question to the index of blobs, which
//! counts as a use of all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use super::error::StoreError;
use super::lru_cache::LruCache;
use super::traits::{ActionCache, BlobStore};
use crate::digest::{Digest, InvalidBlobDigest};
use crate::reapi::{self, ActionResult, Directory, Tree};

/// An action cache that knows only results whose outputs are all in the store.
///
/// All writes have to go through it. (What is written past it is seen after [`BELIEVED_FOR`] at the latest.)
pub struct CompleteActionCache {
    results: Arc<dyn ActionCache>,
    blobs: Arc<dyn BlobStore>,
    memory: Mutex<Memory>,
    trees: Mutex<LruCache<TreeKey, Arc<[Digest]>>>,
}

/// A result, and how it is sent.
#[derive(Debug)]
pub struct CompleteResult {
    pub result: ActionResult,
    /// `result` without standard output and error in it where there are digests of them.
    pub encoded: Bytes,
    /// Blobs that the result names itself.
    named: Vec<Digest>,
    /// Blobs that its output directories name.
    in_trees: Vec<Arc<[Digest]>>,
}

/// Why a result cannot be given to anybody.
#[derive(Debug, thiserror::Error)]
pub enum IncompleteResult {
    /// Blobs that are not in the store.
    #[error("{} outputs are not in the store", .0.len())]
    Missing(Vec<Digest>),

    /// Something is not what it must be. `field` is a path, as in `action_result.output_files[2].digest`.
    #[error("{field}: {problem}")]
    Invalid { field: String, problem: String },

    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Clone)]
struct Known {
    result: Arc<CompleteResult>,
    since: Instant,
}

/// Results that were given or set of late.
struct Memory {
    known: LruCache<(String, Digest), Known>,
    /// Counts writes of results, by the first byte of the action's hash. Who reads a result from the store may remember
    /// it only if none was written meanwhile: what was read may have been replaced.
    writes: [u64; 256],
}

/// A tree is remembered as either of the two messages that can describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TreeKey {
    Tree(Digest),
    Directory(Digest),
}

/// How long a result is taken from memory before the store is asked again, which then knows that it is in use.
pub const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// Bytes of results, and of digests in trees, that are remembered.
const MEMORY: usize = 64 << 20;

impl std::fmt::Debug for CompleteActionCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CompleteActionCache").finish_non_exhaustive()
    }
}

/// As many blobs are looked for in some ten microseconds.
const FEW_BLOBS: usize = 256;

impl CompleteResult {
    fn blob_count(&self) -> usize {
        self.named.len() + self.in_trees.iter().map(|tree| tree.len()).sum::<usize>()
    }
}

impl CompleteActionCache {
    /// Over the two faces of one store.
    pub fn new<S: ActionCache + BlobStore + 'static>(store: Arc<S>) -> Self {
        Self::over(Arc::clone(&store) as Arc<dyn ActionCache>, store)
    }

    fn over(results: Arc<dyn ActionCache>, blobs: Arc<dyn BlobStore>) -> Self {
        Self {
            results,
            blobs,
            memory: Mutex::new(Memory { known: LruCache::new(MEMORY), writes: [0; 256] }),
            trees: Mutex::new(LruCache::new(MEMORY)),
        }
    }

    /// The result from memory, if it is there and complete: without waiting for a disk, and without thousands
    /// of outputs to look for, so it may be asked for where nothing must take long.
    pub fn from_memory(
        &self,
        instance_name: &str,
        action: &Digest,
    ) -> Result<Option<Arc<CompleteResult>>, StoreError> {
        match self.known(instance_name, action) {
            Some(result) if result.blob_count() <= FEW_BLOBS => self.if_complete(result),
            _ => Ok(None),
        }
    }

    fn known(&self, instance_name: &str, action: &Digest) -> Option<Arc<CompleteResult>> {
        let known = self.memory.lock().known.get(&key(instance_name, action))?;
        (known.since.elapsed() < BELIEVED_FOR).then_some(known.result)
    }

    fn if_complete(&self, result: Arc<CompleteResult>) -> Result<Option<Arc<CompleteResult>>, StoreError> {
        Ok(self.missing(&result)?.is_empty().then_some(result))
    }

    /// The result, if there is one and all its outputs are there.
    pub fn lookup(
        &self,
        instance_name: &str,
        action: &Digest,
    ) -> Result<Option<Arc<CompleteResult>>, StoreError> {
        if let Some(result) = self.known(instance_name, action)
            && let Some(result) = self.if_complete(result)?
        {
            return Ok(Some(result));
        }
        let writes_before = self.writes(action);
        let Some(result) = self.results.get(instance_name, action)? else {
            self.memory.lock().known.remove(&key(instance_name, action));
            return Ok(None);
        };
        match self.complete(action, result) {
            Ok(result) => {
                let mut memory = self.memory.lock();
                if *memory.writes(action) == writes_before {
                    memory.remember(instance_name, action, Arc::clone(&result));
                }
                Ok(Some(result))
            }
            Err(IncompleteResult::Store(error)) => Err(error),
            Err(incomplete) => {
                tracing::debug!(%action, %incomplete, "not a hit");
                Ok(None)
            }
        }
    }

    /// Sets a result after a look at whether all of its outputs are there.
    ///
    /// # Errors
    /// [`IncompleteResult`] for one that nobody could be given; then nothing is changed.
    pub fn put_complete(
        &self,
        instance_name: &str,
        action: &Digest,
        result: ActionResult,
    ) -> Result<Arc<CompleteResult>, IncompleteResult> {
        let result = self.complete(action, result)?;
        let writes_before = self.writes(action);
        self.results.put(instance_name, action, &result.result)?;
        let mut memory = self.memory.lock();
        if *memory.writes(action) == writes_before {
            memory.remember(instance_name, action, Arc::clone(&result));
        } else {
            // Which of the two is in the store now is not known here.
            memory.known.remove(&key(instance_name, action));
        }
        *memory.writes(action) += 1;
        Ok(result)
    }

    fn writes(&self, action: &Digest) -> u64 {
        *self.memory.lock().writes(action)
    }

    /// What `result` needs, looked up.
    fn complete(
        &self,
        action: &Digest,
        result: ActionResult,
    ) -> Result<Arc<CompleteResult>, IncompleteResult> {
        let named = named_blobs(action, &result)?;
        let in_trees = self.blobs_in_trees(action, &result)?;
        let result = Arc::new(CompleteResult { encoded: encoded(&result), result, named, in_trees });
        let missing = self.missing(&result)?;
        if missing.is_empty() { Ok(result) } else { Err(IncompleteResult::Missing(missing)) }
    }

    fn missing(&self, result: &CompleteResult) -> Result<Vec<Digest>, StoreError> {
        let mut missing = self.blobs.find_missing(&result.named)?;
        for tree in &result.in_trees {
            missing.extend(self.blobs.find_missing(tree)?);
        }
        Ok(missing)
    }

    fn blobs_in_trees(
        &self,
        action: &Digest,
        result: &ActionResult,
    ) -> Result<Vec<Arc<[Digest]>>, IncompleteResult> {
        let mut blobs = Vec::new();
        for (index, directory) in result.output_directories.iter().enumerate() {
            let field = format!("action_result.output_directories[{index}]");
            if let Some(tree) = &directory.tree_digest {
                let digest = resolve(action, &format!("{field}.tree_digest"), Some(tree))?;
                blobs.push(self.remembered_tree(TreeKey::Tree(digest), || self.read_tree(&digest))?);
            }
            // Set only where the `Directory` messages were asked for, beside the tree or instead of it (REAPI
            // `OutputDirectoryFormat`), so that clients count on them.
            if let Some(root) = &directory.root_directory_digest {
                let digest = resolve(action, &format!("{field}.root_directory_digest"), Some(root))?;
                blobs.push(
                    self.remembered_tree(TreeKey::Directory(digest), || self.read_directories(&digest))?,
                );
            }
        }
        Ok(blobs)
    }

    fn remembered_tree(
        &self,
        key: TreeKey,
        read: impl FnOnce() -> Result<Vec<Digest>, IncompleteResult>,
    ) -> Result<Arc<[Digest]>, IncompleteResult> {
        if let Some(blobs) = self.trees.lock().get(&key) {
            return Ok(blobs);
        }
        let blobs: Arc<[Digest]> = read()?.into();
        self.trees.lock().insert(key, Arc::clone(&blobs), 128 + blobs.len() * size_of::<Digest>());
        Ok(blobs)
    }

    /// The files of a `Tree`.
    fn read_tree(&self, digest: &Digest) -> Result<Vec<Digest>, IncompleteResult> {
        let name = format!("tree {digest}");
        let tree: Tree = decode(&name, &self.blobs.read_tree(digest).map_err(unreadable)?)?;
        let mut blobs = HashSet::new();
        for directory in tree.root.iter().chain(&tree.children) {
            files(digest, &name, directory, &mut blobs)?;
        }
        Ok(blobs.into_iter().collect())
    }

    /// The `Directory` messages below and with `root`, and all files in them.
    fn read_directories(&self, root: &Digest) -> Result<Vec<Digest>, IncompleteResult> {
        let mut blobs = HashSet::from([*root]);
        let mut pending = vec![*root];
        while let Some(digest) = pending.pop() {
            let name = format!("directory {digest}");
            let directory: Directory =
                decode(&name, &self.blobs.read_directory(&digest).map_err(unreadable)?)?;
            files(root, &name, &directory, &mut blobs)?;
            for (index, node) in directory.directories.iter().enumerate() {
                let field = format!("{name}.directories[{index}].digest");
                let child = resolve(root, &field, node.digest.as_ref())?;
                if blobs.insert(child) {
                    pending.push(child);
                }
            }
        }
        Ok(blobs.into_iter().collect())
    }
}

/// Results whose outputs are not all there are as good as none, and are not written.
/// Whether `blobs` has all outputs of a result, those within its directories included.
///
/// # Errors
/// If that cannot be found out.
pub fn is_complete(
    blobs: Arc<dyn BlobStore>,
    action: &Digest,
    result: &ActionResult,
) -> Result<bool, StoreError> {
    let cache = CompleteActionCache::over(Arc::new(NoResults), blobs);
    match cache.complete(action, result.clone()) {
        Ok(_) => Ok(true),
        Err(IncompleteResult::Store(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// For who has a result already.
struct NoResults;

impl ActionCache for NoResults {
    fn get(&self, _instance_name: &str, _action: &Digest) -> Result<Option<ActionResult>, StoreError> {
        Ok(None)
    }

    fn put(&self, _instance_name: &str, _action: &Digest, _result: &ActionResult) -> Result<(), StoreError> {
        Ok(())
    }
}

impl ActionCache for CompleteActionCache {
    fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError> {
        Ok(self.lookup(instance_name, action)?.map(|complete| complete.result.clone()))
    }

    fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError> {
        let outcome = self.results.put(instance_name, action, result);
        // If it failed, too: it may be there all the same.
        let mut memory = self.memory.lock();
        memory.known.remove(&key(instance_name, action));
        *memory.writes(action) += 1;
        outcome
    }
}

impl Memory {
    fn writes(&mut self, action: &Digest) -> &mut u64 {
        &mut self.writes[usize::from(action.hash[0])]
    }

    fn remember(&mut self, instance_name: &str, action: &Digest, result: Arc<CompleteResult>) {
        let weight = 256 + 2 * result.encoded.len() + result.named.len() * size_of::<Digest>();
        let known = Known { result, since: Instant::now() };
        self.known.insert(key(instance_name, action), known, weight);
    }
}

fn unreadable(error: StoreError) -> IncompleteResult {
    match error {
        StoreError::NotFound(digest) => IncompleteResult::Missing(vec![digest]),
        StoreError::TooLarge { what, digest, limit } => IncompleteResult::Invalid {
            field: format!("{} {digest}", what.to_lowercase()),
            problem: format!("is too large: at most {limit} bytes are read"),
        },
        other => other.into(),
    }
}

fn key(instance_name: &str, action: &Digest) -> (String, Digest) {
    (instance_name.to_owned(), *action)
}

fn named_blobs(action: &Digest, result: &ActionResult) -> Result<Vec<Digest>, IncompleteResult> {
    let mut blobs = Vec::new();
    for (index, file) in result.output_files.iter().enumerate() {
        let field = format!("action_result.output_files[{index}].digest");
        blobs.push(resolve(action, &field, file.digest.as_ref())?);
    }
    for (index, directory) in result.output_directories.iter().enumerate() {
        let field = format!("action_result.output_directories[{index}].tree_digest");
        match (&directory.tree_digest, &directory.root_directory_digest) {
            (None, Some(_)) => {}
            (tree, _) => blobs.push(resolve(action, &field, tree.as_ref())?),
        }
    }
    for (name, digest) in [("stdout", &result.stdout_digest), ("stderr", &result.stderr_digest)] {
        if let Some(digest) = digest {
            blobs.push(resolve(action, &format!("action_result.{name}_digest"), Some(digest))?);
        }
    }
    Ok(blobs)
}

fn files(
    of: &Digest,
    name: &str,
    directory: &Directory,
    blobs: &mut HashSet<Digest>,
) -> Result<(), IncompleteResult> {
    for (index, file) in directory.files.iter().enumerate() {
        blobs.insert(match Digest::from_field(of.function, file.digest.as_ref()) {
            Ok(digest) => digest,
            Err(problem) => return Err(invalid(&format!("{name}.files[{index}].digest"), &problem)),
        });
    }
    Ok(())
}

/// A digest that is of the same function as `of`.
fn resolve(of: &Digest, field: &str, digest: Option<&reapi::Digest>) -> Result<Digest, IncompleteResult> {
    Digest::from_field(of.function, digest).map_err(|problem| invalid(field, &problem))
}

fn invalid(field: &str, problem: &InvalidBlobDigest) -> IncompleteResult {
    IncompleteResult::Invalid { field: field.to_owned(), problem: problem.to_string() }
}

fn decode<M: Message + Default>(name: &str, bytes: &[u8]) -> Result<M, IncompleteResult> {
    M::decode(bytes).map_err(|error| IncompleteResult::Invalid {
        field: name.to_owned(),
        problem: format!("is not a well-formed message: {error}"),
    })
}

/// Clients get the contents of blobs only if they ask for them (REAPI `ActionResult.stdout_raw`).
fn encoded(result: &ActionResult) -> Bytes {
    let has_contents = result.output_files.iter().any(|file| !file.contents.is_empty());
    if result.stdout_raw.is_empty() && result.stderr_raw.is_empty() && !has_contents {
        return result.encode_to_vec().into();
    }
    let mut result = result.clone();
    if result.stdout_digest.is_some() {
        result.stdout_raw.clear();
    }
    if result.stderr_digest.is_some() {
        result.stderr_raw.clear();
    }
    for file in &mut result.output_files {
        file.contents.clear();
    }
    result.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::disk::{DiskStore, StoreSettings};
    use crate::digest::DigestFunction;

    type Meanwhile = Box<dyn FnOnce() + Send>;

    /// Has things happen between the moment when it reads or writes and the one when it says so.
    struct Slow {
        store: Arc<DiskStore>,
        after_get: Mutex<Option<Meanwhile>>,
        after_put: Mutex<Option<Meanwhile>>,
    }

    fn happen(meanwhile: &Mutex<Option<Meanwhile>>) {
        let meanwhile = meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
    }

    impl ActionCache for Slow {
        fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError> {
            let result = self.store.get(instance_name, action);
            happen(&self.after_get);
            result
        }

        fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError> {
            self.store.put(instance_name, action, result)?;
            happen(&self.after_put);
            Ok(())
        }
    }

    fn result(number: i32) -> ActionResult {
        ActionResult { exit_code: number, ..Default::default() }
    }

    #[test]
    fn a_result_that_was_replaced_while_it_was_read_or_written_is_not_remembered() {
        let place = tempfile::tempdir().unwrap();
        let settings = StoreSettings { directory: place.path().to_owned(), ..StoreSettings::default() };
        let store = Arc::new(DiskStore::open(&settings).unwrap());
        let action = DigestFunction::Sha256.digest(b"action");
        let slow =
            Arc::new(Slow { store: store.clone(), after_get: Mutex::default(), after_put: Mutex::default() });
        let cache = Arc::new(CompleteActionCache {
            results: slow.clone(),
            blobs: store.clone(),
            memory: Mutex::new(Memory { known: LruCache::new(MEMORY), writes: [0; 256] }),
            trees: Mutex::new(LruCache::new(MEMORY)),
        });
        let exit_code = || cache.lookup("", &action).unwrap().unwrap().result.exit_code;
        let put = |number, complete| -> Meanwhile {
            let cache = cache.clone();
            Box::new(move || {
                if complete {
                    cache.put_complete("", &action, result(number)).unwrap();
                } else {
                    cache.put("", &action, &result(number)).unwrap();
                }
            })
        };
        for complete in [false, true] {
            put(1, false)();
            *slow.after_get.lock() = Some(put(2, complete));
            assert_eq!(exit_code(), 1, "that is what there was when it was asked for");
            assert_eq!(exit_code(), 2);

            *slow.after_put.lock() = Some(put(4, complete));
            put(3, true)();
            assert_eq!(exit_code(), 4);
        }
        put(5, true)();
        store.put("", &action, &result(6)).unwrap();
        assert_eq!(exit_code(), 5, "it is remembered where nothing comes between");
    }
}

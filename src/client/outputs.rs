//! What an action made, and how it gets here. Knows nothing of what it is for.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::error::ClientError;
use super::input_root::problem_of;
use crate::cas::{BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction};
use crate::reapi::{self, ActionResult, Directory, OutputFile, Tree};
use crate::scratch::file::{FileAccess, WholeFile};

/// Most files and directories of an output directory: a small `Tree` can stand for more than there are atoms.
const MOST_ENTRIES: usize = 1_000_000;
/// Deepest directory of an output directory.
const DEEPEST: usize = 256;

/// A file that an action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Relative to the input root.
    pub path: String,
    pub digest: Digest,
    pub executable: bool,
    /// Its bytes, if the server sent them along.
    inlined: Option<Bytes>,
}

/// All files of `result`, those in directories included. Links are left out: nobody here asks for any.
///
/// # Errors
/// A `Tree` that cannot be had, or makes no sense.
pub(super) fn list(result: &ActionResult, store: &dyn BlobStore) -> Result<Vec<Output>, ClientError> {
    let mut outputs = result.output_files.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    for directory in &result.output_directories {
        check_path(&directory.path)?;
        let digest = known(&directory.path, directory.tree_digest.as_ref())?;
        let bytes = store.read(&digest).map_err(|error| gone(error, &directory.path, digest))?;
        list_tree(&directory.path, &bytes, &mut outputs)?;
    }
    Ok(outputs)
}

fn list_tree(path: &str, bytes: &[u8], outputs: &mut Vec<Output>) -> Result<(), ClientError> {
    let answer = |error| ClientError::Answer(format!("the tree of `{path}`: {error}"));
    let tree = Tree::decode(bytes).map_err(answer)?;
    Walk::new(&tree).list(path, tree.root.as_ref(), 0, outputs)
}

fn file(file: &OutputFile) -> Result<Output, ClientError> {
    check_path(&file.path)?;
    let digest = known(&file.path, file.digest.as_ref())?;
    let inlined = (!file.contents.is_empty()).then(|| Bytes::from(file.contents.clone()));
    Ok(Output { path: file.path.clone(), digest, executable: file.is_executable, inlined })
}

/// The directories of a tree by their digests.
struct Walk<'a> {
    directories: HashMap<Digest, &'a Directory>,
    entries: usize,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree) -> Self {
        let digest = |directory: &Directory| DigestFunction::Sha256.digest_message(directory).0;
        let directories = tree.children.iter().map(|directory| (digest(directory), directory)).collect();
        Self { directories, entries: 0 }
    }

    fn list(
        &mut self,
        path: &str,
        directory: Option<&Directory>,
        depth: usize,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ClientError> {
        let incomplete = || ClientError::Answer(format!("the tree of `{path}` is incomplete or too deep"));
        let directory = directory.filter(|_| depth < DEEPEST).ok_or_else(incomplete)?;
        self.entries += 1 + directory.files.len();
        if self.entries > MOST_ENTRIES {
            return Err(ClientError::Answer(format!("there are more than {MOST_ENTRIES} outputs")));
        }
        for file in &directory.files {
            let path = below(path, &file.name)?;
            let digest = known(&path, file.digest.as_ref())?;
            outputs.push(Output { path, digest, executable: file.is_executable, inlined: None });
        }
        for node in &directory.directories {
            let path = below(path, &node.name)?;
            let child = self.directories.get(&known(&path, node.digest.as_ref())?).copied();
            self.list(&path, child, depth + 1, outputs)?;
        }
        Ok(())
    }
}

fn below(path: &str, name: &str) -> Result<String, ClientError> {
    match problem_of(name) {
        None if !name.contains('/') => Ok(format!("{path}/{name}")),
        _ => Err(ClientError::Answer(format!("an output in `{path}` has the name {name:?}"))),
    }
}

fn check_path(path: &str) -> Result<(), ClientError> {
    match path.split('/').find_map(problem_of) {
        None => Ok(()),
        Some(problem) => Err(ClientError::Answer(format!("an output has the path {path:?}: {problem}"))),
    }
}

fn known(path: &str, digest: Option<&reapi::Digest>) -> Result<Digest, ClientError> {
    Digest::from_field(DigestFunction::Sha256, digest)
        .map_err(|error| ClientError::Answer(format!("the output `{path}`: {error}")))
}

/// Whether all of `outputs` can be had.
pub(super) fn are_there(outputs: &[Output], store: &dyn BlobStore) -> Result<bool, ClientError> {
    let wanted = outputs.iter().filter(|output| output.inlined.is_none() && output.digest.size_bytes > 0);
    let digests: Vec<Digest> = wanted.map(|output| output.digest).collect();
    Ok(digests.is_empty() || store.find_missing(&digests)?.is_empty())
}

/// Puts `output` at `place`, whose directory exists, whole or not at all: hashed on its way and renamed. It can
/// be read by all, and run if it was made so.
pub(super) fn download(output: &Output, place: &Path, store: &dyn BlobStore) -> Result<(), ClientError> {
    let mode = if output.executable { 0o755 } else { 0o644 };
    let mut file = WholeFile::create(place, FileAccess::Mode(mode))?;
    let actual = match &output.inlined {
        Some(bytes) => {
            file.write_all(bytes)?;
            DigestFunction::Sha256.digest(bytes)
        }
        None if output.digest.size_bytes == 0 => Digest::empty(DigestFunction::Sha256),
        None => copy(output, &mut file, store)?,
    };
    if actual != output.digest {
        let (path, expected) = (output.path.clone(), output.digest);
        return Err(ClientError::OutputDamaged { path, expected, actual });
    }
    Ok(file.publish(place)?)
}

fn copy(output: &Output, file: &mut impl Write, store: &dyn BlobStore) -> Result<Digest, ClientError> {
    let mut blob = store.open(&output.digest, 0).map_err(|error| gone(error, &output.path, output.digest))?;
    let mut hasher = DigestFunction::Sha256.hasher();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = blob.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
    }
}

fn gone(error: StoreError, path: &str, digest: Digest) -> ClientError {
    match error {
        StoreError::NotFound(_) => ClientError::OutputGone { path: path.to_owned(), digest },
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cas::{DiskStore, StoreSettings};
    use crate::reapi::{DirectoryNode, FileNode, OutputDirectory};

    fn store() -> (tempfile::TempDir, DiskStore) {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            StoreSettings { directory: directory.path().join("store"), ..StoreSettings::default() };
        let store = DiskStore::open(&settings).unwrap();
        (directory, store)
    }

    fn put(store: &DiskStore, bytes: &[u8]) -> Option<reapi::Digest> {
        let digest = DigestFunction::Sha256.digest(bytes);
        store.write(&digest, bytes.to_vec().into()).unwrap();
        Some(digest.to_message())
    }

    fn result_with(tree: &Tree, store: &DiskStore) -> ActionResult {
        let tree_digest = put(store, &tree.encode_to_vec());
        let directory = OutputDirectory { path: "out".into(), tree_digest, ..OutputDirectory::default() };
        ActionResult { output_directories: vec![directory], ..ActionResult::default() }
    }

    #[test]
    fn files_of_directories_are_listed_and_fetched() {
        let (directory, store) = store();
        let file = FileNode {
            name: "tool".into(),
            is_executable: true,
            digest: put(&store, b"bytes"),
            ..FileNode::default()
        };
        let child = Directory { files: vec![file], ..Directory::default() };
        let digest = Some(DigestFunction::Sha256.digest_message(&child).0.to_message());
        let node = DirectoryNode { name: "sub".into(), digest };
        let root = Directory { directories: vec![node], ..Directory::default() };
        let tree = Tree { root: Some(root), children: vec![child] };
        let outputs = list(&result_with(&tree, &store), &store).unwrap();
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].path, "out/sub/tool");
        assert!(are_there(&outputs, &store).unwrap());
        let place = directory.path().join("tool");
        download(&outputs[0], &place, &store).unwrap();
        assert_eq!(fs_err::read(&place).unwrap(), b"bytes");
        assert_eq!(fs_err::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let (_directory, store) = store();
        for name in ["..", ".", "a/b", "", "/etc/passwd"] {
            let file = FileNode { name: name.into(), digest: put(&store, b"x"), ..FileNode::default() };
            let root = Directory { files: vec![file], ..Directory::default() };
            let tree = Tree { root: Some(root), ..Tree::default() };
            let refused = list(&result_with(&tree, &store), &store);
            assert!(matches!(refused, Err(ClientError::Answer(_))), "{name}");
        }
        let file = OutputFile { path: "../x".into(), digest: put(&store, b"x"), ..OutputFile::default() };
        let result = ActionResult { output_files: vec![file], ..ActionResult::default() };
        assert!(matches!(list(&result, &store), Err(ClientError::Answer(_))));
    }

    #[test]
    fn a_tree_that_grows_without_end_is_refused() {
        let (_directory, store) = store();
        let mut child = Directory::default();
        let mut children = vec![child.clone()];
        for _ in 0..100 {
            let digest = Some(DigestFunction::Sha256.digest_message(&child).0.to_message());
            let node = |name: &str| DirectoryNode { name: name.into(), digest: digest.clone() };
            child = Directory { directories: vec![node("a"), node("b")], ..Directory::default() };
            children.push(child.clone());
        }
        let tree = Tree { root: Some(child), children };
        assert!(matches!(list(&result_with(&tree, &store), &store), Err(ClientError::Answer(_))));
    }

    #[test]
    fn bytes_that_are_not_the_digests_are_refused_and_leave_nothing() {
        let (directory, store) = store();
        let digest = DigestFunction::Sha256.digest(b"right");
        let wrong = OutputFile {
            path: "file".into(),
            digest: Some(digest.to_message()),
            contents: b"wrong".to_vec(),
            ..OutputFile::default()
        };
        let result = ActionResult { output_files: vec![wrong], ..ActionResult::default() };
        let outputs = list(&result, &store).unwrap();
        let out = directory.path().join("out");
        fs_err::create_dir(&out).unwrap();
        let refused = download(&outputs[0], &out.join("file"), &store);
        assert!(matches!(refused, Err(ClientError::OutputDamaged { .. })), "{refused:?}");
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 0);
        let gone = Output { inlined: None, ..outputs[0].clone() };
        assert!(!are_there(std::slice::from_ref(&gone), &store).unwrap());
        assert!(matches!(download(&gone, &out.join("file"), &store), Err(ClientError::OutputGone { .. })));
    }

    proptest! {
            #[test]
            fn no_tree_makes_us_panic(bytes: Vec<u8>) {
    let _ = list_tree("out", &bytes, &mut Vec::new());
            }
        }
}

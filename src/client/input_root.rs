//! The files an action sees, as a Merkle tree of directories (REAPI `Directory`). Knows nothing of what they are
//! for, or of how they are sent.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use crate::digest::{Digest, DigestFunction};
use crate::reapi::{Directory, DirectoryNode, FileNode, SymlinkNode};

/// The files of an input root, by their paths in it.
#[derive(Debug, Clone, Default)]
pub struct InputRoot {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory(InputRoot),
    File { digest: Digest, executable: bool, content: Content },
    Symlink { target: String },
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Here.
    Memory(Bytes),
    /// In this file, unless somebody changes it.
    File(PathBuf),
}

/// Levels of directories below the one that is read; what servers take.
const DEEPEST: usize = 250;

/// Blobs by their digests.
pub type Blobs = BTreeMap<Digest, Content>;

/// A file that cannot be part of an input root.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("`{path}` cannot be a path of an input: {problem}")]
    Path { path: String, problem: &'static str },
    #[error("two inputs cannot both be at `{0}`")]
    Twice(String),
    #[error("{} lies more than {DEEPEST} directories deep", .0.display())]
    Deep(PathBuf),
    #[error("the link {} leads out of its directory or is absolute", .0.display())]
    Link(PathBuf),
    #[error("{} is neither a file nor a directory nor a link", .0.display())]
    Kind(PathBuf),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl InputRoot {
    /// Adds the file `host`, whose digest is known, at `path`.
    ///
    /// # Errors
    /// [`InputError`] if there is no room for it.
    pub fn add_file(
        &mut self,
        path: &str,
        host: &Path,
        digest: Digest,
        executable: bool,
    ) -> Result<(), InputError> {
        let content = Content::File(host.to_owned());
        self.place(path, path, Entry::File { digest, executable, content })
    }

    /// Adds a file with these bytes at `path`.
    ///
    /// # Errors
    /// [`InputError`] if there is no room for it.
    pub fn add_bytes(&mut self, path: &str, bytes: Bytes) -> Result<(), InputError> {
        let digest = DigestFunction::Sha256.digest(&bytes);
        self.place(path, path, Entry::File { digest, executable: false, content: Content::Memory(bytes) })
    }

    /// Adds a link to `target` at `path`.
    ///
    /// # Errors
    /// [`InputError`] if there is no room for it, or if it leads out of the root by its text.
    pub fn add_link(&mut self, path: &str, target: &str) -> Result<(), InputError> {
        let depth = path.matches('/').count();
        let target = inner_target(target, depth).ok_or_else(|| InputError::Link(path.into()))?;
        self.place(path, path, Entry::Symlink { target })
    }

    /// Adds an empty directory at `path`.
    ///
    /// # Errors
    /// [`InputError`] if there is no room for it.
    pub fn add_directory(&mut self, path: &str) -> Result<(), InputError> {
        self.place(path, path, Entry::Directory(Self::default()))
    }

    /// Everything below the directory `host`; reads all of it.
    ///
    /// # Errors
    /// [`InputError`] for what cannot be read, and for links that lead elsewhere.
    pub fn of_directory(host: &Path) -> Result<Self, InputError> {
        Self::read(host, 0)
    }

    /// Adds a tree that was put together before at `path`.
    ///
    /// # Errors
    /// [`InputError`] if there is no room for it.
    pub fn add_root(&mut self, path: &str, root: Self) -> Result<(), InputError> {
        self.place(path, path, Entry::Directory(root))
    }

    /// All files with their paths, digests and whether they can be run; nothing if there are links, too.
    pub fn files(&self) -> Option<Vec<(String, Digest, bool)>> {
        let mut files = Vec::new();
        self.list("", &mut files).then_some(files)
    }

    fn list(&self, above: &str, files: &mut Vec<(String, Digest, bool)>) -> bool {
        self.entries.iter().all(|(name, entry)| {
            let path = format!("{above}{name}");
            match entry {
                Entry::Directory(below) => below.list(&format!("{path}/"), files),
                Entry::File { digest, executable, .. } => {
                    files.push((path, *digest, *executable));
                    true
                }
                Entry::Symlink { .. } => false,
            }
        })
    }

    fn read(host: &Path, depth: usize) -> Result<Self, InputError> {
        let mut entries = BTreeMap::new();
        for entry in fs_err::read_dir(host)? {
            let entry = entry?;
            let place = entry.path();
            let name = entry.file_name().into_string().map_err(|name| InputError::Path {
                path: name.to_string_lossy().into_owned(),
                problem: "it is not UTF-8",
            })?;
            let metadata = entry.metadata()?;
            let read = if metadata.is_dir() {
                if depth == DEEPEST {
                    return Err(InputError::Deep(place));
                }
                Entry::Directory(Self::read(&place, depth + 1)?)
            } else if metadata.is_symlink() {
                Entry::Symlink { target: link_target(&place, depth)? }
            } else if metadata.is_file() {
                let executable = metadata.permissions().mode() & 0o111 != 0;
                Entry::File { digest: digest_of_file(&place)?, executable, content: Content::File(place) }
            } else {
                return Err(InputError::Kind(place));
            };
            entries.insert(name, read);
        }
        Ok(Self { entries })
    }

    fn place(&mut self, whole: &str, rest: &str, entry: Entry) -> Result<(), InputError> {
        let (name, below) = rest.split_once('/').map_or((rest, None), |(name, below)| (name, Some(below)));
        if let Some(problem) = problem_of(name) {
            return Err(InputError::Path { path: whole.to_owned(), problem });
        }
        let Some(below) = below else {
            return match self.entries.insert(name.to_owned(), entry) {
                None => Ok(()),
                Some(_) => Err(InputError::Twice(whole.to_owned())),
            };
        };
        let directory =
            self.entries.entry(name.to_owned()).or_insert_with(|| Entry::Directory(Self::default()));
        match directory {
            Entry::Directory(directory) => directory.place(whole, below, entry),
            _ => Err(InputError::Twice(whole.to_owned())),
        }
    }

    /// The digest of the root directory; all its directories and files are added to `blobs`.
    pub fn collect(&self, blobs: &mut Blobs) -> Digest {
        let mut directory = Directory::default();
        // In the order of their names, as the API wants it.
        for (name, entry) in &self.entries {
            let name = name.clone();
            match entry {
                Entry::Directory(below) => {
                    let digest = Some(below.collect(blobs).to_message());
                    directory.directories.push(DirectoryNode { name, digest });
                }
                Entry::File { digest, executable, content } => {
                    let node = FileNode {
                        name,
                        is_executable: *executable,
                        digest: Some(digest.to_message()),
                        node_properties: None,
                    };
                    directory.files.push(node);
                    blobs.entry(*digest).or_insert_with(|| content.clone());
                }
                Entry::Symlink { target } => {
                    let node = SymlinkNode { name, target: target.clone(), node_properties: None };
                    directory.symlinks.push(node);
                }
            }
        }
        add_message(&directory, blobs)
    }
}

/// Adds the blob of `message` to `blobs`.
pub(super) fn add_message(message: &impl Message, blobs: &mut Blobs) -> Digest {
    let (digest, bytes) = DigestFunction::Sha256.digest_message(message);
    blobs.insert(digest, Content::Memory(bytes.into()));
    digest
}

/// Why `name` cannot be the name of a file in a directory.
pub(super) fn problem_of(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is absolute or has an empty part"),
        "." | ".." => Some("it has a part `.` or `..`"),
        name if name.contains('\0') => Some("it has a NUL byte"),
        _ => None,
    }
}

/// The target of the link at `place`, `depth` directories below the tree's top, if it stays in the tree.
fn link_target(place: &Path, depth: usize) -> Result<String, InputError> {
    let outside = || InputError::Link(place.to_owned());
    let target = fs_err::read_link(place)?.into_os_string().into_string().map_err(|_| outside())?;
    inner_target(&target, depth).ok_or_else(outside)
}

/// `target` of a link `depth` directories below a top, if it stays below that.
fn inner_target(target: &str, depth: usize) -> Option<String> {
    let mut level = depth;
    for part in target.split('/') {
        match part {
            ".." => level = level.checked_sub(1)?,
            "" if target.starts_with('/') => return None,
            "" | "." => {}
            _ => level += 1,
        }
    }
    Some(target.to_owned())
}

fn digest_of_file(path: &Path) -> std::io::Result<Digest> {
    let mut hasher = DigestFunction::Sha256.hasher();
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = std::io::Read::read(&mut file, &mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn directory(digest: &Digest, blobs: &Blobs) -> Directory {
        let Content::Memory(bytes) = &blobs[digest] else { panic!("directories are in memory") };
        Directory::decode(&bytes[..]).unwrap()
    }

    #[test]
    fn directories_are_sorted_and_equal_ones_are_one_blob() {
        let mut root = InputRoot::default();
        for path in ["b/x", "a/x", "z", "B"] {
            root.add_bytes(path, Bytes::from_static(b"same")).unwrap();
        }
        root.add_directory("empty").unwrap();
        let mut blobs = Blobs::new();
        let top = directory(&root.collect(&mut blobs), &blobs);
        assert_eq!(top.files.iter().map(|file| &file.name[..]).collect::<Vec<_>>(), ["B", "z"]);
        assert_eq!(
            top.directories.iter().map(|node| &node.name[..]).collect::<Vec<_>>(),
            ["a", "b", "empty"]
        );
        assert_eq!(top.directories[0].digest, top.directories[1].digest);
        // The root, `a` and `b`, `empty`, the bytes.
        assert_eq!(blobs.len(), 4);
    }

    #[test]
    fn paths_that_lead_elsewhere_or_are_taken_are_refused() {
        let mut root = InputRoot::default();
        let mut add = |path: &str| root.add_bytes(path, Bytes::new()).map_err(|error| error.to_string());
        add("a/b").unwrap();
        for path in ["", "/a", "a//c", "../x", "a/./c", "a/", "a\0"] {
            assert!(add(path).unwrap_err().contains("cannot be a path"), "{path}");
        }
        for path in ["a/b", "a", "a/b/c"] {
            assert!(add(path).unwrap_err().contains("two inputs"), "{path}");
        }
    }

    #[test]
    fn a_tree_is_read_with_its_modes_and_links() {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs_err::create_dir(at("sub")).unwrap();
        fs_err::write(at("sub/tool"), "#!").unwrap();
        fs_err::set_permissions(at("sub/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        fs_err::os::unix::fs::symlink("../sub/tool", at("sub/link")).unwrap();
        let mut root = InputRoot::default();
        root.add_root("t", InputRoot::of_directory(host.path()).unwrap()).unwrap();
        let mut blobs = Blobs::new();
        let top = directory(&root.collect(&mut blobs), &blobs);
        let digest =
            |node: &DirectoryNode| Digest::from_field(DigestFunction::Sha256, node.digest.as_ref()).unwrap();
        let sub = directory(&digest(&directory(&digest(&top.directories[0]), &blobs).directories[0]), &blobs);
        assert!(sub.files[0].is_executable);
        assert_eq!(sub.symlinks[0].target, "../sub/tool");
        for target in ["/etc/passwd", "../../x", "a/../../../x"] {
            fs_err::remove_file(at("sub/link")).unwrap();
            fs_err::os::unix::fs::symlink(target, at("sub/link")).unwrap();
            assert!(matches!(InputRoot::of_directory(host.path()), Err(InputError::Link(_))), "{target}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_adding_does_not_matter(mut paths in proptest::collection::btree_set("[a-c]{1,2}/[a-c]/[d-f]{1,2}", 1..9)) {
            let digest = |paths: &mut dyn Iterator<Item = &String>| {
                let mut root = InputRoot::default();
                for path in paths {
                    root.add_bytes(path, Bytes::from(path.clone())).unwrap();
                }
                root.collect(&mut Blobs::new())
            };
            let forward = digest(&mut paths.iter());
            prop_assert_eq!(digest(&mut paths.iter().rev()), forward);
            paths.pop_first();
            prop_assert_ne!(digest(&mut paths.iter()), forward);
        }
    }
}

//! The files of a source directory that a build gets to see, as the input of an action: what travels, and what stays.
//! Knows nothing of Python, nor of what git has to say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file_stamp::{is_settled, stamp};
use crate::build::steps::step_action::blob_digest;
use crate::client::{ClientError, InputRoot};
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// Directories that stay, by their names: repositories, whose history may be larger than all else, and byte code.
const LEFT_OUT: [&str; 5] = [".git", ".hg", ".svn", ".jj", "__pycache__"];
/// Files by which a directory says that it can be made again, or that it is a virtual environment.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// Levels of directories below the top; what servers take.
const DEEPEST: usize = 250;

/// What is known of the files of a tree from the last time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TreeMemory {
    files: BTreeMap<String, KnownFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KnownFile {
    stamp: String,
    sha256: Sha256,
}

/// What travels of a tree.
pub(super) struct TreeFiles {
    pub root: InputRoot,
    /// To be remembered for the next time.
    pub memory: TreeMemory,
    /// Whether there is anything in it that was not there before.
    pub news: bool,
    /// What was left out and might be missed, in sentences.
    pub notes: Vec<String>,
}

/// Collects what travels of the tree whose top is `top`: everything in the directory `project` of it, the files
/// `beside`, and what links in there lead to within `top`; nothing of `left_out`, which are absolute. Files that links lead
/// to outside of `top` travel, too, unless the tree is `foreign`: whoever made that must not get to see files of this machine.
///
/// # Errors
/// What cannot be read, named, or followed.
pub(super) fn collect(
    top: &Path,
    project: &Path,
    beside: &[PathBuf],
    left_out: &[PathBuf],
    foreign: bool,
    memory: TreeMemory,
) -> Result<TreeFiles, Failure> {
    let mut walk = Walk {
        top,
        project,
        left_out,
        foreign,
        known: memory,
        left: vec![project.to_owned()],
        seen: BTreeSet::from([project.to_owned()]),
        found: TreeFiles {
            root: InputRoot::default(),
            memory: TreeMemory::default(),
            news: false,
            notes: Vec::new(),
        },
    };
    for file in beside {
        walk.add(file)?;
    }
    while let Some(directory) = walk.left.pop() {
        walk.read(&directory)?;
    }
    let TreeFiles { root, memory, news, notes } = walk.found;
    let news = news || memory.files.len() != walk.known.files.len();
    Ok(TreeFiles { root, memory, news, notes })
}

struct Walk<'a> {
    /// Absolute, without links, as all paths here.
    top: &'a Path,
    /// What is below it becomes an sdist, which has nothing from elsewhere.
    project: &'a Path,
    left_out: &'a [PathBuf],
    /// Whether it comes from elsewhere.
    foreign: bool,
    known: TreeMemory,
    /// Directories yet to be read.
    left: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
    found: TreeFiles,
}

impl Walk<'_> {
    fn read(&mut self, directory: &Path) -> Result<(), Failure> {
        let mut places = Vec::new();
        for entry in fs_err::read_dir(directory)? {
            places.push(entry?.path());
        }
        if places.is_empty() && directory != self.top {
            let path = self.path(directory)?;
            self.found.root.add_directory(&path).map_err(ClientError::from)?;
        }
        places.sort();
        places.iter().try_for_each(|place| self.add(place))
    }

    /// Adds what is at `place`, unless it is there already.
    fn add(&mut self, place: &Path) -> Result<(), Failure> {
        if !self.seen.insert(place.to_owned()) || self.left_out.iter().any(|left_out| left_out == place) {
            return Ok(());
        }
        let metadata = fs_err::symlink_metadata(place)?;
        if metadata.is_dir() {
            if !stays(place) {
                if place.components().count() > self.top.components().count() + DEEPEST {
                    return Err(refused(format!(
                        "{} lies more than {DEEPEST} directories deep",
                        place.display()
                    )));
                }
                self.left.push(place.to_owned());
            }
            Ok(())
        } else if metadata.is_file() {
            if place.file_name().is_some_and(|name| name == ".git") {
                // Of a worktree or a submodule.
                return Ok(());
            }
            self.add_file(place, place, &metadata)
        } else if metadata.is_symlink() {
            self.add_link(place)
        } else {
            let note = format!("{} is left out: it is neither a file nor a directory", place.display());
            self.found.notes.push(note);
            Ok(())
        }
    }

    /// Adds the file `file` at the path of `place`, which is a link to it if they differ.
    fn add_file(&mut self, place: &Path, file: &Path, metadata: &std::fs::Metadata) -> Result<(), Failure> {
        let path = self.path(place)?;
        let stamp = stamp(metadata);
        let known = self.known.files.get(&path).filter(|known| known.stamp == stamp);
        let (sha256, size) = match known {
            Some(known) => (known.sha256, metadata.len()),
            None => {
                self.found.news = true;
                Sha256::of_file(file)?
            }
        };
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let digest = blob_digest(sha256, size);
        self.found.root.add_file(&path, file, digest, executable).map_err(ClientError::from)?;
        if is_settled(metadata) {
            self.found.memory.files.insert(path, KnownFile { stamp, sha256 });
        }
        Ok(())
    }

    /// A link that leads to what travels stays one; one that leads elsewhere, or out of the project, becomes the file that
    /// it leads to.
    fn add_link(&mut self, place: &Path) -> Result<(), Failure> {
        let target = fs_err::read_link(place)?;
        let lexical = resolve(place.parent().unwrap_or(self.top), &target);
        let stays_inside = !target.is_absolute() && lexical.starts_with(self.top) && lexical != self.top;
        let Ok(real) = std::fs::canonicalize(place) else {
            if stays_inside {
                // As broken there as it is here.
                return self.keep_link(place, &target);
            }
            self.found.notes.push(format!(
                "the link {} is left out: {} does not exist",
                place.display(),
                target.display()
            ));
            return Ok(());
        };
        if self.foreign && !real.starts_with(self.top) {
            let message = format!(
                "the link {} leads to {}, a place of this machine",
                place.display(),
                target.display()
            );
            return Err(
                refused(message).with_hint("links of what comes from elsewhere must stay inside of it")
            );
        }
        let leaves_project = place.starts_with(self.project) && !lexical.starts_with(self.project);
        // By way of another link it could lead to what does not travel.
        if stays_inside && real == lexical && !(leaves_project && real.is_file()) {
            self.keep_link(place, &target)?;
            return self.add(&real);
        }
        let metadata = fs_err::metadata(&real)?;
        if metadata.is_file() {
            return self.add_file(place, &real, &metadata);
        }
        if is_of_bazel(place) {
            return Ok(());
        }
        let message = format!(
            "the link {} leads to {}, which is a directory outside of {}",
            place.display(),
            real.display(),
            self.top.display()
        );
        Err(refused(message)
            .with_hint("put the directory itself there, or remove the link; links to files are followed"))
    }

    fn keep_link(&mut self, place: &Path, target: &Path) -> Result<(), Failure> {
        let path = self.path(place)?;
        let target = target.to_str().ok_or_else(|| not_utf8(target))?;
        Ok(self.found.root.add_link(&path, target).map_err(ClientError::from)?)
    }

    /// The path of `place` below the top.
    fn path(&self, place: &Path) -> Result<String, Failure> {
        let relative = place.strip_prefix(self.top).unwrap_or(place);
        relative.to_str().map(str::to_owned).ok_or_else(|| not_utf8(place))
    }
}

/// Whether the directory at `place` is one that does not travel.
fn stays(place: &Path) -> bool {
    let name = place.file_name().unwrap_or_default();
    LEFT_OUT.iter().any(|left_out| name == *left_out) || MARKS.iter().any(|mark| place.join(mark).is_file())
}

/// Links that Bazel puts into its workspaces lead to what it has built.
fn is_of_bazel(place: &Path) -> bool {
    place.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"bazel-"))
}

/// Where `target`, as a link in `directory` says it, is by its text.
fn resolve(directory: &Path, target: &Path) -> PathBuf {
    let mut resolved = directory.to_owned();
    for component in target.components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => resolved = PathBuf::from("/"),
        }
    }
    resolved
}

fn not_utf8(path: &Path) -> Failure {
    refused(format!("{path:?} has a name that is not UTF-8, which no build can be given"))
}

fn refused(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

#[cfg(test)]
mod tests {
    use fs_err::os::unix::fs::symlink;

    use super::*;

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn with(files: &[&str]) -> Self {
            let bench = Self { directory: tempfile::tempdir().unwrap() };
            for file in files {
                fs_err::create_dir_all(bench.at(file).parent().unwrap()).unwrap();
                fs_err::write(bench.at(file), file).unwrap();
            }
            bench
        }

        fn at(&self, path: &str) -> PathBuf {
            fs_err::canonicalize(self.directory.path()).unwrap().join(path)
        }

        fn collect(&self, project: &str, beside: &[&str]) -> Result<TreeFiles, Failure> {
            let beside: Vec<_> = beside.iter().map(|path| self.at(path)).collect();
            collect(
                &self.at("top"),
                &self.at(project),
                &beside,
                &[self.at("top/dist")],
                false,
                Default::default(),
            )
        }
    }

    fn paths(found: &TreeFiles) -> Vec<String> {
        found.root.files().unwrap().into_iter().map(|(path, ..)| path).collect()
    }

    #[test]
    fn repositories_environments_caches_and_our_own_output_stay() {
        let bench = Bench::with(&[
            "top/setup.py",
            "top/a/b.py",
            "top/.gitignore",
            "top/.git/config",
            "top/a/.hg/x",
            "top/.svn/x",
            "top/.jj/x",
            "top/a/__pycache__/b.pyc",
            "top/.venv/pyvenv.cfg",
            "top/.venv/lib/x.py",
            "top/target/CACHEDIR.TAG",
            "top/target/debug/x",
            "top/dist/a.whl",
            "top/sub/.git",
            "top/sub/x",
        ]);
        let found = bench.collect("top", &[]).unwrap();
        assert_eq!(paths(&found), [".gitignore", "a/b.py", "setup.py", "sub/x"]);
        assert!(found.notes.is_empty());
    }

    #[test]
    fn of_a_repository_travels_what_the_project_needs() {
        let bench = Bench::with(&[
            "top/README",
            "top/other/x",
            "top/packages/a/setup.py",
            "top/packages/b/setup.py",
            "top/proto/x.proto",
        ]);
        symlink("../../proto", bench.at("top/packages/a/proto")).unwrap();
        let found = bench.collect("top/packages/a", &["top/README"]).unwrap();
        let mut root = found.root;
        // A link is no file, and all else is there.
        assert!(root.files().is_none());
        for taken in ["README", "packages/a/setup.py", "packages/a/proto", "proto/x.proto"] {
            assert!(root.add_bytes(taken, Default::default()).is_err(), "{taken}");
        }
        assert!(root.add_bytes("packages/b/setup.py", Default::default()).is_ok());
    }

    #[test]
    fn links_that_lead_out_become_files_or_are_refused() {
        let bench = Bench::with(&["top/setup.py", "outside/LICENSE"]);
        symlink("../outside/LICENSE", bench.at("top/LICENSE")).unwrap();
        symlink(bench.at("outside/LICENSE"), bench.at("top/COPYING")).unwrap();
        symlink("/does/not/exist", bench.at("top/broken")).unwrap();
        symlink("/usr", bench.at("top/bazel-out")).unwrap();
        let found = bench.collect("top", &[]).unwrap();
        assert_eq!(paths(&found), ["COPYING", "LICENSE", "setup.py"]);
        assert_eq!(found.notes.len(), 1);
        let top = bench.at("top");
        let failure = collect(&top, &top, &[], &[], true, TreeMemory::default()).err().unwrap();
        assert!(failure.message.contains("a place of this machine"), "{failure}");
        symlink("../outside", bench.at("top/outside")).unwrap();
        let failure = bench.collect("top", &[]).err().unwrap();
        assert!(failure.message.contains("which is a directory outside of"), "{failure}");
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_read_again() {
        let bench = Bench::with(&["top/setup.py", "top/a.py"]);
        let old = std::time::SystemTime::UNIX_EPOCH;
        let memory = loop {
            let found = bench.collect("top", &[]).unwrap();
            if found.memory.files.len() == 2 {
                break found.memory;
            }
            crate::waiting::pause(std::time::Duration::from_millis(20));
        };
        let again = |memory| {
            collect(&bench.at("top"), &bench.at("top"), &[], &[bench.at("top/dist")], false, memory).unwrap()
        };
        let found = again(memory);
        assert!(!found.news);
        fs_err::write(bench.at("top/a.py"), "other").unwrap();
        let file = fs_err::File::options().write(true).open(bench.at("top/a.py")).unwrap();
        file.file().set_modified(old).unwrap();
        let found = again(found.memory);
        assert!(found.news);
        let digest =
            |path: &str| found.root.files().unwrap().into_iter().find(|(name, ..)| name == path).unwrap().1;
        assert_eq!(digest("a.py").hash, *Sha256::of(b"other").as_bytes());
    }

    #[test]
    fn a_pipe_is_left_out_with_a_note() {
        let bench = Bench::with(&["top/setup.py"]);
        std::os::unix::net::UnixListener::bind(bench.at("top/socket")).unwrap();
        let found = bench.collect("top", &[]).unwrap();
        assert_eq!(paths(&found), ["setup.py"]);
        assert!(found.notes[0].contains("socket is left out"));
    }
}

//! A source directory as the input of a build: the repository around it, what of that travels, and what it is called.
//! Knows nothing of how an sdist is made of it.

use std::path::{Component, Path, PathBuf};

use super::repository::Repository;
use super::tree_files::{TreeFiles, TreeMemory, collect};
use super::tree_place::TreePlace;
use crate::build::cache::KeyBuilder;
use crate::build::progress::Task;
use crate::build::run::Run;
use crate::client::InputRoot;
use crate::contract::{Failure, FailureClass};

/// A source tree that an sdist can be made of.
pub(crate) struct Tree {
    /// What travels.
    pub(super) root: InputRoot,
    /// The name of the directory at the top of it.
    pub(super) name: String,
    /// The project's directory below the top; empty for the top itself.
    pub(super) subdirectory: String,
    /// The project's directory, absolute and without links.
    pub(super) project: PathBuf,
    /// That, or the directory of the workspace that it comes with.
    pub(super) workspace: PathBuf,
    pub(super) repository: Option<Repository>,
    /// How messages name it.
    pub(super) shown: String,
    /// How a lock names it.
    pub(super) place: TreePlace,
}

/// Which directory is meant, and what it is called.
pub(crate) struct TreeSource<'a> {
    /// The directory with the project.
    pub project: &'a Path,
    /// How messages name it.
    pub shown: String,
    /// How a lock names it; by its path if it has no other name.
    pub place: Option<TreePlace>,
    /// The top of what travels, which is of no repository; if it is not said, that of the repository around the project,
    /// or the project itself.
    pub top: Option<&'a Path>,
}

impl Run {
    /// The tree of the project in a directory.
    ///
    /// # Errors
    /// If there is no project in it, or something that no build can be given.
    pub(crate) fn tree(&self, source: TreeSource, task: &Task) -> Result<Tree, Failure> {
        let TreeSource { project, shown, place, top } = source;
        let project = fs_err::canonicalize(project)?;
        if !["pyproject.toml", "setup.py"].iter().any(|name| project.join(name).is_file()) {
            return Err(nothing_to_build(&project, &shown));
        }
        task.stage("looking at the source tree");
        let repository = match top {
            Some(_) => None,
            None => Repository::around(&project, &self.interrupt)?,
        };
        let given = top.map(fs_err::canonicalize).transpose()?;
        let of_repository = repository.as_ref().map(|repository| repository.top.clone());
        let top = given.clone().or(of_repository).unwrap_or_else(|| project.clone());
        let beside = match &repository {
            Some(repository) => repository.files_above(&project, &self.interrupt)?,
            None => Vec::new(),
        };
        let key = KeyBuilder::default()
            .part("top", top.as_os_str().as_encoded_bytes())
            .part("project", project.as_os_str().as_encoded_bytes())
            .finish();
        let memory = self.cache.read::<TreeMemory>("trees", key).map(|(memory, _)| memory);
        let walked = given.as_deref().or_else(|| cargo_workspace(&project, &top)).unwrap_or(&project);
        let workspace = walked.to_owned();
        let (left_out, foreign) = (self.left_out(), place.is_some());
        let found = collect(&top, walked, &beside, &left_out, foreign, memory.unwrap_or_default());
        let TreeFiles { root, memory, news, notes } = found.map_err(|failure| failure.within(&shown))?;
        if news {
            self.cache.write("trees", key, &memory)?;
        }
        notes.iter().for_each(|note| task.output(note));
        let own_name = top.file_name().and_then(|name| name.to_str());
        let subdirectory = project.strip_prefix(&top).ok().and_then(Path::to_str).unwrap_or_default();
        Ok(Tree {
            root,
            name: own_name.unwrap_or("tree").to_owned(),
            subdirectory: subdirectory.to_owned(),
            place: match place {
                Some(place) => place,
                None => TreePlace { tree: self.path_for_lock(&project)?, commit: None },
            },
            project,
            workspace,
            repository,
            shown,
        })
    }

    /// What is ours among somebody's sources: where the wheels go, the cache, the lock.
    fn left_out(&self) -> Vec<PathBuf> {
        let ours = [Some(&self.options.out), Some(&self.options.cache_directory), self.options.lock.as_ref()];
        ours.into_iter().flatten().filter_map(|place| std::fs::canonicalize(place).ok()).collect()
    }

    /// The path of a project or file, absolute and without links, as the lock file has it: from where that is.
    pub(crate) fn path_for_lock(&self, project: &Path) -> Result<String, Failure> {
        let lock = self.options.lock.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let directory = std::env::current_dir()?.join(lock);
        let directory = fs_err::canonicalize(&directory).unwrap_or(directory);
        Ok(relative(&directory, project).display().to_string())
    }
}

/// The way from the directory `from` to `to`, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(shared)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

/// The directory of the Cargo workspace that a crate of `project` may belong to, as such a crate cannot be read without
/// the others: the outermost one with a Cargo.toml, up to `top`.
fn cargo_workspace<'a>(project: &'a Path, top: &Path) -> Option<&'a Path> {
    let has_manifest = |directory: &&Path| directory.join("Cargo.toml").is_file();
    has_manifest(&project).then_some(())?;
    project.ancestors().take_while(|above| above.starts_with(top)).filter(has_manifest).last()
}

fn nothing_to_build(project: &Path, shown: &str) -> Failure {
    let message = format!("{shown} has neither pyproject.toml nor setup.py");
    let failure = Failure::new(FailureClass::InvalidSource, message);
    let below = fs_err::read_dir(project).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut projects: Vec<PathBuf> = below
        .filter(|below| ["pyproject.toml", "setup.py"].iter().any(|name| below.join(name).is_file()))
        .collect();
    projects.sort();
    match projects.first().and_then(|first| first.file_name()) {
        Some(first) => failure.with_hint(format!("is it {}?", Path::new(shown).join(first).display())),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_a_tree_from_where_it_is() {
        for (from, to, expected) in [
            ("/a/b", "/a/b", "."),
            ("/a/b", "/a/b/c/d", "c/d"),
            ("/a/b/c", "/a/d", "../../d"),
            ("/", "/a", "a"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(expected));
        }
    }

    #[test]
    fn a_crate_comes_with_its_workspace() {
        let top = tempfile::tempdir().unwrap();
        let at = |path: &str| top.path().join(path);
        fs_err::create_dir_all(at("rust/python")).unwrap();
        let project = at("rust/python");
        assert_eq!(cargo_workspace(&project, top.path()), None);
        fs_err::write(at("rust/python/Cargo.toml"), "").unwrap();
        assert_eq!(cargo_workspace(&project, top.path()), Some(&*project));
        fs_err::write(at("rust/Cargo.toml"), "").unwrap();
        assert_eq!(cargo_workspace(&project, top.path()), Some(&*at("rust")));
    }
}

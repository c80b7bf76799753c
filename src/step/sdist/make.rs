//! Makes an sdist of a source tree: the tree is copied, the backend's hooks are called on the copy, and what they made is
//! checked and packed anew. Knows nothing of indexes, of who asked, or of what is done with the sdist.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::git_program::{ANSWERS, KnownGit, PROGRAMS};
use super::pack::pack;
use super::tree_copy::copy_tree;
use crate::archive;
use crate::cancellation::Cancellation;
use crate::contract::{ArchiveLimits, Failure, FailureClass, GitQuestion, GitQuestions, SdistReport};
use crate::digest::Sha256;
use crate::packaging::sdist_name::sdist_name_and_version;
use crate::patience::Patience;
use crate::scratch::file::{self, FileAccess};
use crate::scratch::home::LockedHome;
use crate::step::backend::hooks::Hooks;
use crate::step::error::{StepError, host};
use crate::step::request::SdistRequest;
use crate::step::source::project::Project;
use crate::step::venv::virtual_environment::python_in;
use crate::step::workshop::{
    BackendResult, BuildEnvironment, Called, Layout, Workshop, isolated, isolation_report, own_peak_memory,
    prepare_sandbox, used_requirement,
};

/// Where the archive of the backend is unpacked to be looked at, and packed again.
const UNPACKED: &str = "unpacked";
const PACKED: &str = "packed";

/// How long it may take to put an sdist into its place.
const PUBLISHING: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Makes the sdist `request` describes. The backend's output is copied to `output` as it comes; `cancellation` ends
/// it from another thread.
///
/// # Errors
/// [`StepError::Failed`] with [`Failure::git_questions`] if the backend asked git what there is no answer to, whatever
/// came of it otherwise.
pub fn make_sdist(
    request: &SdistRequest,
    cancellation: &Cancellation,
    output: &mut (dyn Write + Send),
) -> Result<SdistReport, StepError> {
    let backend = &request.backend;
    let workshop = Workshop::open(backend, cancellation)?;
    let git = KnownGit::read(request.git_answers.as_deref())?;
    std::thread::scope(|scope| {
        let mut step = Step { request, workshop, git };
        // Takes as long as everything before the backend, and needs none of it.
        let sandbox = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn_scoped(scope, || prepare_sandbox(backend.sandbox, &backend.cache))
            .map_err(host("start a thread"))?;
        let workspace = step.workshop.create_workspace()?;
        let (top, project) = step.copy(&workspace)?;
        let wheels = step.workshop.wheels(&project)?;
        step.workshop.furnish(&workspace)?;
        let sandbox = sandbox.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let isolation = sandbox.isolation().clone();
        let environment = step.workshop.prepare(&workspace, project, isolation.clone(), wheels)?;
        let called = step.call(&environment, &top)?;
        let ran = step.workshop.run_backend(sandbox, &environment, &called, output);
        let (asked, unanswered) = step.git.questions(&environment.layout.host);
        if !unanswered.is_empty() {
            return Err(isolated(unanswered_questions(ran.err(), unanswered)?, &isolation));
        }
        let (built, _remains) = ran.map_err(|error| isolated(error, &isolation))?;
        let made = step.check(&environment, &built).map_err(|error| isolated(error, &isolation))?;
        step.publish(&made)?;
        Ok(step.report(&environment, built, made, asked))
    })
}

struct Step<'a> {
    request: &'a SdistRequest,
    workshop: Workshop<'a>,
    git: KnownGit,
}

/// An sdist that was checked, and is not yet where it belongs.
struct Made {
    path: PathBuf,
    file_name: String,
    name: Option<String>,
    version: Option<String>,
    sha256: Sha256,
    size_bytes: u64,
    members: u64,
}

impl Step<'_> {
    /// The top of the copied tree, and the project in it.
    fn copy(&mut self, workspace: &LockedHome) -> Result<(PathBuf, Project), StepError> {
        let tree = fs_err::canonicalize(&self.request.tree)
            .map_err(|error| StepError::Input(format!("there is no source tree: {error}")))?;
        let source = workspace.path().join(Layout::SOURCE);
        fs_err::create_dir(&source).map_err(host("prepare the workspace"))?;
        // Some setup.py looks at the name of its directory.
        let top = source.join(tree.file_name().unwrap_or("tree".as_ref()));
        copy_tree(&tree, &top, self.workshop.cancellation)?;
        self.git.mark(&top)?;
        let subdirectory = self.request.subdirectory.as_deref().unwrap_or(Path::new(""));
        let project = inside(&top, subdirectory)?;
        self.workshop.stopwatch.lap("copy");
        let project = Project::load(&project)?;
        project.check_python(&self.request.backend.interpreter)?;
        Ok((top, project))
    }

    /// Puts the program named git in its place.
    fn call(&self, environment: &BuildEnvironment, top: &Path) -> Result<Called, StepError> {
        let layout = &environment.layout;
        let seen_top = match top.strip_prefix(&layout.host) {
            Ok(relative) => layout.inside.join(relative),
            Err(_) => top.to_owned(),
        };
        let mounts = environment.isolation.namespaces;
        let seen_answers = match &self.git.directory {
            Some(_) if mounts => Some(layout.inside.join(ANSWERS)),
            other => other.clone(),
        };
        let python = python_in(&layout.inside.join(Layout::VENV));
        self.git.install(&layout.host, &layout.inside, &seen_top, &python, seen_answers.as_deref())?;
        let beside = self.git.directory.clone().filter(|_| mounts).map(|directory| (directory, ANSWERS));
        if beside.is_some() {
            fs_err::create_dir(layout.host.join(ANSWERS)).map_err(host("prepare the workspace"))?;
        }
        Ok(Called { hooks: Hooks::Sdist, programs: Some(PROGRAMS), beside })
    }

    /// Makes sure that there is one sdist, that it can be read and built, and packs it so that it is the same each time.
    fn check(&mut self, environment: &BuildEnvironment, built: &BackendResult) -> Result<Made, StepError> {
        let workspace = &environment.layout.host;
        let theirs = only_file(&workspace.join(Layout::OUT), &built.reported_name)?;
        let unpacked = archive::unpack(&theirs, &workspace.join(UNPACKED), &ArchiveLimits::default())?;
        let file_name = format!("{}.tar.gz", stem(&built.reported_name));
        let project = Project::load(&unpacked.root)?;
        let by_file_name = sdist_name_and_version(&file_name);
        let name = project.name.clone().or(by_file_name.clone().map(|(name, _)| name));
        let version = project.version.clone().or(by_file_name.map(|(_, version)| version));
        let path = workspace.join(PACKED);
        let members = pack(&unpacked.root, &unpacked.top_level, &path).map_err(host("pack the sdist"))?;
        let (sha256, size_bytes) = Sha256::of_file(&path).map_err(host("read the sdist"))?;
        self.workshop.stopwatch.lap("pack");
        let (name, version) = (name.map(|name| name.to_string()), version.map(|version| version.to_string()));
        Ok(Made { path, file_name, name, version, sha256, size_bytes, members })
    }

    /// Puts the sdist under its own name, whole or not at all.
    fn publish(&mut self, made: &Made) -> Result<(), StepError> {
        let patience = Patience::of(PUBLISHING, self.workshop.cancellation);
        let published = fs_err::File::open(&made.path)
            .and_then(|sdist| {
                let mut sdist = patience.read(sdist.take(made.size_bytes));
                fs_err::create_dir_all(&self.request.out)?;
                let place = self.request.out.join(&made.file_name);
                file::write_from(&place, &mut sdist, FileAccess::Mode(0o644))
            })
            .map_err(host("write the sdist"));
        self.workshop.cancellation.check()?;
        published?;
        self.workshop.stopwatch.lap("publish");
        Ok(())
    }

    fn report(
        self,
        environment: &BuildEnvironment,
        built: BackendResult,
        made: Made,
        git_questions: Vec<GitQuestion>,
    ) -> SdistReport {
        SdistReport {
            file_name: made.file_name,
            name: made.name,
            version: made.version,
            sha256: made.sha256,
            size_bytes: made.size_bytes,
            members: made.members,
            python_version: self.request.backend.interpreter.version_text(),
            backend: environment.project.build_system.backend.clone(),
            build_requirements: environment.installed.iter().map(used_requirement).collect(),
            dynamic_requirements: built.run.requires.unwrap_or_default(),
            git_questions,
            isolation: isolation_report(&environment.isolation),
            seconds: self.workshop.stopwatch.finish(),
            peak_memory_bytes: built.run.exit.peak_memory_bytes,
            own_peak_memory_bytes: own_peak_memory(),
        }
    }
}

/// The directory `subdirectory` of the tree at `top`, wherever its links lead within that.
fn inside(top: &Path, subdirectory: &Path) -> Result<PathBuf, StepError> {
    let absent = |reason: &str| {
        StepError::Input(format!("the source tree has no directory `{}`{reason}", subdirectory.display()))
    };
    let top = fs_err::canonicalize(top).map_err(host("read the source tree"))?;
    let project = fs_err::canonicalize(top.join(subdirectory)).map_err(|_| absent(""))?;
    if !project.starts_with(&top) {
        return Err(absent(" of its own: that leads out of it"));
    }
    if project.is_dir() { Ok(project) } else { Err(absent(": that is a file")) }
}

/// The one file in `directory`, which the backend says is called `reported`.
fn only_file(directory: &Path, reported: &str) -> Result<PathBuf, StepError> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(directory).map_err(host("look for the sdist"))? {
        names.push(entry.map_err(host("look for the sdist"))?.file_name().to_string_lossy().into_owned());
    }
    let refused = |message: String| Err(Failure::new(FailureClass::BackendError, message).into());
    match names.as_slice() {
        [] => refused(format!("build_sdist returned `{reported}` and wrote nothing")),
        [only] if only == reported => {
            let path = directory.join(only);
            match fs_err::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => Ok(path),
                _ => refused(format!("build_sdist wrote `{reported}`, which is not a file")),
            }
        }
        [only] => refused(format!("build_sdist returned `{reported}` and wrote `{only}`")),
        several => {
            let mut several = several.to_vec();
            several.sort();
            refused(format!("build_sdist wrote more than one file: {}", several.join(", ")))
        }
    }
}

/// The name without what says how it is packed.
fn stem(file_name: &str) -> &str {
    let endings = [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar", ".zip"];
    endings.iter().find_map(|ending| file_name.strip_suffix(ending)).unwrap_or(file_name)
}

/// The failure that asks for answers. What else went wrong may have gone wrong for the lack of them, except that the
/// backend needs more requirements, which is told along. Errors of this machine are handed on as they are.
fn unanswered_questions(
    error: Option<StepError>,
    git_questions: Vec<GitQuestion>,
) -> Result<StepError, StepError> {
    match error {
        None | Some(StepError::Failed(_)) => {}
        Some(other) => return Err(other),
    }
    let shown: Vec<String> = git_questions.iter().take(5).map(|question| format!("`{question}`")).collect();
    let git_questions = Some(Box::new(GitQuestions(git_questions)));
    if let Some(StepError::Failed(failure)) = &error
        && failure.class == FailureClass::MissingBuildRequirement
    {
        return Ok(Failure { git_questions, ..failure.clone() }.into());
    }
    let message = format!("the backend asked git what --git-answers does not answer: {}", shown.join(", "));
    let failure = Failure::new(FailureClass::MissingTool, message)
        .with_hint("`crosswheel build DIR` asks the git of its machine, and tries again");
    Ok(Failure { git_questions, ..failure }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdist_keeps_its_name_whatever_it_was_packed_with() {
        for (file, expected) in [("a-1.0.tar.gz", "a-1.0"), ("a-1.0.zip", "a-1.0"), ("a-1.0", "a-1.0")] {
            assert_eq!(stem(file), expected);
        }
    }

    #[test]
    fn a_subdirectory_lies_in_its_tree() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().join("tree");
        fs_err::create_dir_all(top.join("packages/a")).unwrap();
        fs_err::write(top.join("file"), "").unwrap();
        fs_err::os::unix::fs::symlink("/usr", top.join("link")).unwrap();
        assert!(inside(&top, Path::new("packages/a")).is_ok());
        for outside in ["..", "link", "/usr", "packages/b", "file"] {
            let error = inside(&top, Path::new(outside)).unwrap_err().to_string();
            assert!(error.starts_with("the source tree has no directory"), "{error}");
        }
    }

    #[test]
    fn what_the_backend_says_and_what_it_wrote_must_be_one() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |reported: &str| only_file(directory.path(), reported).unwrap_err().to_string();
        assert!(refused("a.tar.gz").contains("wrote nothing"));
        fs_err::write(directory.path().join("a.tar.gz"), "").unwrap();
        assert!(only_file(directory.path(), "a.tar.gz").is_ok());
        assert!(refused("../a.tar.gz").contains("wrote `a.tar.gz`"));
        fs_err::write(directory.path().join("b.tar.gz"), "").unwrap();
        assert!(refused("a.tar.gz").contains("more than one file: a.tar.gz, b.tar.gz"));
    }
}

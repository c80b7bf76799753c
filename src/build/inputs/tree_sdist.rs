//! The sdist of a source tree: made by a step, with build requirements that are resolved like those of wheels, and with
//! what the backend wants to know of git. Knows nothing of what is done with the sdist.

use std::path::PathBuf;
use std::time::SystemTime;

use pep508_rs::{Requirement, VerbatimUrl};

use super::directory::Tree;
use super::repository::Repository;
use super::sdists::{Sdist, SdistOrigin};
use crate::build::build_sdist::pinned;
use crate::build::builder::Builder;
use crate::build::cache::KeyBuilder;
use crate::build::customisation::Customisation;
use crate::build::index::download::check_file_name;
use crate::build::progress::Task;
use crate::build::resolve::lock::{LockedSdist, Product, drift};
use crate::build::resolve::resolution::Resolution;
use crate::build::steps::runner::Ran;
use crate::build::steps::sdist_step::SdistStep;
use crate::build::steps::step_action::{Step, with_interpreter, with_settings};
use crate::contract::{Failure, FailureClass, GIT_TOP, GitQuestion, MOST_QUESTIONS, SdistReport};
use crate::digest::Sha256;
use crate::step::source::project::BuildSystem;

/// How often a backend may come up with new questions or requirements.
const MOST_ROUNDS: usize = 8;

/// Questions that are answered although the backend did not ask them this time.
const MOST_IDLE: usize = 16;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Files that decide what a backend asks for.
const DECIDING: [&str; 4] = ["pyproject.toml", "setup.py", "setup.cfg", "meson.build"];

impl Builder {
    /// The sdist of `tree`, made as `custom` says: the one that is in the cache, if nothing has changed.
    pub(crate) fn tree_sdist(
        &self,
        tree: &Tree,
        custom: &Customisation,
        task: &Task,
    ) -> Result<Sdist, Failure> {
        self.make_tree_sdist(tree, custom, task).map_err(|failure| match failure.class {
            FailureClass::Interrupted => failure,
            _ => failure.within(format!("no sdist could be made of {}", tree.shown)),
        })
    }

    fn make_tree_sdist(&self, tree: &Tree, custom: &Customisation, task: &Task) -> Result<Sdist, Failure> {
        let options = &self.run.options;
        let mut step = SdistStep {
            tree: &tree.root,
            tree_name: &tree.name,
            subdirectory: &tree.subdirectory,
            git_answers: None,
            epoch: self.epoch_of(tree)?,
            build_wheels: Vec::new(),
            interpreter: &self.interpreter,
            target: self.target,
            rust: None,
            customisation: custom,
            sandbox: options.sandbox,
            timeout: options.timeout,
        };
        let mut needs = TreeNeeds::of(self, tree, custom)?;
        let mut git = GitTalk::about(self, tree);
        for _ in 0..MOST_ROUNDS {
            let resolution = match self.tree_requirements(tree, &pinned(&needs.asked, custom), task) {
                Err(failure) if failure.class == FailureClass::ResolutionFailed && needs.forget() => continue,
                resolution => resolution?,
            };
            step.build_wheels =
                resolution.wheels.iter().map(|wheel| (wheel.path(&self.run.cache), wheel.sha256)).collect();
            step.rust = self.rust_inputs_of_tree(&tree.workspace, &tree.shown, &needs.asked, task)?;
            // Its files are needed until the step has run.
            let _answers = git.answer(self, &mut step)?;
            match self.make_or_remember(&step, task)? {
                Ok((report, place)) => {
                    needs.remember(self, tree, &report)?;
                    git.remember(self, &report.git_questions)?;
                    let sdist = self.run.sdists.open(&place, Some(report.sha256), None)?;
                    let locks = self.tree_lock_entries(tree, &report, &resolution);
                    let origin = SdistOrigin { place: tree.place.clone(), locks };
                    return Ok(Sdist { origin: Some(origin), ..sdist });
                }
                Err(failure) => {
                    let questions = git.take_up(failure.git_questions());
                    let requirements = failure.class == FailureClass::MissingBuildRequirement
                        && needs.take_up(self, &failure.missing_requirements);
                    if requirements && self.lock_for_tree(&tree.place, Some(Product::Sdist)).is_some() {
                        let missing = failure.missing_requirements.join(", ");
                        return Err(drift(format!(
                            "build_sdist asks for {missing}, which the lock does not have"
                        )));
                    }
                    if !questions && !requirements {
                        return Err(git.explain(failure));
                    }
                }
            }
        }
        let message = format!("the backend came up with new questions or requirements {MOST_ROUNDS} times");
        Err(Failure::new(FailureClass::BackendError, message))
    }

    /// The sdist that `step` makes, or has made before, with its report; or the step's own failure. The executor would know
    /// that, too, but takes longer to start.
    fn make_or_remember(
        &self,
        step: &SdistStep,
        task: &Task,
    ) -> Result<Result<(SdistReport, PathBuf), Failure>, Failure> {
        let rebuild = self.run.options.rebuild;
        let action = step.job(self.runner.placement())?.digest().hex();
        let key = KeyBuilder::default().part("sdist step", action).finish();
        let known = self.run.cache.read::<SdistReport>("tree-sdists", key).filter(|_| !rebuild);
        if let Some((report, _)) = known
            && let Some(place) = self.made_sdist(&report)?
        {
            return Ok(Ok((report, place)));
        }
        let (report, file) = match self.runner.run(step, rebuild, "making an sdist", task)? {
            Ran::Built { report, file, .. } => (*report, file),
            Ran::Failed(failure) => return Ok(Err(failure)),
        };
        let place = match self.made_sdist(&report)? {
            Some(place) => place,
            None => {
                let place = self.run.cache.download(report.sha256, &report.file_name);
                let fetched = self.run.cache.temporary_directory()?;
                self.runner.client()?.download(&file, &fetched.path().join(&report.file_name))?;
                self.run.cache.publish_directory(fetched.path(), place.parent().unwrap_or(&place))?;
                place
            }
        };
        // Where there could be more isolation, another action has the result.
        if !report.isolation.is_reduced() {
            self.run.cache.write("tree-sdists", key, &report)?;
        }
        Ok(Ok((report, place)))
    }

    /// Where the sdist that `report` is of is in the cache, if it is.
    fn made_sdist(&self, report: &SdistReport) -> Result<Option<PathBuf>, Failure> {
        check_file_name(&report.file_name)?;
        let place = self.run.cache.download(report.sha256, &report.file_name);
        let is_intact =
            place.is_file() && self.run.sdists.digest(&place).is_ok_and(|found| found == report.sha256);
        Ok(is_intact.then_some(place))
    }

    /// The versions of changed working trees have the day in them, for which backends look at the clock.
    fn epoch_of(&self, tree: &Tree) -> Result<Option<u64>, Failure> {
        let Some(repository) = &tree.repository else { return Ok(None) };
        let is_dirty = repository.is_dirty(&self.run.interrupt)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(is_dirty.then_some(now - now % DAY))
    }

    fn tree_requirements(
        &self,
        tree: &Tree,
        asked: &[Requirement<VerbatimUrl>],
        task: &Task,
    ) -> Result<Resolution, Failure> {
        let Some(lock) = self.lock_for_tree(&tree.place, Some(Product::Sdist)) else {
            return self.resolve(asked, &[], task);
        };
        let entry = lock.entry_of_tree(&tree.place, Some(Product::Sdist), &self.environment)?;
        entry.check(asked)?;
        self.resolve_locked(lock, entry, &[], task)
    }

    fn tree_lock_entries(
        &self,
        tree: &Tree,
        report: &SdistReport,
        resolution: &Resolution,
    ) -> Vec<LockedSdist> {
        let entry = LockedSdist {
            name: report.name.clone().unwrap_or_else(|| tree.name.clone()),
            version: None,
            sha256: None,
            tree: Some(tree.place.tree.clone()),
            commit: tree.place.commit.clone(),
            builds: Some(Product::Sdist),
            url: None,
            python: self.environment.python.clone(),
            target: self.target,
            requirements: resolution.wheels.iter().map(|wheel| wheel.locked()).collect(),
        };
        [std::slice::from_ref(&entry), &resolution.built].concat()
    }
}

/// What must be installed for the hooks.
struct TreeNeeds {
    /// By pyproject.toml, and by the user.
    statics: Vec<Requirement<VerbatimUrl>>,
    /// By the backend, the last time or in this run.
    learned: Vec<String>,
    asked: Vec<Requirement<VerbatimUrl>>,
    from_memory: bool,
    key: Sha256,
}

impl TreeNeeds {
    fn of(builder: &Builder, tree: &Tree, custom: &Customisation) -> Result<Self, Failure> {
        let run = &builder.run;
        let mut key = with_settings(with_interpreter(KeyBuilder::default(), &builder.interpreter), custom)
            .part("tree", tree.project.as_os_str().as_encoded_bytes());
        let mut pyproject = None;
        for name in DECIDING {
            let Ok(bytes) = fs_err::read(tree.project.join(name)) else { continue };
            key = key.part(name, Sha256::of(&bytes).to_string());
            pyproject = pyproject.or(Some(bytes).filter(|_| name == "pyproject.toml"));
        }
        let key = key.finish();
        let system = BuildSystem::parse(pyproject.as_deref()).map_err(Failure::from)?;
        let requires: Vec<String> = system.requires.iter().map(ToString::to_string).collect();
        let mut statics = Vec::new();
        builder.add_requirements(&mut statics, &requires);
        builder.add_requirements(&mut statics, &custom.build_requires);
        // A lock rules without it.
        let learned = match builder.lock_for_tree(&tree.place, Some(Product::Sdist)) {
            Some(_) => None,
            None => run.cache.read::<Vec<String>>("learned", key).map(|(learned, _)| learned),
        };
        let learned = learned.unwrap_or_default();
        let mut asked = statics.clone();
        builder.add_requirements(&mut asked, &learned);
        Ok(Self { from_memory: !learned.is_empty(), statics, learned, asked, key })
    }

    /// What another version of the backend asked for need not be what this one does. Whether there was any of that.
    fn forget(&mut self) -> bool {
        self.asked.clone_from(&self.statics);
        self.learned.clear();
        std::mem::take(&mut self.from_memory)
    }

    /// Adds what was missing; whether that is new.
    fn take_up(&mut self, builder: &Builder, missing: &[String]) -> bool {
        self.learned.extend(missing.iter().cloned());
        builder.add_requirements(&mut self.asked, missing)
    }

    fn remember(&self, builder: &Builder, tree: &Tree, report: &SdistReport) -> Result<(), Failure> {
        let rules = builder.lock_for_tree(&tree.place, Some(Product::Sdist)).is_some();
        if report.dynamic_requirements == self.learned || rules {
            return Ok(());
        }
        Ok(builder.run.cache.write("learned", self.key, &report.dynamic_requirements)?)
    }
}

/// What the backend wants to know of the repository.
struct GitTalk<'a> {
    repository: Option<&'a Repository>,
    questions: Vec<GitQuestion>,
    /// What it asked the last time.
    remembered: Vec<GitQuestion>,
    refused: Vec<String>,
    key: Sha256,
}

impl<'a> GitTalk<'a> {
    fn about(builder: &Builder, tree: &'a Tree) -> Self {
        let key = KeyBuilder::default()
            .part("tree", tree.project.as_os_str().as_encoded_bytes())
            .part("place", &tree.place.tree)
            .finish();
        let remembered = builder.run.cache.read::<Vec<GitQuestion>>("git-questions", key);
        let remembered = remembered.map(|(questions, _)| questions).unwrap_or_default();
        let questions = if remembered.is_empty() { usual_questions(tree) } else { remembered.clone() };
        Self { repository: tree.repository.as_ref(), questions, remembered, refused: Vec::new(), key }
    }

    /// Gives `step` the answers to all that was asked so far. They are in the directory that is returned.
    fn answer(
        &mut self,
        builder: &Builder,
        step: &mut SdistStep,
    ) -> Result<Option<crate::scratch::temporary::TemporaryDirectory>, Failure> {
        let Some(repository) = self.repository else { return Ok(None) };
        let directory = builder.run.cache.temporary_directory()?;
        let answers = repository.answers(&self.questions, directory.path(), &builder.run.interrupt)?;
        step.git_answers = Some(answers.inputs);
        self.refused = answers.refused;
        Ok(Some(directory))
    }

    /// Adds what has not been asked before; whether there is any.
    fn take_up(&mut self, questions: &[GitQuestion]) -> bool {
        let before = self.questions.len();
        for question in questions {
            if self.questions.len() < MOST_QUESTIONS && !self.questions.contains(question) {
                self.questions.push(question.clone());
            }
        }
        self.questions.len() > before
    }

    /// What was answered is asked again the next time, so that it is the same action; but for what nobody has asked, if
    /// it becomes too much.
    fn remember(&self, builder: &Builder, asked: &[GitQuestion]) -> Result<(), Failure> {
        let idle = self.questions.iter().filter(|question| !asked.contains(question)).count();
        let kept = if idle > MOST_IDLE { asked } else { &self.questions };
        if kept == self.remembered {
            return Ok(());
        }
        Ok(builder.run.cache.write("git-questions", self.key, &kept)?)
    }

    /// A failure that may have come of what git was not asked says so.
    fn explain(&self, mut failure: Failure) -> Failure {
        if self.refused.is_empty() {
            return failure;
        }
        let refused = format!("git was not asked {}", self.refused.join(", nor "));
        failure.hint = Some(match failure.hint {
            Some(hint) => format!("{hint}; {refused}"),
            None => refused,
        });
        failure
    }
}

/// What setuptools-scm asks, which most projects use that ask at all: so that it need not be found out by trying.
fn usual_questions(tree: &Tree) -> Vec<GitQuestion> {
    let mentions = |name: &str| {
        let text = fs_err::read_to_string(tree.project.join(name)).unwrap_or_default();
        ["setuptools_scm", "setuptools-scm", "hatch-vcs", "vcs-versioning"]
            .iter()
            .any(|plugin| text.contains(plugin))
    };
    if !DECIDING.iter().any(|name| mentions(name)) {
        return Vec::new();
    }
    let own = format!("{GIT_TOP}/.git");
    let of_repository = [
        &["rev-parse", "--show-prefix"][..],
        &["describe", "--dirty", "--tags", "--long", "--abbrev=40", "--match", "*[0-9]*"],
        &["rev-parse", "--abbrev-ref", "HEAD"],
        &["-c", "log.showSignature=false", "log", "-n", "1", "HEAD", "--format=%cI"],
        &["ls-files", "-z", "-s", "--", ".", ":(exclude,attr:export-ignore)"],
    ];
    let of_repository = of_repository
        .map(|arguments| GitQuestion::new("", &[&["--git-dir", own.as_str()], arguments].concat()));
    let others = [&["--version"][..], &["version"], &["rev-parse", "HEAD"], &["rev-parse", "--show-prefix"]];
    let others = others.map(|arguments| GitQuestion::new(&tree.subdirectory, arguments));
    of_repository.into_iter().chain(others).collect()
}

//! The program named `git` that a build finds, and what the build sees in the place of a repository. The program is
//! `git.py`, which answers from a file, and notes what it was asked. Knows nothing of what is asked, nor of who answers.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::tree_copy::REPOSITORY;
use crate::contract::{ANSWERS_FILE, GitAnswers, GitQuestion, GitRepository, MOST_QUESTIONS};
use crate::step::error::{StepError, host};

const SCRIPT: &str = include_str!("git.py");

/// The directory of the workspace that comes first on PATH.
pub(super) const PROGRAMS: &str = "programs";
/// The directory of the workspace at which the answers are seen.
pub(super) const ANSWERS: &str = "git";
/// The file in [`PROGRAMS`] that questions are noted in.
const ASKED: &str = "asked";

/// Bytes of the document of answers, and of the noted questions, that are read.
const MOST_BYTES: u64 = 16 << 20;

/// What git said of the repository that a tree is of.
pub(super) struct KnownGit {
    /// The directory with the answers.
    pub directory: Option<PathBuf>,
    answers: GitAnswers,
}

impl KnownGit {
    /// Reads the answers in `directory`.
    ///
    /// # Errors
    /// [`StepError::Input`] if there are none, or none that make sense.
    pub fn read(directory: Option<&Path>) -> Result<Self, StepError> {
        let Some(directory) = directory else {
            let answers = GitAnswers { repository: GitRepository::None, answers: Vec::new() };
            return Ok(Self { directory: None, answers });
        };
        let read = || -> io::Result<(PathBuf, GitAnswers)> {
            let directory = fs_err::canonicalize(directory)?;
            let file = fs_err::File::open(directory.join(ANSWERS_FILE))?;
            Ok((directory, serde_json::from_reader(io::BufReader::new(file.take(MOST_BYTES)))?))
        };
        let (directory, answers) = read()
            .map_err(|error| StepError::Input(format!("the answers of git cannot be read: {error}")))?;
        Ok(Self { directory: Some(directory), answers })
    }

    /// Puts what stands for the repository into the tree at `top`.
    pub fn mark(&self, top: &Path) -> Result<(), StepError> {
        let place = top.join(REPOSITORY);
        let mark = || match self.answers.repository {
            GitRepository::Here { linked: true, .. } => fs_err::write(&place, ""),
            GitRepository::Here { linked: false, shallow } => {
                fs_err::create_dir(&place)?;
                // setuptools-scm looks for it.
                if shallow { fs_err::write(place.join("shallow"), "") } else { Ok(()) }
            }
            GitRepository::None | GitRepository::Unknown { .. } => Ok(()),
        };
        mark().map_err(host("prepare the workspace"))
    }

    /// Puts the program into the workspace `host_path`, which the build sees at `inside`; the build's tree is at `top`,
    /// its Python at `python`, and the answers, if there are any, at `answers`.
    pub fn install(
        &self,
        host_path: &Path,
        inside: &Path,
        top: &Path,
        python: &Path,
        answers: Option<&Path>,
    ) -> Result<(), StepError> {
        let programs = host_path.join(PROGRAMS);
        let seen = inside.join(PROGRAMS);
        let words = [python, &seen.join("git.py"), top, answers.unwrap_or(Path::new("")), &seen.join(ASKED)];
        let words: Vec<String> = words.iter().map(|path| shell_word(path)).collect();
        let [python, rest @ ..] = words.as_slice() else { return Ok(()) };
        let starter = format!("#!/bin/sh\nexec {python} -I -S {} \"$@\"\n", rest.join(" "));
        let write = || -> io::Result<()> {
            fs_err::create_dir(&programs)?;
            fs_err::write(programs.join("git.py"), SCRIPT)?;
            fs_err::write(programs.join("git"), starter)?;
            fs_err::set_permissions(programs.join("git"), PermissionsExt::from_mode(0o755))
        };
        write().map_err(host("prepare the workspace"))
    }

    /// What the build asked, each question once and in order; and those of them that have no answer and can get one.
    pub fn questions(&self, host_path: &Path) -> (Vec<GitQuestion>, Vec<GitQuestion>) {
        let asked = asked(&host_path.join(PROGRAMS).join(ASKED));
        let unanswered = match self.answers.repository {
            GitRepository::Here { .. } => {
                let answered: HashSet<_> =
                    self.answers.answers.iter().map(|answer| &answer.question).collect();
                let is_new = |question: &&GitQuestion| !answered.contains(question);
                asked.iter().filter(is_new).cloned().collect()
            }
            GitRepository::None | GitRepository::Unknown { .. } => Vec::new(),
        };
        (asked, unanswered)
    }
}

/// The build could write anything into the file; what is no question of this tree is passed over.
fn asked(file: &Path) -> Vec<GitQuestion> {
    let mut bytes = Vec::new();
    // Not through a link that the build has put there.
    let opened = rustix::fs::open(
        file,
        rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::NONBLOCK
            | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    if let Ok(opened) = opened {
        // What cannot be read was not asked.
        let _ = std::fs::File::from(opened).take(MOST_BYTES).read_to_end(&mut bytes);
    }
    let mut seen = HashSet::new();
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<GitQuestion>(line).ok())
        .filter(|question| !question.directory.split('/').any(|part| part == ".."))
        .filter(|question| seen.insert(question.clone()))
        .take(MOST_QUESTIONS)
        .collect()
}

fn shell_word(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

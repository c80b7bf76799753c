//! The git repository that a source directory lies in: what the builds of it may know, asked of the git of this machine.
//! Nothing is written there. Knows nothing of who wants to know, nor of what the answers mean.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::git_process::Git;
use super::git_questions::passed_on;
use super::guarded_git::{FATAL, GuardedGit};
use crate::build::interrupt::Interrupt;
use crate::build::steps::step_action::blob_digest;
use crate::client::{ClientError, InputRoot};
use crate::contract::{
    ANSWERS_FILE, Failure, FailureClass, GIT_TOP, GitAnswer, GitAnswers, GitQuestion, GitRepository,
};
use crate::digest::Sha256;

/// Most bytes of one answer: an archive of all files may be as large as an sdist.
const MOST_BYTES: u64 = 2 << 30;
/// Bytes of an answer in which paths of the repository are looked for; the others are not about paths.
const MOST_TEXT: u64 = 1 << 20;
/// What a shell ends with if there is no such program.
const NOT_FOUND: u8 = 127;

/// A repository, and the git that knows it.
pub(super) struct Repository {
    /// Its top directory, absolute and without links.
    pub top: PathBuf,
    git: Option<GuardedGit>,
    /// Why not, if there is none.
    why_not: String,
    facts: GitRepository,
}

/// Answers of git, as an action takes them.
pub(super) struct Answers {
    pub inputs: InputRoot,
    /// Questions that were not passed on, and why.
    pub refused: Vec<String>,
}

impl Repository {
    /// The repository that `directory`, which is absolute and without links, lies in; none if it lies in none.
    pub fn around(directory: &Path, interrupt: &Interrupt) -> Result<Option<Self>, Failure> {
        let Some(nearest) = directory.ancestors().find(|above| above.join(".git").exists()) else {
            return Ok(None);
        };
        let unknown = |code: u8, stderr: String, why_not: String| {
            let facts = GitRepository::Unknown { code, stderr };
            Ok(Some(Self { top: nearest.to_owned(), git: None, why_not, facts }))
        };
        let Some(git) = Git::find() else {
            return unknown(NOT_FOUND, "git: not found\n".into(), "there is no git to ask".into());
        };
        let git = GuardedGit::new(git);
        let mut top = Vec::new();
        let asked = ["rev-parse", "--show-toplevel"].map(str::to_owned);
        let (code, stderr) = git.run(directory, &asked, None, &mut top, interrupt)?;
        let shown = String::from_utf8_lossy(&top);
        let top = std::fs::canonicalize(shown.trim_end_matches('\n')).ok();
        // Its settings may name another directory, of which nobody said that it be read.
        let Some(top) = top.filter(|top| code == 0 && top == nearest) else {
            let why_not = match stderr.contains("dubious ownership") {
                true => format!(
                    "the repository {0} is another user's; if you trust it: git config --global --add safe.directory {0}",
                    nearest.display()
                ),
                false => format!("git knows no repository whose top is {}", nearest.display()),
            };
            let stderr = stderr.replace(&*nearest.to_string_lossy(), GIT_TOP);
            return unknown(if code == 0 { FATAL } else { code }, stderr, why_not);
        };
        let mut shallow = Vec::new();
        let asked = ["rev-parse", "--is-shallow-repository"].map(str::to_owned);
        git.run(&top, &asked, None, &mut shallow, interrupt)?;
        let facts =
            GitRepository::Here { linked: top.join(".git").is_file(), shallow: shallow.starts_with(b"true") };
        Ok(Some(Self { top, git: Some(git), why_not: String::new(), facts }))
    }

    /// The files that lie directly in the directories above `project`, as far as they are the repository's: what a
    /// build may look at there, such as a README, a licence or the settings of a workspace.
    pub fn files_above(&self, project: &Path, interrupt: &Interrupt) -> Result<Vec<PathBuf>, Failure> {
        let Some(git) = self.git.as_ref().filter(|_| project != self.top) else { return Ok(Vec::new()) };
        let above = project.ancestors().skip(1).take_while(|above| above.starts_with(&self.top));
        let patterns = above.filter_map(|above| above.strip_prefix(&self.top).ok()?.to_str()).map(|above| {
            let escaped: String = above
                .chars()
                .flat_map(|c| "*?[\\".contains(c).then_some('\\').into_iter().chain([c]))
                .collect();
            if above.is_empty() { ":(top,glob)*".into() } else { format!(":(top,glob){escaped}/*") }
        });
        let arguments: Vec<String> =
            ["ls-files", "-z", "--"].map(str::to_owned).into_iter().chain(patterns).collect();
        let mut names = Vec::new();
        git.run(&self.top, &arguments, None, &mut names, interrupt)?;
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let places = names.filter_map(|name| Some(self.top.join(std::str::from_utf8(name).ok()?)));
        Ok(places.filter(|place| place.symlink_metadata().is_ok_and(|found| !found.is_dir())).collect())
    }

    /// Whether a file that the repository has is another one in the working tree.
    pub fn is_dirty(&self, interrupt: &Interrupt) -> Result<bool, Failure> {
        let Some(git) = &self.git else { return Ok(false) };
        let asked = ["status", "--porcelain", "--untracked-files=no"].map(str::to_owned);
        let mut changed = Vec::new();
        let (code, _) = git.run(&self.top, &asked, None, &mut changed, interrupt)?;
        Ok(code == 0 && !changed.is_empty())
    }

    /// Puts what git says to `questions` into the new directory `directory`.
    pub fn answers(
        &self,
        questions: &[GitQuestion],
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<Answers, Failure> {
        let mut inputs = InputRoot::default();
        let (mut answers, mut refused) = (Vec::new(), Vec::new());
        for (index, question) in questions.iter().enumerate() {
            let name = index.to_string();
            let place = directory.join(&name);
            let mut file = Limited { file: fs_err::File::create_new(&place)?, left: MOST_BYTES };
            let (code, stderr) = match self.ask(question, &mut file, interrupt) {
                Ok(answer) => answer,
                Err(failure) if file.left == 0 && failure.class == FailureClass::LocalIo => {
                    return Err(too_much(question));
                }
                Err(failure) => return Err(failure),
            };
            if code == FATAL && stderr.starts_with(NOT_PASSED_ON) {
                refused.push(format!("`{question}`{}", stderr.trim_start_matches(NOT_PASSED_ON).trim_end()));
            }
            drop(file);
            self.generalise(question, &place)?;
            let (sha256, size) = Sha256::of_file(&place)?;
            if size > 0 {
                inputs
                    .add_file(&name, &place, blob_digest(sha256, size), false)
                    .map_err(ClientError::from)?;
            }
            let stdout = (size > 0).then_some(name);
            answers.push(GitAnswer { question: question.clone(), code, stdout, stderr });
        }
        let document = GitAnswers { repository: self.facts.clone(), answers };
        let bytes = serde_json::to_vec(&document).map_err(io::Error::from)?;
        inputs.add_bytes(ANSWERS_FILE, bytes.into()).map_err(ClientError::from)?;
        Ok(Answers { inputs, refused })
    }

    fn ask(
        &self,
        question: &GitQuestion,
        out: &mut impl Write,
        interrupt: &Interrupt,
    ) -> Result<(u8, String), Failure> {
        let not_passed_on = |reason: String| Ok((FATAL, format!("{NOT_PASSED_ON}: {reason}\n")));
        let Some(git) = &self.git else { return not_passed_on(self.why_not.clone()) };
        let arguments = match passed_on(question) {
            Ok(arguments) => arguments,
            Err(reason) => return not_passed_on(reason),
        };
        let Some(top) = self.top.to_str() else {
            return not_passed_on("the path of the repository is not UTF-8".into());
        };
        // By way of links, too, it stays in there.
        // Where it was asked does not matter, and may be a directory that the build has made, if it says where to look.
        let says = question.arguments.windows(2).any(|pair| pair[0] == "-C" && pair[1].starts_with(GIT_TOP));
        let asked_in = if says { "" } else { &question.directory };
        let directory = std::fs::canonicalize(self.top.join(asked_in)).ok();
        let Some(directory) = directory.filter(|directory| directory.starts_with(top) && directory.is_dir())
        else {
            return not_passed_on(format!("there is no directory {} in the repository", question.directory));
        };
        let arguments: Vec<String> =
            arguments.iter().map(|argument| argument.replace(GIT_TOP, top)).collect();
        let stdin = question.stdin.as_ref().map(|text| text.replace(GIT_TOP, top));
        let (code, stderr) = git.run(&directory, &arguments, stdin, out, interrupt)?;
        Ok((code, stderr.replace(top, GIT_TOP)))
    }

    /// Puts what stands for the top directory in its place, and takes logins out of URLs.
    fn generalise(&self, question: &GitQuestion, place: &Path) -> Result<(), Failure> {
        let about = |subcommand: &str| question.arguments.iter().any(|argument| argument == subcommand);
        let (paths, urls) = (about("rev-parse"), about("config") || about("remote"));
        if !(paths || urls) || fs_err::metadata(place)?.len() > MOST_TEXT {
            return Ok(());
        }
        let (Ok(text), Some(top)) = (String::from_utf8(fs_err::read(place)?), self.top.to_str()) else {
            return Ok(());
        };
        let text = if urls { crate::build::index::credentials::redact_urls(&text) } else { text };
        Ok(fs_err::write(place, text.replace(top, GIT_TOP))?)
    }
}

/// How complaints begin about what was not asked.
const NOT_PASSED_ON: &str = "crosswheel does not ask this";

fn too_much(question: &GitQuestion) -> Failure {
    let message = format!("`{question}` gives more than {} GiB", MOST_BYTES >> 30);
    Failure::new(FailureClass::InvalidSource, message)
        .with_hint("the backend asks it of the repository; is something large in there that should not be?")
}

/// A file that takes so many bytes and no more.
struct Limited {
    file: fs_err::File,
    left: u64,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.left = 0;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let written = self.file.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_so_much_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs_err::File::create_new(directory.path().join("file")).unwrap();
        let mut limited = Limited { file, left: 5 };
        limited.write_all(b"12345").unwrap();
        assert!(limited.write_all(b"6").is_err());
        assert_eq!(limited.left, 0);
    }
}

//! What a backend asks git, and what git said: the step has no repository, so the answers travel beside the tree.
//! Knows nothing of what the answers mean, nor of who gives them.

use serde::{Deserialize, Serialize};

/// What stands for the repository's top directory in questions and answers, wherever it is.
pub const TOP: &str = "@crosswheel-top@";

/// The document of a directory of answers.
pub const ANSWERS_FILE: &str = "answers.json";

/// Most questions of one build that are told.
pub const MOST_QUESTIONS: usize = 256;

/// One call of git.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GitQuestion {
    /// Where it was called, relative to the repository's top directory; empty for that itself.
    pub directory: String,
    /// Its arguments, without the program's name. [`TOP`] stands for the repository's top directory.
    pub arguments: Vec<String>,
    /// What it was given on standard input, if it is one that reads that (`--stdin`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

impl GitQuestion {
    /// One that is asked in `directory` with these arguments.
    pub fn new(directory: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { directory: directory.to_owned(), arguments, stdin: None }
    }
}

impl std::fmt::Display for GitQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arguments = self.arguments.join(" ").replace(TOP, ".");
        write!(f, "git {arguments}")
    }
}

/// Several of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GitQuestions(pub Vec<GitQuestion>);

/// What git said to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitAnswer {
    /// The question.
    #[serde(flatten)]
    pub question: GitQuestion,
    /// The exit code.
    pub code: u8,
    /// The file beside the document with what it wrote to its standard output; none if that was nothing.
    pub stdout: Option<String>,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// What git knows of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitAnswers {
    /// Whether there is a repository to ask, and a git to ask it.
    pub repository: GitRepository,
    /// What was asked so far.
    #[serde(default)]
    pub answers: Vec<GitAnswer>,
}

/// What a build sees in the place of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitRepository {
    /// The tree is of none.
    None,
    /// The tree is of one, and git knows nothing of it: there is no git, or it does not work there.
    Unknown {
        /// What asking it ends with.
        code: u8,
        /// What it says.
        stderr: String,
    },
    /// The tree's top directory is that of a repository.
    Here {
        /// `.git` is a file, as in the further worktrees of a repository and in submodules.
        linked: bool,
        /// Its history is cut off.
        shallow: bool,
    },
}

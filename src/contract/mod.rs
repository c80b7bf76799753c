//! What `crosswheel wheel`, `crosswheel sdist` and `crosswheel check` are told and answer: the contract between whoever asks
//! (`crosswheel build`, the rules of `crosswheel generate bazel`) and whoever runs the step (the command line, a worker). Rendered, parsed and
//! classified here and nowhere else. Knows nothing of how a wheel is built, nor of how an action gets to where it runs.

mod answer;
mod archive_limits;
mod check_command;
mod check_report;
mod expect;
mod failure;
mod flag;
mod git;
mod given_wheels;
mod invocation;
mod key_value;
mod line;
mod number;
mod report;
mod sandbox_mode;
mod sdist_command;
mod sdist_report;
mod wheel_command;

pub use answer::{Answer, AnswerError, ErrorKind};
pub use archive_limits::ArchiveLimits;
pub use check_command::CheckCommand;
pub use check_report::{CheckAnswer, CheckProblem, CheckReport, ProblemKind};
pub use expect::Expect;
pub use failure::{Failure, FailureClass};
pub use flag::{Argument, Flag, FlagClass};
pub use git::{
    ANSWERS_FILE, GitAnswer, GitAnswers, GitQuestion, GitQuestions, GitRepository, MOST_QUESTIONS,
    TOP as GIT_TOP,
};
pub use given_wheels::GivenWheels;
pub use invocation::{
    CACHE_VARIABLE, CHECK_MNEMONIC, CHECK_SUBCOMMAND, CROSS_CC_VARIABLE, MNEMONIC, PATH_VARIABLE, PROGRAM,
    SDIST_MNEMONIC, SDIST_SUBCOMMAND, SUBCOMMAND, WORK_VARIABLE, environment,
};
pub use key_value::{InvalidKeyValue, KeyValue};
pub use line::NotUnicode;
pub use number::{CONTRACT, CONTRACT_VARIABLE, ContractRefused, RELEASE, RELEASE_VARIABLE, asked_contract};
pub use report::{CompilerKind, CompilerReport, IsolationReport, Report, UsedRequirement};
pub use sandbox_mode::SandboxMode;
pub use sdist_command::SdistCommand;
pub use sdist_report::SdistReport;
pub use wheel_command::WheelCommand;

//! What `crosswheel wheel` and `crosswheel check` are told and answer: the contract between whoever asks (`crosswheel build`, the
//! rules of `crosswheel generate bazel`) and whoever runs the step (the command line, a worker). Rendered, parsed and
//! classified here and nowhere else. Knows nothing of how a wheel is built, nor of how an action gets to where it runs.

mod answer;
mod archive_limits;
mod check_command;
mod check_report;
mod expect;
mod failure;
mod flag;
mod given_wheels;
mod invocation;
mod key_value;
mod line;
mod number;
mod report;
mod sandbox_mode;
mod wheel_command;

pub use answer::{Answer, AnswerError, ErrorKind};
pub use archive_limits::ArchiveLimits;
pub use check_command::CheckCommand;
pub use check_report::{CheckAnswer, CheckProblem, CheckReport, ProblemKind};
pub use expect::Expect;
pub use failure::{Failure, FailureClass};
pub use flag::{Argument, Flag, FlagClass};
pub use given_wheels::GivenWheels;
pub use invocation::{
    CACHE_VARIABLE, CHECK_MNEMONIC, CHECK_SUBCOMMAND, CROSS_CC_VARIABLE, MNEMONIC, PATH_VARIABLE, PROGRAM,
    SUBCOMMAND, WORK_VARIABLE, environment,
};
pub use key_value::{InvalidKeyValue, KeyValue};
pub use line::NotUnicode;
pub use number::{CONTRACT, CONTRACT_VARIABLE, ContractRefused, RELEASE, RELEASE_VARIABLE, asked_contract};
pub use report::{CompilerKind, CompilerReport, IsolationReport, Report, UsedRequirement};
pub use sandbox_mode::SandboxMode;
pub use wheel_command::WheelCommand;

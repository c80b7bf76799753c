//! What `crosswheel wheel` is told and answers: the contract between whoever asks for a wheel (`crosswheel build`, the
//! rules of `crosswheel generate bazel`) and whoever runs the step (the command line, a worker). Rendered, parsed and
//! classified here and nowhere else. Knows nothing of how a wheel is built, nor of how an action gets to where it runs.

mod answer;
mod archive_limits;
mod expect;
mod failure;
mod flag;
mod given_wheels;
mod invocation;
mod key_value;
mod number;
mod report;
mod sandbox_mode;
mod wheel_command;

pub use answer::{Answer, AnswerError, ErrorKind};
pub use archive_limits::ArchiveLimits;
pub use expect::Expect;
pub use failure::{Failure, FailureClass};
pub use flag::{Argument, Flag, FlagClass};
pub use given_wheels::GivenWheels;
pub use invocation::{
    CACHE_VARIABLE, CROSS_CC_VARIABLE, MNEMONIC, PATH_VARIABLE, PROGRAM, SUBCOMMAND, WORK_VARIABLE,
    environment,
};
pub use key_value::{InvalidKeyValue, KeyValue};
pub use number::{CONTRACT, CONTRACT_VARIABLE, ContractRefused, RELEASE, RELEASE_VARIABLE, asked_contract};
pub use report::{CompilerKind, CompilerReport, IsolationReport, Report, UsedRequirement};
pub use sandbox_mode::SandboxMode;
pub use wheel_command::{NotUnicode, WheelCommand};

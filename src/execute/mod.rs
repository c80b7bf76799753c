//! Runs one action: input root, sandbox, outputs. Knows nothing of who asked, of queues or of sockets.
//!
//! [`Execute`] is the one trait; what runs an action and what watches over it are layers around each other, and
//! [`executor`] puts them together.
//!
//! ```text
//! Work ─► Command, checked ─► input root, read ─► exec root: tree + overlay ─► sandbox ─► outputs ─► Executed
//!         command.rs          input/read.rs       input/trees.rs, exec_root.rs     outputs/
//! ```
//!
//! **What a command sees.** Its exec root at [`EXEC_ROOT`] (without namespaces: in a scratch directory, under the
//! same last name), which it may change as it likes without a change to any blob; the root file system of its pool,
//! read-only; a `/tmp` of its own; the environment of its `Command` and nothing else, but for a `PATH` if that has none;
//! no network unless its pool has one. Input files have the modes 0444 and 0555, or what their node properties say.
//!
//! **What is refused and what is not.** Names in directories must be names, each once; their order is not
//! insisted on. The working directory must be one of the input tree. Symlinks are made as they are, wherever they lead,
//! and nobody on our side follows one out of the exec root. A command that cannot be started is an action that failed
//! (126, 127), as in a shell.

mod command;
mod cross_compiler;
mod error;
mod exec_root;
mod executor;
mod input;
mod kept;
mod layers;
mod local;
mod logs;
mod outputs;
pub mod own_binary;
mod path;
mod quota;
mod resource_usage;
mod shared_files;
mod stage_times;
mod stored;
mod timeout;
mod work;
mod working_directory;

pub use cross_compiler::{CrossCompiler, CrossCompilerError};
pub use error::{ExecuteError, MissingInput, Place};
pub use executor::{executor, timestamped};
pub use input::{InputLimits, TreeLimits, TreeUse};
pub use layers::counting::ExecuteCounters;
pub use layers::observed_times::ObservedTimes;
pub use local::{LocalExecutor, LocalSettings};
pub use outputs::ABSOLUTE_SYMLINKS;
pub use own_binary::loader::OwnLoader;
pub use own_binary::wheel_action::OwnBinarySettings;
pub use quota::{ActionLimits, Exceeded, is_limit, platform_properties};
pub use resource_usage::ResourceUsage;
pub use shared_files::{InputEntries, SharedFiles};
pub use stage_times::{Moment, Stage, StageStarts, StageTimes};
pub use stored::{MAX_ACTION_BYTES, read_action, read_message};
pub use timeout::action_timeout;
pub use work::{EXEC_ROOT, Execute, Executed, Observer, OutputStream, Work};

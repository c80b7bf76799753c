//! The command line: one thin file per subcommand. Knows nothing of how anything is done.

mod build;
mod build_settings;
mod check;
mod command_line;
mod directories;
mod doctor;
mod executor;
pub mod exit_codes;
mod failure_text;
mod generate;
mod host_summary;
mod log;
mod log_writer;
mod long_running;
mod output;
mod remote;
mod rootfs;
mod sandbox_init;
mod sandbox_run;
mod sdist;
mod serve;
mod setting_arguments;
mod sourced;
mod step;
mod store;
mod targets;
mod wheel;
mod wheelhouse;
mod wheelhouse_output;
mod worker;

pub use command_line::{command, run};

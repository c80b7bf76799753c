//! The log of a program that runs for long, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::log_writer::LogWriter;
use crate::server::settings::{LogFormat, Settings};

/// Starts it, as the settings say.
pub fn start(settings: &Settings) {
    // It was checked when it was read.
    let filter = EnvFilter::builder().parse_lossy(&settings.log_level);
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(move || LogWriter { colours });
    // Only fails if there is a log already.
    let _ = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

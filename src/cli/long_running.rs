//! How `serve` and `worker` run: until they are told to end. Knows nothing of what they do meanwhile.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::{failure_text, log};
use crate::server::settings::Settings;
use crate::server::{Exposure, HostError, ListenError, check_exposure};
use crate::signals::exit_code;

/// How it ended.
pub enum End {
    /// Nothing was running any more.
    Calm,
    /// By a second signal, of this number.
    Killed(i32),
}

/// Runs `work` to its end, with a log, on a runtime of its own; an address that others can reach is refused before.
pub fn run(settings: &Settings, json: bool, work: impl Future<Output = Result<End, HostError>>) -> ExitCode {
    log::start(settings);
    let exposure = if settings.insecure_public { Exposure::Anywhere } else { Exposure::ThisMachine };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure_text::internal(json, &format!("cannot start threads: {error}")),
    };
    let addresses = settings.listen.iter().chain(&settings.http_listen);
    if let Err(refusal @ ListenError::Public { .. }) = runtime.block_on(check_exposure(addresses, exposure)) {
        return failure_text::usage(json, &refusal.to_string());
    }
    let ended = runtime.block_on(work);
    // A thread that is still in the middle of something has nothing that anybody waits for.
    runtime.shutdown_background();
    match ended {
        Ok(End::Calm) => ExitCode::SUCCESS,
        Ok(End::Killed(signal)) => ExitCode::from(exit_code(signal)),
        Err(error) if error.is_of_the_settings() => failure_text::usage(json, &error.to_string()),
        Err(error) => failure_text::internal(json, &error.to_string()),
    }
}

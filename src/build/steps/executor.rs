//! Who runs steps: a server of the Remote Execution API, in this process or elsewhere. Knows nothing of how it is
//! reached: whoever started us does.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::client::{Client, ClientError};
use crate::contract::{Failure, FailureClass};
use crate::platform::Target;

/// Reaches the executor. Is told what it must offer if it is within this process.
pub type ConnectExecutor = Box<dyn FnOnce(ExecutorSurroundings) -> Result<ConnectedExecutor, Failure> + Send>;

/// What an executor within this process must offer to steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutorSurroundings {
    /// Directories of this machine that they must see, even below those that are otherwise private to them.
    pub visible_paths: Vec<PathBuf>,
    /// The root file system in which those for a target run. Those for the others see this machine's.
    pub roots: Vec<(Target, PathBuf)>,
}

/// An executor that can be used.
pub struct ConnectedExecutor {
    /// What talks to it.
    pub client: Client,
    /// Targets it can do nothing for, and why.
    pub refused: Vec<(Target, Failure)>,
    /// Whether steps are isolated less than a host can, because this one would not allow more.
    pub reduced_isolation: bool,
}

/// A connection, made when it is needed, or while other things are done, and then waited for in any case.
pub(crate) struct Executor {
    connecting: Mutex<Option<Connecting>>,
    reached: OnceLock<Result<ConnectedExecutor, Failure>>,
}

enum Connecting {
    Later(ConnectExecutor, ExecutorSurroundings),
    Now(JoinHandle<Result<ConnectedExecutor, Failure>>),
    Never(Failure),
}

impl Executor {
    /// One that is reached when it is first needed. If it is within this process, it must have these surroundings.
    pub(crate) fn new(connect: ConnectExecutor, surroundings: ExecutorSurroundings) -> Self {
        let connecting = Mutex::new(Some(Connecting::Later(connect, surroundings)));
        Self { connecting, reached: OnceLock::new() }
    }

    /// Begins to reach it, as it will be needed, and does not wait. Not for one elsewhere, which may take long to fail,
    /// as the end of the run waits for it.
    pub(crate) fn begin(&self) {
        let mut connecting = self.connecting.lock();
        match connecting.take() {
            Some(Connecting::Later(connect, surroundings)) => {
                let thread = std::thread::Builder::new().name("connect".into());
                *connecting = Some(match thread.spawn(move || connect(surroundings)) {
                    Ok(thread) => Connecting::Now(thread),
                    Err(error) => Connecting::Never(error.into()),
                });
            }
            begun => *connecting = begun,
        }
    }

    /// The connection, for steps of `target`; waits for it.
    ///
    /// # Errors
    /// If the executor cannot be reached, or can do nothing for `target`.
    pub(crate) fn client(&self, target: Target) -> Result<&Client, Failure> {
        let reached = self.reached()?;
        let refused = reached.refused.iter().find(|(of, _)| *of == target);
        refused.map_or(Ok(&reached.client), |(_, failure)| Err(failure.clone()))
    }

    /// Whether steps are isolated less than a host can; waits for the connection.
    pub(crate) fn has_reduced_isolation(&self) -> Result<bool, Failure> {
        Ok(self.reached()?.reduced_isolation)
    }

    fn reached(&self) -> Result<&ConnectedExecutor, Failure> {
        let wait = || match self.take().expect("it is taken once, in here, before the end") {
            Connecting::Later(connect, surroundings) => connect(surroundings),
            Connecting::Now(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Connecting::Never(failure) => Err(failure),
        };
        self.reached.get_or_init(wait).as_ref().map_err(Clone::clone)
    }

    fn take(&self) -> Option<Connecting> {
        self.connecting.lock().take()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(Connecting::Now(thread)) = self.take() {
            // Nobody needs it any more, nor wants to know whether it could be had.
            let _ = thread.join();
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let class = match &error {
            ClientError::Changed(_) => FailureClass::FetchFailed,
            ClientError::Cancelled => FailureClass::Interrupted,
            ClientError::Input(_) | ClientError::Io(_) => FailureClass::LocalIo,
            _ => FailureClass::ExecutionFailed,
        };
        let message = match &error {
            ClientError::Changed(path) => {
                format!("{} is not the file whose hash was checked", path.display())
            }
            other => other.to_string(),
        };
        let failure = Self::new(class, message);
        match hint(&error) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// What to do about an error of the executor's.
fn hint(error: &ClientError) -> Option<&'static str> {
    let ClientError::Call { code, .. } = error else {
        return match error {
            ClientError::Changed(_) => {
                Some("something changed it since; if it is in the cache, remove it there")
            }
            ClientError::Lost { .. } => {
                Some("is the server still running? --remote-patience SECONDS waits longer for it")
            }
            ClientError::Unsuitable(_) => Some("give the address of a server that executes actions"),
            ClientError::OutputDamaged { .. } => {
                Some("build with --rebuild; if that does not help, the server's storage is damaged")
            }
            ClientError::OutputGone { .. } => Some("build again; the server's storage may be too small"),
            _ => None,
        };
    };
    match code {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            Some("give what the server wants to see with --remote-header NAME=VALUE")
        }
        tonic::Code::FailedPrecondition => Some(
            "if no worker fits, --remote-property NAME=VALUE sets what the action asks for beside Arch and OSFamily",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_fails_fails_every_step_in_the_same_words() {
        for begins in [true, false] {
            let refuse = |_| Err(Failure::new(FailureClass::ExecutionFailed, "nobody is there"));
            let executor = Executor::new(Box::new(refuse), ExecutorSurroundings::default());
            if begins {
                executor.begin();
                executor.begin();
            }
            for target in ["linux_arm64", "linux_amd64"] {
                let failure = executor.client(target.parse().unwrap()).err().unwrap();
                assert_eq!(failure.message, "nobody is there");
            }
        }
    }

    #[test]
    fn what_nobody_needs_is_not_connected_to() {
        drop(Executor::new(Box::new(|_| panic!("it is")), ExecutorSurroundings::default()));
    }
}

//! Who runs steps: a server of the Remote Execution API, in this process or elsewhere, and what that means for
//! the paths in them. Knows nothing of how it is reached: whoever started us does.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use super::failure::{BuildFailure, BuildFailureClass};
use crate::client::{Client, ClientError};

/// Reaches the executor. Is given directories of this machine that steps must see, even below those that are
/// otherwise private to them.
pub type Connect = Box<dyn FnOnce(Vec<PathBuf>) -> Result<Client, BuildFailure> + Send>;

/// Where steps run, and so what of this machine they can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On this machine: with the Python and the tools that are here, at their paths.
    Here,
    /// On a worker somewhere.
    Remote {
        /// Python on the worker: a command or a path; `python3.11` for a 3.11 here if `None`.
        python: Option<String>,
        /// Platform properties beside `Arch` and `OSFamily`, or instead of them.
        properties: Vec<(String, String)>,
    },
}

/// A connection. One within this process is made while other things are done, and is waited for in any case; one
/// to elsewhere, which may take long to fail, is made when it is needed.
pub(super) struct Executor {
    connecting: Mutex<Option<Connecting>>,
    client: OnceLock<Result<Client, BuildFailure>>,
}

enum Connecting {
    Later(Connect),
    Now(JoinHandle<Result<Client, BuildFailure>>),
}

impl Executor {
    /// Starts to connect, or gets ready to.
    pub(super) fn start(
        connect: Connect,
        placement: &Placement,
        visible_paths: Vec<PathBuf>,
    ) -> std::io::Result<Self> {
        let connecting = match placement {
            Placement::Here => {
                let thread = std::thread::Builder::new().name("connect".into());
                Connecting::Now(thread.spawn(move || connect(visible_paths))?)
            }
            Placement::Remote { .. } => Connecting::Later(connect),
        };
        Ok(Self { connecting: Mutex::new(Some(connecting)), client: OnceLock::new() })
    }

    /// The connection; waits for it.
    pub(super) fn client(&self) -> Result<&Client, BuildFailure> {
        let wait = || match self.take().expect("it is taken once, in here, before the end") {
            Connecting::Later(connect) => connect(Vec::new()),
            Connecting::Now(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        };
        self.client.get_or_init(wait).as_ref().map_err(Clone::clone)
    }

    fn take(&self) -> Option<Connecting> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner).take()
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

impl From<ClientError> for BuildFailure {
    fn from(error: ClientError) -> Self {
        let class = match &error {
            ClientError::Changed(_) => BuildFailureClass::FetchFailed,
            ClientError::Cancelled => BuildFailureClass::Interrupted,
            ClientError::Input(_) | ClientError::Io(_) => BuildFailureClass::LocalIo,
            _ => BuildFailureClass::ExecutionFailed,
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
        let remote = Placement::Remote { python: None, properties: Vec::new() };
        for placement in [Placement::Here, remote] {
            let refuse = |_| Err(BuildFailure::new(BuildFailureClass::ExecutionFailed, "nobody is there"));
            let executor = Executor::start(Box::new(refuse), &placement, Vec::new()).unwrap();
            for _ in 0..2 {
                assert_eq!(executor.client().unwrap_err().message, "nobody is there");
            }
        }
    }

    #[test]
    fn what_nobody_needs_is_not_connected_to() {
        let remote = Placement::Remote { python: None, properties: Vec::new() };
        drop(Executor::start(Box::new(|_| panic!("it is")), &remote, Vec::new()).unwrap());
    }
}

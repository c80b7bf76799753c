//! What an engine has beside its scheduler, and actions that run until they are told to end.

use std::path::Path;

use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::{Action, ActionResult, Digest, GetActionResultRequest};
use prost::Message;
use tempfile::TempDir;
use tonic::Code;

use crate::support::client::Client;
use crate::support::processes::processes_marked;
use crate::support::server::Server;
use crate::support::visible_directory;
use crate::support::waiting::eventually;
use crate::support::worker::Worker;

/// CAS and action cache of an engine.
pub struct Scene {
    pub directory: TempDir,
    pub client: Client,
    server: Server,
}

impl Scene {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &["--update-action-result", "on"]);
        Self { client: Client::of(&server).await, directory, server }
    }

    /// A worker with one slot.
    pub fn worker(&self, engine: &str, scheduler: &str, arguments: &[&str]) -> Worker {
        let cas = format!("grpc://{}", self.server.address());
        let mut all = vec!["--engine", engine, "--scheduler", scheduler, "--cas", &cas];
        if !arguments.contains(&"--pool") {
            all.extend(["--pool", "native,slots=1"]);
        }
        all.extend(arguments);
        Worker::start(self.directory.path(), &all)
    }

    /// The CAS is gone.
    pub fn lose_cas(self) -> TempDir {
        self.server.kill();
        self.directory
    }

    /// The result that others get who ask for this action.
    pub async fn cached(&self, action: &Digest) -> Option<ActionResult> {
        self.cached_in("", action).await
    }

    /// As [`Self::cached`], in another instance.
    pub async fn cached_in(&self, instance_name: &str, action: &Digest) -> Option<ActionResult> {
        let request = GetActionResultRequest {
            instance_name: instance_name.to_owned(),
            action_digest: Some(action.clone()),
            ..Default::default()
        };
        match ActionCacheClient::new(self.client.channel.clone()).get_action_result(request).await {
            Ok(found) => Some(found.into_inner()),
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status}");
                None
            }
        }
    }

    pub async fn message_of(&self, action: &Digest) -> Action {
        Action::decode(&*self.client.read(action).await).unwrap()
    }

    /// The same action, but changed.
    pub async fn changed(&self, action: &Digest, change: impl FnOnce(&mut Action)) -> Digest {
        let mut message = self.message_of(action).await;
        change(&mut message);
        self.client.put(message.encode_to_vec()).await
    }

    /// The same action, but with inputs that nobody has.
    pub async fn without_inputs(&self, action: &Digest) -> Digest {
        let hash = "0".repeat(64);
        self.changed(action, |action| action.input_root_digest = Some(Digest { hash, size_bytes: 77 })).await
    }
}

/// What holds actions up: a file, as long as it is empty. One that comes later would not be seen by those that have looked
/// for it in vain, where roots are overlays.
pub struct Gate(TempDir);

impl Gate {
    pub fn new() -> Self {
        let directory = visible_directory();
        fs_err::write(directory.path().join("gate"), "").unwrap();
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Waits until the gate is open, and does then what `next` says. Has a child that has left its session.
    pub fn script(&self, next: &str) -> String {
        let path = self.path().display();
        format!(
            "(setsid sh -c 'until test -s {path}/gate; do sleep 0.05; done' &)
             until test -s {path}/gate; do sleep 0.05; done; {next}"
        )
    }

    pub fn open(&self) {
        fs_err::write(self.path().join("gate"), "open").unwrap();
    }

    fn is_waited_at(&self) -> bool {
        !processes_marked(self.path().to_str().unwrap()).is_empty()
    }

    /// Waits until an action is there.
    pub async fn reached(&self) {
        eventually("an action to run", async || self.is_waited_at()).await;
    }

    /// Waits until nothing is left of it.
    pub async fn left(&self) {
        eventually("the processes of an action to end", async || !self.is_waited_at()).await;
    }
}

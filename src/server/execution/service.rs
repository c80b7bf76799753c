//! The REAPI `Execution` service. Knows nothing of how actions are matched, queued and run.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::admission::{Admission, Asked, Asker};
use super::inlining::Inlining;
use super::updates::updates;
use crate::cas::{ActionCache, BlobStore};
use crate::queue::{CacheCheck, OperationName, Queue, Unheard};
use crate::reapi::execution_server::Execution;
use crate::reapi::longrunning::Operation;
use crate::reapi::{ExecuteRequest, WaitExecutionRequest};
use crate::server::transport::peer::client_of;
use crate::server::transport::request_metadata::request_metadata;

/// How clients are kept informed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionSettings {
    /// After how much time without news an operation is sent again, so that clients and proxies see that the
    /// connection lives. Many give up after a minute.
    pub keepalive: Duration,
}

impl Default for ExecutionSettings {
    fn default() -> Self {
        Self { keepalive: Duration::from_secs(15) }
    }
}

/// The `Execution` service.
#[derive(Clone)]
pub struct ExecutionService {
    queue: Arc<Queue>,
    blobs: Arc<dyn BlobStore>,
    admission: Admission,
    action_cache: Arc<dyn ActionCache>,
    settings: ExecutionSettings,
}

impl ExecutionService {
    /// Runs actions that are in `blobs` through `queue`, unless `action_cache` has a result with exit code 0 all of
    /// whose outputs exist.
    pub fn new(
        queue: Arc<Queue>,
        blobs: Arc<dyn BlobStore>,
        action_cache: Arc<dyn ActionCache>,
        settings: ExecutionSettings,
    ) -> Self {
        let admission = Admission::new(Arc::clone(&blobs));
        Self { queue, blobs, admission, action_cache, settings }
    }

    fn look_up(&self, asked: &Asked, check: CacheCheck) {
        let action_cache = Arc::clone(&self.action_cache);
        let (instance_name, action_digest) = (asked.instance_name.clone(), asked.action_digest);
        // Nobody waits for this task: the operation goes on when the check is answered or dropped.
        tokio::task::spawn_blocking(move || match action_cache.get(&instance_name, &action_digest) {
            Ok(Some(result)) if result.exit_code == 0 => check.found(result),
            // Clients may keep failures in the cache for themselves. Whoever asks for an action to be executed is not
            // served one: it may have failed for a reason of the machine it ran on.
            Ok(Some(_) | None) => check.not_found(),
            Err(error) => {
                tracing::warn!(action = %action_digest, %error, "the action cache could not be asked");
                check.not_found();
            }
        });
    }
}

#[tonic::async_trait]
impl Execution for ExecutionService {
    type ExecuteStream = BoxStream<'static, Result<Operation, Status>>;
    type WaitExecutionStream = BoxStream<'static, Result<Operation, Status>>;

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Self::ExecuteStream>, Status> {
        let request_metadata = request_metadata(request.metadata())?;
        let asker = Asker { client: client_of(request.extensions()), request_metadata };
        let request = request.into_inner();
        let asked = Asked::read(&request)?;
        let submission = self.admission.read(asked.clone(), asker).await?;
        let is_cacheable = !submission.do_not_cache;
        let (subscription, check) = self.queue.open(submission).map_err(|refusal| Status::from(&refusal))?;
        if is_cacheable && !request.skip_cache_lookup {
            self.look_up(&asked, check);
        } else {
            check.not_found();
        }
        let inlining = Inlining::asked_for(request, Arc::clone(&self.blobs));
        Ok(Response::new(updates(subscription, self.settings.keepalive, inlining)))
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<Self::WaitExecutionStream>, Status> {
        let name = request.into_inner().name;
        let parsed = OperationName::parse(&name).ok_or(Unheard::Unknown);
        let subscription =
            parsed.and_then(|parsed| self.queue.subscribe(&parsed)).map_err(|unheard| match unheard {
                Unheard::Unknown => Status::not_found(format!(
                    "there is no operation `{}`, or it completed a while ago; call Execute again",
                    name.chars().take(200).collect::<String>()
                )),
                crowded @ Unheard::Crowded { .. } => crowded.into(),
            })?;
        Ok(Response::new(updates(subscription, self.settings.keepalive, None)))
    }
}

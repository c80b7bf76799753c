//! Results of actions in a remote cache. Knows nothing of their outputs.

use tonic::Code;

use super::failure::{failed, refused};
use super::store::RemoteStore;
use crate::cas::error::StoreError;
use crate::cas::traits::ActionCache;
use crate::digest::Digest;
use crate::reapi::action_cache_client::ActionCacheClient;
use crate::reapi::{ActionResult, GetActionResultRequest, UpdateActionResultRequest};
use crate::remote::{LARGEST_MESSAGE, RemoteChannel};

impl RemoteStore {
    fn results(&self) -> ActionCacheClient<RemoteChannel> {
        ActionCacheClient::new(self.link.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }
}

/// The instance of a call is the one given, not the one of the store.
impl ActionCache for RemoteStore {
    fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError> {
        let message = GetActionResultRequest {
            instance_name: instance_name.to_owned(),
            action_digest: Some(action.to_message()),
            digest_function: action.function.to_wire(),
            ..GetActionResultRequest::default()
        };
        let asking =
            self.link.ask(message, |request| async { self.results().get_action_result(request).await });
        let answer = self.link.wait_for(asking).flatten();
        match answer {
            Ok(result) => Ok(Some(result)),
            Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
            Err(status) => Err(failed("look up an action result", &status)),
        }
    }

    fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError> {
        let message = UpdateActionResultRequest {
            instance_name: instance_name.to_owned(),
            action_digest: Some(action.to_message()),
            action_result: Some(result.clone()),
            digest_function: action.function.to_wire(),
            ..UpdateActionResultRequest::default()
        };
        let asking =
            self.link.ask(message, |request| async { self.results().update_action_result(request).await });
        let answer = self.link.wait_for(asking).flatten();
        match answer {
            Ok(_) => Ok(()),
            // No blob is missing; the server may not want results from us.
            Err(status) if status.code() == Code::NotFound => Err(failed("take an action result", &status)),
            Err(status) => Err(refused("take an action result", action, &status)),
        }
    }
}

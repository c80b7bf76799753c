//! The `google.longrunning.Operations` service: what there is, how it goes, and its end. Knows nothing of how
//! operations begin.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::{Request, Response, Status};

use super::operation_filter::OperationFilter;
use super::operation_message::{Audience, operation};
use crate::queue::{OperationName, Queue, Snapshot, Unheard};
use crate::reapi::longrunning::operations_server::Operations;
use crate::reapi::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    ListOperationsResponse, Operation, WaitOperationRequest,
};
use crate::reapi::protobuf::{self, Empty};
use crate::server::transport::peer::client_of;
use crate::status;

/// Operations on one page, if the client does not say, and at most.
const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// Where a page ends whatever its number: clients take 4 MiB in one message.
const PAGE_BYTES: usize = 2 << 20;

/// How many operations are looked at while the queue is kept from working.
const CHUNK: usize = 256;

/// The `Operations` service.
#[derive(Debug, Clone)]
pub struct OperationsService {
    queue: Arc<Queue>,
}

impl OperationsService {
    /// The operations of `queue`.
    pub fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// The operations of one instance that `client` began: what others have begun is not theirs to see, and their names
    /// are what it takes to cancel them.
    async fn page(
        &self,
        request: &ListOperationsRequest,
        client: &str,
    ) -> Result<ListOperationsResponse, Status> {
        let most = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(LARGEST_PAGE),
            Err(_) => return Err(status::invalid("page_size", "is negative")),
        };
        let mut after = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| status::invalid("page_token", "is not one that a page ended with"))?,
        };
        let filter =
            OperationFilter::parse(&request.filter).map_err(|problem| status::invalid("filter", problem))?;
        let instance = instance_of(&request.name);
        let (mut page, mut size_bytes) = (ListOperationsResponse::default(), 0);
        loop {
            let chunk = self.queue.list(after, CHUNK);
            let is_last = chunk.len() < CHUNK;
            for (number, snapshot) in chunk {
                let identity = &snapshot.identity;
                let is_theirs = identity.name.instance_name == instance && *identity.client == *client;
                if is_theirs && filter.accepts(&snapshot) {
                    let message = operation(&snapshot, Audience::Onlooker, None);
                    size_bytes += message.encoded_len();
                    let is_full = page.operations.len() == most || size_bytes > PAGE_BYTES;
                    if is_full && !page.operations.is_empty() {
                        page.next_page_token = after.to_string();
                        return Ok(page);
                    }
                    page.operations.push(message);
                }
                after = number;
            }
            if is_last {
                return Ok(page);
            }
            // Others are to be answered, too, while somebody goes through a hundred thousand of them.
            tokio::task::yield_now().await;
        }
    }
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let client = client_of(request.extensions());
        let request = request.into_inner();
        if request.return_partial_success {
            return Err(Status::unimplemented("return_partial_success: there is only one collection here"));
        }
        self.page(&request, &client).await.map(Response::new)
    }

    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        let name = named(&request.into_inner().name)?;
        let snapshot = self.queue.get(&name).ok_or_else(|| unknown(&name.to_string()))?;
        Ok(Response::new(message(&snapshot)))
    }

    async fn delete_operation(
        &self,
        request: Request<DeleteOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        let name = named(&request.into_inner().name)?;
        match self.queue.delete(&name) {
            Some(true) => Ok(Response::new(Empty {})),
            Some(false) => Err(Status::failed_precondition(format!(
                "operation `{name}` has not completed; cancel it first"
            ))),
            None => Err(unknown(&name.to_string())),
        }
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        let name = named(&request.into_inner().name)?;
        if self.queue.cancel(&name) { Ok(Response::new(Empty {})) } else { Err(unknown(&name.to_string())) }
    }

    async fn wait_operation(
        &self,
        request: Request<WaitOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        let request = request.into_inner();
        let limit = match &request.timeout {
            None => None,
            Some(timeout) => Some(wait_limit(timeout)?),
        };
        let name = named(&request.name)?;
        let mut subscription = self.queue.subscribe(&name).map_err(|unheard| match unheard {
            Unheard::Unknown => unknown(&request.name),
            crowded @ Unheard::Crowded { .. } => crowded.into(),
        })?;
        let completed = async {
            while subscription.current().outcome.is_none() {
                subscription.changed().await;
            }
        };
        match limit {
            None => completed.await,
            // When the time is over the operation is returned as it is.
            Some(limit) => {
                let _ = tokio::time::timeout(limit, completed).await;
            }
        }
        Ok(Response::new(message(&subscription.current())))
    }
}

/// For people who look: with all that is known about whose operation it is.
fn message(snapshot: &Snapshot) -> Operation {
    operation(snapshot, Audience::Onlooker, None)
}

/// The instance whose operations are to be listed; the one without a name if it says nothing.
fn instance_of(parent: &str) -> &str {
    parent.strip_suffix("operations").unwrap_or(parent).trim_end_matches('/')
}

fn named(name: &str) -> Result<OperationName, Status> {
    OperationName::parse(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Status {
    let name: String = name.chars().take(200).collect();
    Status::not_found(format!("there is no operation `{name}`, or it completed a while ago"))
}

fn wait_limit(timeout: &protobuf::Duration) -> Result<Duration, Status> {
    match (u64::try_from(timeout.seconds), u32::try_from(timeout.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(status::invalid("timeout", "is no time that can pass")),
    }
}

//! A server that tells its capabilities, or not even that, and remembers the headers it was sent.

use std::sync::Arc;

use crosswheel::reapi::capabilities_server::{Capabilities, CapabilitiesServer};
use crosswheel::reapi::{
    CacheCapabilities, ExecutionCapabilities, GetCapabilitiesRequest, ServerCapabilities, digest_function,
};
use parking_lot::Mutex;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

pub struct Pretender {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    _runtime: tokio::runtime::Runtime,
}

struct Service {
    answer: Result<ServerCapabilities, Status>,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

#[tonic::async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        self.seen.lock().push(request.metadata().clone());
        self.answer.clone().map(Response::new)
    }
}

impl Pretender {
    /// One that has an action cache and no workers.
    pub fn cache_only() -> Self {
        let functions = vec![digest_function::Value::Sha256 as i32];
        let cache = CacheCapabilities { digest_functions: functions, ..CacheCapabilities::default() };
        Self::start(Ok(ServerCapabilities {
            cache_capabilities: Some(cache),
            ..ServerCapabilities::default()
        }))
    }

    /// One that executes, with these digest functions.
    pub fn with_digest_functions(names: &[&str]) -> Self {
        let functions = names.iter().map(|name| digest_function::Value::from_str_name(name).unwrap() as i32);
        let execution = ExecutionCapabilities {
            exec_enabled: true,
            digest_functions: functions.collect(),
            ..ExecutionCapabilities::default()
        };
        Self::start(Ok(ServerCapabilities {
            execution_capabilities: Some(execution),
            ..ServerCapabilities::default()
        }))
    }

    /// One that lets nobody in.
    pub fn closed() -> Self {
        Self::start(Err(Status::unauthenticated("show me a token")))
    }

    fn start(answer: Result<ServerCapabilities, Status>) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let service = CapabilitiesServer::new(Service { answer, seen: Arc::clone(&seen) });
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { address, seen, _runtime: runtime }
    }

    pub fn address(&self) -> String {
        format!("grpc://{}", self.address)
    }

    /// The values of a header in all requests so far.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock();
        let values = seen.iter().filter_map(|headers| headers.get(name));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

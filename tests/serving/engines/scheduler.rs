//! A scheduler that does what a test says: each call of a worker waits for the test's answer. Knows no protocol.

use std::net::TcpListener;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::support::waiting::{wait_for, within};

/// What a worker says, and wants an answer to.
pub struct Call<Q, A> {
    pub said: Q,
    pub headers: MetadataMap,
    answer: oneshot::Sender<Result<Response<A>, Status>>,
}

impl<Q, A> Call<Q, A> {
    pub fn answer(self, answer: A) {
        self.answer_with(Ok(Response::new(answer)));
    }

    pub fn refuse(self, status: Status) {
        self.answer_with(Err(status));
    }

    pub fn answer_with(self, answer: Result<Response<A>, Status>) {
        // Whoever has asked may have gone.
        let _ = self.answer.send(answer);
    }
}

/// Hands a call to the test.
pub async fn ask<Q, A>(
    calls: &mpsc::UnboundedSender<Call<Q, A>>,
    request: Request<Q>,
) -> Result<Response<A>, Status> {
    let (answer, answered) = oneshot::channel();
    let (headers, _, said) = request.into_parts();
    let gone = |_| Status::unavailable("the test says nothing more");
    calls.send(Call { said, headers, answer }).map_err(|_| Status::unavailable("the test has ended"))?;
    answered.await.map_err(gone)?
}

/// Something that a worker has said, for which nobody may wait any more.
pub trait Heard {
    fn is_given_up(&self) -> bool;
}

impl<Q, A> Heard for Call<Q, A> {
    fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }
}

/// A scheduler that listens on a port of its own.
pub struct Scheduler<C> {
    authority: String,
    routes: Routes,
    tls: Option<ServerTlsConfig>,
    /// Its connections end with it.
    runtime: Option<Runtime>,
    calls: mpsc::UnboundedReceiver<C>,
}

impl<C: Heard> Scheduler<C> {
    pub fn of(routes: impl FnOnce(mpsc::UnboundedSender<C>) -> Routes) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let authority = "127.0.0.1:0".to_owned();
        let mut scheduler = Self { authority, routes: routes(sender), tls: None, runtime: None, calls };
        scheduler.come_back();
        scheduler
    }

    pub fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "grpcs" } else { "grpc" };
        format!("{scheme}://{}", self.authority)
    }

    /// From now on it wants to see certificates.
    pub fn with_tls(mut self, tls: ServerTlsConfig) -> Self {
        self.vanish();
        self.tls = Some(tls);
        self.come_back();
        self
    }

    /// Breaks all connections, and takes no more.
    pub fn vanish(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens where it did before.
    pub fn come_back(&mut self) {
        let listener = wait_for("a port", || TcpListener::bind(&self.authority).ok());
        self.authority = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (routes, tls) = (self.routes.clone(), self.tls.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpListenerStream::new(listener);
            let mut server = Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).unwrap();
            }
            server.add_routes(routes).serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// What a worker says next.
    pub async fn call(&mut self) -> C {
        loop {
            let call = within("a call of the worker", self.calls.recv()).await.expect("it is served");
            if !call.is_given_up() {
                return call;
            }
        }
    }

    /// What has been said and not looked at yet.
    pub fn unheard(&mut self) -> Vec<C> {
        std::iter::from_fn(|| self.calls.try_recv().ok()).filter(|call| !call.is_given_up()).collect()
    }
}

impl<C> Drop for Scheduler<C> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

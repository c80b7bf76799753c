//! What monitoring reads over plain HTTP: `/metrics`, `/healthz`, `/readyz`. Knows nothing of how it is
//! measured.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinHandle;

use super::metrics::{CONTENT_TYPE, Metrics};
use super::readiness::Readiness;
use crate::server::transport::address::{Address, ListenError};
use crate::server::transport::connection::Connection;
use crate::server::transport::door::{ConnectionLimits, Door};
use crate::server::transport::listener::Listener;
use crate::server::transport::patience::Patience;
use crate::server::transport::reach::Exposure;

/// Whoever reads metrics makes a new connection when the old one has ended, and does not need many.
const LIMITS: ConnectionLimits =
    ConnectionLimits { total: 64, per_client: 32, patience: Patience::Lifetime(Duration::from_secs(10)) };

/// Answers until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    serving: JoinHandle<io::Result<()>>,
    address: Address,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl HttpServer {
    /// Starts to answer at `address`.
    ///
    /// # Errors
    /// [`ListenError`]
    pub(crate) async fn start(
        address: &Address,
        exposure: Exposure,
        metrics: Arc<Metrics>,
        readiness: Readiness,
    ) -> Result<Self, ListenError> {
        let listener = Listener::bind(address, exposure, Door::new(LIMITS)).await?;
        let address = listener.address().clone();
        let routes = Router::new()
            .route("/metrics", get(show_metrics).with_state(metrics))
            // Whoever can answer at all is alive.
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(show_readiness).with_state(readiness));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { serving, address })
    }

    /// Where it answers, with the port it got.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text())
}

async fn show_readiness(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.obstacle() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("takes no new actions: {why}\n")),
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = Address;

    async fn accept(&mut self) -> (Connection, Address) {
        (self.next_connection().await, self.address().clone())
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.address().clone())
    }
}

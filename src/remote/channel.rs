//! Connections. Knows nothing of services.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::address::Address;
use super::header::{AddHeaders, Header};
use super::retry::describe;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nothing happens is asked for a sign of life this often, while calls are open; a
/// machine that has gone away without a word is noticed no later than this and the next together. Bazel's own
/// default; servers turn away who asks much more often.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What may be under way before the receiver answers: 64 KiB, HTTP/2's own, would be used up by one message.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What connects to the socket at a path. Its type has no name.
macro_rules! unix_socket {
    ($path:expr) => {{
        let path = $path.clone();
        tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        })
    }};
}

/// A connection to a server, with the headers of every request. Clones share it; it is made anew when it
/// breaks.
pub type RemoteChannel = InterceptedService<Channel, AddHeaders>;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct ConnectSettings {
    pub address: Address,
    /// In every request.
    pub headers: Vec<Header>,
    /// PEM file of the authorities whose certificates count, for TLS; those of the system if `None`.
    pub ca_file: Option<PathBuf>,
    /// Who we are, for TLS with servers that want to know.
    pub identity: Option<ClientIdentity>,
}

/// A certificate of ours, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file of the certificate, and of those that lead to its authority.
    pub certificate_file: PathBuf,
    /// PEM file of its private key.
    pub key_file: PathBuf,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read certificates: {0}")]
    ReadCertificates(#[source] std::io::Error),
    #[error("cannot read the key of our certificate: {0}")]
    ReadKey(#[source] std::io::Error),
    #[error("{0} holds no PEM certificate")]
    NoCertificate(PathBuf),
    #[error("cannot connect to {address}: {reason}{}", hint(.reason))]
    Unreachable { address: Address, reason: String },
}

/// What a failure to connect may mean.
fn hint(reason: &str) -> &'static str {
    let has = |text: &str| reason.contains(text);
    if has("InvalidContentType") || has("corrupt message") {
        " (does it speak TLS? if not, write grpc:// instead of grpcs://)"
    } else if has("UnknownIssuer") {
        " (name the authority that signed its certificate: --remote-ca, of a worker --scheduler-ca and --cas-ca)"
    } else if has("refused") {
        " (is the server running, and is the port right?)"
    } else {
        ""
    }
}

/// Connects at once, so that a wrong address is found out here.
///
/// # Errors
/// [`ConnectError`]
pub async fn connect(settings: &ConnectSettings) -> Result<RemoteChannel, ConnectError> {
    let endpoint = endpoint_of(settings)?;
    let channel = match &settings.address {
        Address::Unix(path) => endpoint.connect_with_connector(unix_socket!(path)).await,
        Address::Plain(_) | Address::Tls(_) => endpoint.connect().await,
    };
    let channel = channel.map_err(|error| unreachable(settings, &error))?;
    Ok(InterceptedService::new(channel, AddHeaders::new(settings.headers.clone())))
}

/// Connects when it is used for the first time: for a server that need not be there yet. Needs a Tokio runtime.
///
/// # Errors
/// [`ConnectError`] for certificates that cannot be used.
pub fn connect_lazily(settings: &ConnectSettings) -> Result<RemoteChannel, ConnectError> {
    let endpoint = endpoint_of(settings)?;
    let channel = match &settings.address {
        Address::Unix(path) => endpoint.connect_with_connector_lazy(unix_socket!(path)),
        Address::Plain(_) | Address::Tls(_) => endpoint.connect_lazy(),
    };
    Ok(InterceptedService::new(channel, AddHeaders::new(settings.headers.clone())))
}

fn unreachable(settings: &ConnectSettings, error: &dyn std::error::Error) -> ConnectError {
    ConnectError::Unreachable { address: settings.address.clone(), reason: describe(error) }
}

fn endpoint_of(settings: &ConnectSettings) -> Result<Endpoint, ConnectError> {
    match &settings.address {
        Address::Plain(authority) => Ok(endpoint("http", authority)),
        Address::Tls(authority) => {
            let tls = tls(settings)?;
            endpoint("https", authority).tls_config(tls).map_err(|error| unreachable(settings, &error))
        }
        // Where it leads is the connector's business.
        Address::Unix(_) => Ok(endpoint("http", "localhost:1")),
    }
}

/// A connection within this process, without headers.
pub fn in_process(channel: Channel) -> RemoteChannel {
    InterceptedService::new(channel, AddHeaders::default())
}

fn endpoint(scheme: &str, authority: &str) -> Endpoint {
    Endpoint::from_shared(format!("{scheme}://{authority}"))
        .expect("an address is checked when it is read")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .user_agent(concat!("crosswheel/", env!("CARGO_PKG_VERSION")))
        .expect("our name has only plain characters")
}

fn tls(settings: &ConnectSettings) -> Result<ClientTlsConfig, ConnectError> {
    let tls = match &settings.ca_file {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates(path)?)),
    };
    let Some(ClientIdentity { certificate_file, key_file }) = &settings.identity else { return Ok(tls) };
    let key = fs_err::read(key_file).map_err(ConnectError::ReadKey)?;
    Ok(tls.identity(Identity::from_pem(certificates(certificate_file)?, key)))
}

fn certificates(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let pem = fs_err::read(path).map_err(ConnectError::ReadCertificates)?;
    if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
        return Err(ConnectError::NoCertificate(path.to_owned()));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::within;

    async fn refusal(address: &str) -> String {
        let settings = ConnectSettings {
            address: address.parse().unwrap(),
            headers: Vec::new(),
            ca_file: None,
            identity: None,
        };
        within("a refusal", connect(&settings)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_the_reason() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let text = refusal(&format!("grpc://{address}")).await;
        assert!(text.contains(&address.to_string()) && text.contains("refused"), "{text}");
        let text = refusal("unix:/no/such/socket").await;
        assert!(text.contains("/no/such/socket") && text.contains("No such file"), "{text}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_from_one_with() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut hello = [0; 16];
            socket.read_exact(&mut hello).await.unwrap();
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            socket.shutdown().await.unwrap();
        };
        let address = format!("grpcs://{address}");
        let (text, ()) =
            within("both ends of a connection", async { tokio::join!(refusal(&address), answer) }).await;
        assert!(text.contains("grpc:// instead of grpcs://"), "{text}");
    }

    #[tokio::test]
    async fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = ConnectSettings {
            address: "grpcs://127.0.0.1:1".parse().unwrap(),
            headers: Vec::new(),
            ca_file: Some(file.path().to_owned()),
            identity: None,
        };
        assert!(matches!(connect(&settings).await, Err(ConnectError::NoCertificate(_))));
    }
}

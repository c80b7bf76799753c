//! Where connections come from: TCP and Unix sockets, and this very process. Knows nothing of what is said on
//! them.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

/// Bytes under way between the two ends of a connection inside this process.
const LOCAL_BUFFER: usize = 1 << 20;

/// Connections that wait to be served, before the kernel has to keep them.
const ACCEPTED: usize = 64;

/// How long to leave a listener alone that cannot accept, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Somewhere to listen: `HOST:PORT` (port 0 takes a free one) or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(String),
    Unix(PathBuf),
}

/// A text that is no [`Address`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no address to listen on; give HOST:PORT such as 127.0.0.1:8980 or [::1]:8980, or unix:PATH"
)]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(invalid()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || port.parse::<u16>().is_err() || (host.contains(':') && !bracketed) {
            return Err(invalid());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => formatter.write_str(address),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: Address, source: io::Error },

    #[error("cannot listen on {address}: another process does already; stop it, or listen somewhere else")]
    InUse { address: Address },

    #[error("cannot listen on unix:{}: there is something that is not a socket", .path.display())]
    NotASocket { path: PathBuf },
}

/// A socket that takes connections.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// The name of a Unix socket, which is removed together with it.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have cleaned up already.
        let _ = fs_err::remove_file(&self.0);
    }
}

impl Listener {
    /// Starts to listen. A Unix socket that nobody serves any more is replaced.
    ///
    /// # Errors
    /// [`ListenError`], also if another process listens there.
    pub async fn bind(address: &Address) -> Result<Self, ListenError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address: address.clone() },
            _ => ListenError::Bind { address: address.clone(), source },
        };
        match address {
            Address::Tcp(text) => {
                let listener = TcpListener::bind(text).await.map_err(failed)?;
                let actual = listener.local_addr().map_err(failed)?;
                Ok(Self { socket: Socket::Tcp(listener), address: Address::Tcp(actual.to_string()) })
            }
            Address::Unix(path) => {
                make_room(path, address).await?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let socket = Socket::Unix { listener, _file: SocketFile(path.clone()) };
                Ok(Self { socket, address: address.clone() })
            }
        }
    }

    /// Where it listens, with the port it got.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection. Whatever keeps one from being accepted is logged.
    pub async fn next_connection(&self) -> Connection {
        loop {
            match self.accept().await {
                Ok(connection) => return connection,
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// What is sent on a connection goes out at once: small answers must not wait for more (`TCP_NODELAY`).
    async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            Socket::Unix { listener, .. } => Ok(Connection::Unix(listener.accept().await?.0)),
        }
    }
}

/// Removes a socket that a process left behind when it was killed.
async fn make_room(path: &Path, address: &Address) -> Result<(), ListenError> {
    let Ok(found) = fs_err::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::InUse { address: address.clone() });
    }
    fs_err::remove_file(path).map_err(|source| ListenError::Bind { address: address.clone(), source })
}

/// All connections that are to be served, wherever they come from.
#[derive(Debug)]
pub struct Connections {
    sender: mpsc::Sender<io::Result<Connection>>,
    receiver: mpsc::Receiver<io::Result<Connection>>,
}

/// Makes connections to the services of this process.
#[derive(Debug, Clone)]
pub struct Connector(mpsc::Sender<io::Result<Connection>>);

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listening(Vec<JoinHandle<()>>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Connections {
    /// No connections yet.
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(ACCEPTED);
        Self { sender, receiver }
    }

    /// A way in for this process.
    pub fn connector(&self) -> Connector {
        Connector(self.sender.clone())
    }

    /// The connections in the order in which they came. Never ends while there is a [`Connector`].
    pub fn into_stream(self) -> tokio_stream::wrappers::ReceiverStream<io::Result<Connection>> {
        tokio_stream::wrappers::ReceiverStream::new(self.receiver)
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// Takes connections from `listeners`, too, until what is returned is dropped.
    pub fn listen(&self, listeners: Vec<Listener>) -> Listening {
        let accept = |listener: Listener| {
            let sender = self.0.clone();
            tokio::spawn(
                async move { while sender.send(Ok(listener.next_connection().await)).await.is_ok() {} },
            )
        };
        Listening(listeners.into_iter().map(accept).collect())
    }

    /// A channel that leads to the services of this process without a socket. It connects when it is first
    /// used.
    pub fn connect(&self) -> Channel {
        let connector = self.0.clone();
        // The name goes into a header that nobody reads.
        Endpoint::from_static("http://in-process")
            .initial_stream_window_size(crate::server::storage::settings::STREAM_WINDOW)
            .initial_connection_window_size(crate::server::storage::settings::CONNECTION_WINDOW)
            .connect_with_connector_lazy(tower::service_fn(move |_| {
                let connector = connector.clone();
                async move {
                    let (ours, theirs) = tokio::io::duplex(LOCAL_BUFFER);
                    connector
                        .send(Ok(Connection::Local(theirs)))
                        .await
                        .map_err(|_| io::Error::other("the host in this process has ended"))?;
                    Ok::<_, io::Error>(TokioIo::new(ours))
                }
            }))
    }
}

/// A connection to a client.
#[derive(Debug)]
pub enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
    Local(DuplexStream),
}

/// Whom a connection leads to, for logs: the address, `unix` or `in-process`.
#[derive(Debug, Clone)]
pub struct Peer(String);

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(match self {
            Self::Tcp(stream) => stream.peer_addr().map_or_else(|_| "gone".into(), |peer| peer.to_string()),
            Self::Unix(_) => "unix".into(),
            Self::Local(_) => "in-process".into(),
        })
    }
}

macro_rules! stream {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Connection::Tcp($stream) => $call,
            Connection::Unix($stream) => $call,
            Connection::Local($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        stream!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        stream!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Local(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::within;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:8980", "[::1]:0", "localhost:80", "unix:/run/crosswheel.sock", "unix:socket"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///run/a".parse::<Address>().unwrap(), Address::Unix("/run/a".into()));
        for text in ["", "8980", ":8980", "localhost", "localhost:http", "::1:8980", "unix:", "a:65536"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[tokio::test]
    async fn answers_on_tcp_do_not_wait_for_more() {
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).await.unwrap();
        let Address::Tcp(address) = listener.address() else { panic!("{listener:?}") };
        let _client = TcpStream::connect(address).await.unwrap();
        let accepted = within("the connection", listener.accept()).await.unwrap();
        let Connection::Tcp(stream) = accepted else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_replaced_and_one_that_is_served_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = Address::Unix(path.clone());
        // Dropping the plain listener leaves its file, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&address).await.unwrap();
        let error = Listener::bind(&address).await.unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        drop(listener);
        assert!(!path.exists());

        fs_err::write(&path, "precious").unwrap();
        let error = Listener::bind(&address).await.unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "precious");
    }
}

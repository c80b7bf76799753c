//! Where connections come from: TCP and Unix sockets, and this very process. Knows nothing of what is said on
//! them, and of how long they live.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use super::address::{Address, ListenError};
use super::connection::{self, Connection};
use super::door::Door;
use super::peer::Peer;
use super::reach::{Exposure, resolve};

/// Bytes under way between the two ends of a connection inside this process.
const LOCAL_BUFFER: usize = 1 << 20;

/// Connections that wait to be served, before the kernel has to keep them.
const ACCEPTED: usize = 64;

/// How long to leave a listener alone that cannot accept, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    door: Arc<Door>,
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
    /// Starts to listen, and lets in those for whom there is room behind `door`. A Unix socket that nobody serves any
    /// more is replaced.
    ///
    /// # Errors
    /// [`ListenError`], also if another process listens there.
    pub(crate) async fn bind(
        address: &Address,
        exposure: Exposure,
        door: Arc<Door>,
    ) -> Result<Self, ListenError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address: address.clone() },
            _ => ListenError::Bind { address: address.clone(), source },
        };
        match address {
            Address::Tcp(text) => {
                let found = resolve(text, exposure).await?;
                let listener = TcpListener::bind(&*found).await.map_err(failed)?;
                let actual = listener.local_addr().map_err(failed)?;
                let address = Address::Tcp(actual.to_string());
                Ok(Self { socket: Socket::Tcp(listener), door, address })
            }
            Address::Unix(path) => {
                make_room(path, address).await?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let socket = Socket::Unix { listener, _file: SocketFile(path.clone()) };
                Ok(Self { socket, door, address: address.clone() })
            }
        }
    }

    /// Where it listens, with the port it got.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection for which there is room. Whatever keeps one from being accepted is logged.
    pub(crate) async fn next_connection(&self) -> Connection {
        loop {
            let room = self.door.room().await;
            match self.accept().await {
                Ok((socket, peer)) => match self.door.enter(peer.client(), room) {
                    Some(place) => {
                        return Connection::accepted(socket, peer, self.door.patience(), place);
                    }
                    None => {
                        tracing::debug!(%peer, "closing a connection: this client has as many as one may")
                    }
                },
                Err(error) => {
                    drop(room);
                    tracing::warn!(address = %self.address, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// What is sent on a connection goes out at once: small answers must not wait for more (`TCP_NODELAY`).
    async fn accept(&self) -> io::Result<(connection::Socket, Peer)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((connection::Socket::Tcp(stream), Peer::at(Ok(address))))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::user(stream.peer_cred());
                Ok((connection::Socket::Unix(stream), peer))
            }
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
pub(crate) struct Connections {
    sender: mpsc::Sender<io::Result<Connection>>,
    receiver: mpsc::Receiver<io::Result<Connection>>,
}

/// Makes connections to the services of this process.
#[derive(Debug, Clone)]
pub(crate) struct Connector(mpsc::Sender<io::Result<Connection>>);

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
                        .send(Ok(Connection::local(theirs)))
                        .await
                        .map_err(|_| io::Error::other("the host in this process has ended"))?;
                    Ok::<_, io::Error>(TokioIo::new(ours))
                }
            }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::super::door::ConnectionLimits;
    use super::super::patience::Patience;
    use super::*;
    use crate::waiting::within;

    async fn bind(address: &Address) -> Result<Listener, ListenError> {
        let patience = Patience::Lifetime(Duration::from_secs(60));
        let door = Door::new(ConnectionLimits { total: 9, per_client: 9, patience });
        Listener::bind(address, Exposure::ThisMachine, door).await
    }

    #[tokio::test]
    async fn answers_on_tcp_do_not_wait_for_more() {
        let listener = bind(&Address::Tcp("127.0.0.1:0".into())).await.unwrap();
        let Address::Tcp(address) = listener.address() else { panic!("{listener:?}") };
        let _client = TcpStream::connect(address).await.unwrap();
        let accepted = within("the connection", listener.accept()).await.unwrap();
        let (connection::Socket::Tcp(stream), _) = accepted else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_replaced_and_one_that_is_served_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = Address::Unix(path.clone());
        // Dropping the plain listener leaves its file, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = bind(&address).await.unwrap();
        let error = bind(&address).await.unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        drop(listener);
        assert!(!path.exists());

        fs_err::write(&path, "precious").unwrap();
        let error = bind(&address).await.unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "precious");
    }
}

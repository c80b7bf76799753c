//! A connection to a client: bytes both ways, until the client has no use for it any more. Knows nothing of what is said
//! on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::door::Place;
use super::patience::Patience;
use super::peer::{Peer, Use};
use crate::deadline;

/// What a client of HTTP/2 has to say before anything else: the preface, and the head of its settings.
const GREETING_BYTES: usize = 24 + 9;

/// A connection to a client.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    peer: Peer,
    watch: Option<Watch>,
    /// Given back when it ends.
    _place: Option<Place>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Local(DuplexStream),
}

/// Looks at a connection from time to time.
#[derive(Debug)]
struct Watch {
    patience: Patience,
    opened: Instant,
    read_bytes: usize,
    next_look: Pin<Box<Sleep>>,
}

impl Connection {
    /// A connection that was let in.
    pub(super) fn accepted(socket: Socket, peer: Peer, patience: Patience, place: Place) -> Self {
        let opened = Instant::now();
        let first = match patience {
            Patience::Lifetime(lifetime) => lifetime,
            Patience::Calls { greeting, first_call, .. } => greeting.min(first_call),
        };
        let next_look = Box::pin(tokio::time::sleep_until(deadline::after(opened, first).into()));
        let watch = Some(Watch { patience, opened, read_bytes: 0, next_look });
        Self { socket, peer, watch, _place: Some(place) }
    }

    /// A connection from this very process.
    pub(super) fn local(stream: DuplexStream) -> Self {
        Self { socket: Socket::Local(stream), peer: Peer::in_process(), watch: None, _place: None }
    }

    /// Fails once the client has had the connection for too long without use.
    fn poll_watch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        while watch.next_look.as_mut().poll(context).is_ready() {
            let (until, lacks) = watch.until(&self.peer);
            if until <= Instant::now() {
                tracing::debug!(peer = %self.peer, lacks, "ending a connection");
                return Err(io::Error::new(io::ErrorKind::TimedOut, lacks));
            }
            watch.next_look.as_mut().reset(until.into());
        }
        Ok(())
    }
}

impl Watch {
    /// Until when it may go on like this, and what it lacks then.
    fn until(&self, peer: &Peer) -> (Instant, &'static str) {
        match self.patience {
            Patience::Lifetime(lifetime) => (deadline::after(self.opened, lifetime), "its time is over"),
            Patience::Calls { greeting, .. } if self.read_bytes < GREETING_BYTES => {
                (deadline::after(self.opened, greeting), "the client has not greeted")
            }
            Patience::Calls { first_call, idle, .. } => match peer.last_use() {
                Use::None => (deadline::after(self.opened, first_call), "there was no call"),
                Use::InFlight => (deadline::after(Instant::now(), idle), "there is a call"),
                Use::Past(ended) => (deadline::after(ended, idle), "there was no call for a long time"),
            },
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

macro_rules! stream {
    ($self:expr, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
            Socket::Local($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_watch(context)?;
        let before = buffer.filled().len();
        ready!(stream!(self.as_mut(), stream => Pin::new(stream).poll_read(context, buffer)))?;
        if let Some(watch) = &mut self.watch {
            watch.read_bytes = watch.read_bytes.saturating_add(buffer.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_watch(context)?;
        stream!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_watch(context)?;
        stream!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Unix(stream) => stream.is_write_vectored(),
            Socket::Local(stream) => stream.is_write_vectored(),
        }
    }
}

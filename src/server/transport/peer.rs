//! Whom a connection leads to, and what use they make of it. Knows nothing of sockets.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// Whom a connection leads to. Every call on the connection carries it.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    client: Arc<str>,
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    in_flight: usize,
    /// When the last one ended, if there was one.
    last_ended: Option<Instant>,
}

/// What calls there are on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// There was none yet.
    None,
    InFlight,
    /// The last one ended then.
    Past(Instant),
}

impl Peer {
    /// `name` is for logs. `client` is who they are, as far as that is known without authentication: the same for all
    /// connections from one machine or of one user.
    fn new(name: String, client: &str) -> Self {
        let calls = Mutex::new(Calls { in_flight: 0, last_ended: None });
        Self(Arc::new(Inner { name, client: client.into(), calls }))
    }

    /// The other end of a TCP connection.
    pub(super) fn at(address: std::io::Result<std::net::SocketAddr>) -> Self {
        match address {
            Ok(address) => Self::new(address.to_string(), &network_of(address.ip().to_canonical())),
            Err(_) => Self::new("gone".to_owned(), "gone"),
        }
    }

    /// The user at the other end of a Unix socket.
    pub(super) fn user(credentials: std::io::Result<tokio::net::unix::UCred>) -> Self {
        let name = credentials.map_or_else(|_| "uid ?".to_owned(), |user| format!("uid {}", user.uid()));
        Self::new(name.clone(), &name)
    }

    /// This very process.
    pub(super) fn in_process() -> Self {
        Self::new("in-process".to_owned(), "in-process")
    }

    /// Who it is, as far as the transport knows: an address, or a user of this machine.
    pub fn client(&self) -> &Arc<str> {
        &self.0.client
    }

    /// A call is in flight until what is returned is dropped.
    pub(super) fn begin_call(&self) -> InFlight {
        self.0.calls.lock().in_flight += 1;
        InFlight(self.clone())
    }

    pub(super) fn last_use(&self) -> Use {
        let calls = self.0.calls.lock();
        match calls.last_ended {
            _ if calls.in_flight > 0 => Use::InFlight,
            Some(ended) => Use::Past(ended),
            None => Use::None,
        }
    }
}

/// Whoever has an IPv6 address has at least 2^64 of them.
fn network_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [one, two, three, four, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(one, two, three, four, 0, 0, 0, 0))
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.name)
    }
}

/// A call on a connection.
#[derive(Debug)]
pub(super) struct InFlight(Peer);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut calls = self.0.0.calls.lock();
        calls.in_flight -= 1;
        calls.last_ended = Some(Instant::now());
    }
}

/// Who makes a call with these extensions; nobody in particular if the transport does not say.
pub(crate) fn client_of(extensions: &http::Extensions) -> Arc<str> {
    extensions.get::<Peer>().map_or_else(|| "".into(), |peer| Arc::clone(peer.client()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_the_newer_protocol() {
        for (address, client) in [
            ("192.0.2.7:1", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
            ("[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(&**Peer::at(Ok(address.parse().unwrap())).client(), client);
        }
    }

    #[test]
    fn a_connection_is_in_use_from_the_first_call_to_the_end_of_the_last() {
        let peer = Peer::in_process();
        assert_eq!(peer.last_use(), Use::None);
        let calls = (peer.begin_call(), peer.begin_call());
        drop(calls.0);
        assert_eq!(peer.last_use(), Use::InFlight);
        drop(calls.1);
        assert!(matches!(peer.last_use(), Use::Past(_)));
    }
}

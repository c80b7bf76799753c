//! Where one can listen, and why one cannot. Knows nothing of sockets.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

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

    #[error(
        "will not listen on {address}, which is {found}: whoever reaches it may run programs here as this user, as there \
         is no authentication. Listen on 127.0.0.1 or on unix:PATH, or say --insecure-public if everybody on that \
         network is trusted"
    )]
    Public { address: Address, found: IpAddr },

    #[error("cannot listen on unix:{}: there is something that is not a socket", .path.display())]
    NotASocket { path: PathBuf },
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

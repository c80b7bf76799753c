//! Where a server is. Knows nothing of how a connection is made.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens, as `grpc://HOST:PORT`, `grpcs://HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// HTTP/2 without TLS: `host:port`.
    Plain(String),
    /// HTTP/2 over TLS: `host:port`.
    Tls(String),
    /// HTTP/2 without TLS over a socket of the file system.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not the address of a server: {problem}; write grpc://HOST:PORT, grpcs://HOST:PORT (TLS) or unix:PATH"
)]
pub struct InvalidAddress {
    /// As given, without a login in it.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(invalid(text, "it has no path"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid(text, "it has no scheme"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(invalid(text, "it has a login in it (that belongs into a header)"));
        }
        check_authority(authority).map_err(|problem| invalid(text, problem))?;
        match scheme {
            "grpc" | "http" => Ok(Self::Plain(authority.to_owned())),
            "grpcs" | "https" => Ok(Self::Tls(authority.to_owned())),
            _ => Err(invalid(text, "its scheme is not known")),
        }
    }
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let (host, port) = authority.rsplit_once(':').ok_or("it has no port")?;
    if host.is_empty() {
        return Err("it has no host");
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    let address =
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::parse::<std::net::Ipv6Addr>);
    match address {
        Some(Err(_)) => return Err("its host is no IPv6 address"),
        None if !host.chars().all(plain) => return Err("its host is no name and no address"),
        _ => {}
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("its port is no number from 1 to 65535"),
    }
}

fn invalid(text: &str, problem: &'static str) -> InvalidAddress {
    let text = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    };
    InvalidAddress { text, problem }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(authority) => write!(formatter, "grpc://{authority}"),
            Self::Tls(authority) => write!(formatter, "grpcs://{authority}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Address, InvalidAddress> {
        text.parse()
    }

    #[test]
    fn every_kind_of_address_is_read() {
        assert_eq!(parse("grpc://localhost:8980"), Ok(Address::Plain("localhost:8980".into())));
        assert_eq!(parse("grpc://[::1]:8980/"), Ok(Address::Plain("[::1]:8980".into())));
        assert_eq!(parse("grpcs://rbe.example.com:443"), Ok(Address::Tls("rbe.example.com:443".into())));
        assert_eq!(parse("unix:/run/crosswheel.sock"), Ok(Address::Unix("/run/crosswheel.sock".into())));
        assert_eq!(parse("unix:///run/crosswheel.sock"), Ok(Address::Unix("/run/crosswheel.sock".into())));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, problem) in [
            ("localhost:8980", "no scheme"),
            ("ftp://localhost:8980", "scheme is not known"),
            ("grpc://localhost", "no port"),
            ("grpc://:8980", "no host"),
            ("grpc://localhost:0", "port"),
            ("grpc://[x]:1", "IPv6"),
            ("grpc://a/b:1", "no name"),
            ("unix:", "no path"),
        ] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains(problem) && refusal.contains(text), "{refusal}");
        }
    }

    #[test]
    fn a_login_is_not_repeated() {
        let refusal = parse("grpc://me:hunter22@localhost:1").unwrap_err().to_string();
        assert!(!refusal.contains("hunter22"), "{refusal}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_is_read_again(text in "(grpcs?|unix|http)?:?/?/?[\\PC]{0,12}:?[0-9]{0,5}") {
            if let Ok(address) = parse(&text) {
                prop_assert_eq!(parse(&address.to_string()), Ok(address));
            }
        }
    }
}

//! Headers that an operator wants in every request, such as a token. Their values are never shown.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tonic::metadata::{Ascii, Binary, MetadataKey, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// A header, as `NAME=VALUE`. The value of one whose name ends in `-bin` is given in base64, as gRPC has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Ascii(MetadataKey<Ascii>, MetadataValue<Ascii>),
    Binary(MetadataKey<Binary>, MetadataValue<Binary>),
}

/// A text that is no header. Does not hold the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    #[error("a header must be given as NAME=VALUE")]
    NoName,
    #[error("`{0}` cannot be the name of a header")]
    Name(String),
    #[error("the value of the header `{0}` has characters that no header can have")]
    Value(String),
    #[error("the value of the header `{0}` must be in base64, because the name ends in -bin")]
    Base64(String),
}

impl FromStr for Header {
    type Err = InvalidHeader;

    fn from_str(text: &str) -> Result<Self, InvalidHeader> {
        let (name, value) = text.split_once('=').ok_or(InvalidHeader::NoName)?;
        let name = name.trim().to_ascii_lowercase();
        let refused = |_| InvalidHeader::Name(name.clone());
        let value = if name.ends_with("-bin") {
            let key = MetadataKey::from_bytes(name.as_bytes()).map_err(refused)?;
            let bytes = STANDARD.decode(value.trim()).map_err(|_| InvalidHeader::Base64(name.clone()))?;
            let mut value = MetadataValue::from_bytes(&bytes);
            value.set_sensitive(true);
            Value::Binary(key, value)
        } else {
            // HTTP/2 and gRPC keep these for themselves.
            if name.starts_with("grpc-") || ["content-type", "te", "host", "connection"].contains(&&*name) {
                return Err(InvalidHeader::Name(name));
            }
            let key = MetadataKey::from_bytes(name.as_bytes()).map_err(refused)?;
            let mut value: MetadataValue<Ascii> =
                value.trim().parse().map_err(|_| InvalidHeader::Value(name.clone()))?;
            value.set_sensitive(true);
            Value::Ascii(key, value)
        };
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=…", self.name)
    }
}

/// Puts headers into every request (a [`tonic`] interceptor).
#[derive(Clone, Debug, Default)]
pub struct AddHeaders(std::sync::Arc<[Header]>);

impl AddHeaders {
    /// Those headers; each replaces what a request has under its name.
    pub fn new(headers: Vec<Header>) -> Self {
        Self(headers.into())
    }
}

impl Interceptor for AddHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        for header in self.0.iter() {
            match &header.value {
                Value::Ascii(key, value) => drop(metadata.insert(key.clone(), value.clone())),
                Value::Binary(key, value) => drop(metadata.insert_bin(key.clone(), value.clone())),
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_reach_the_request() {
        let headers = ["x-token=a=b c", "X-Key-bin=aGk="].map(|text| text.parse().unwrap());
        let request = AddHeaders::new(headers.into()).call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("x-token").unwrap(), "a=b c");
        assert_eq!(request.metadata().get_bin("x-key-bin").unwrap().to_bytes().unwrap(), "hi");
    }

    #[test]
    fn values_are_shown_to_nobody() {
        let header: Header = "authorization=Bearer hunter22".parse().unwrap();
        let request = AddHeaders::new(vec![header.clone()]).call(Request::new(())).unwrap();
        let shown = format!("{header:?} {:?} {request:?}", AddHeaders::new(vec![header.clone()]));
        assert!(!shown.contains("hunter22"), "{shown}");
        for text in ["bad name=hunter22", "x=\u{1}hunter22", "x-bin=hunter22!", "te=hunter22", "=hunter22"] {
            let refusal = text.parse::<Header>().unwrap_err();
            assert!(!format!("{refusal} {refusal:?}").contains("hunter22"), "{refusal}");
        }
        assert_eq!("hunter22".parse::<Header>(), Err(InvalidHeader::NoName));
    }
}

//! Reading from servers: one agent, a few retries, credentials for the host they belong to only.
//! Also reads `file:` URLs, so that callers need not care. Knows nothing of indexes or wheels.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use ureq::ResponseExt;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::credentials::{Credentials, without_login};
use crate::build::interrupt::Interrupt;
use crate::contract::{Failure, FailureClass};
use crate::digest::{HashingWriter, Sha256};
use crate::scratch::file::WholeFile;

/// Index pages above this are not index pages. PyPI's largest has some 40 MiB.
const PAGE_LIMIT: u64 = 256 << 20;
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Reads from http, https and file URLs.
#[derive(Debug)]
pub struct Http {
    /// Made when it is first needed: most builds find all they need in the cache.
    agent: OnceLock<ureq::Agent>,
    credentials: Arc<Credentials>,
    interrupt: Arc<Interrupt>,
    offline: bool,
}

/// A document and where it really came from.
#[derive(Debug)]
pub struct Page {
    /// The URL after redirects, without user information; relative links start here.
    pub url: Url,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A file that was fetched and hashed on the way.
#[derive(Debug)]
pub struct Fetched {
    /// The complete file, not yet in its place.
    pub file: WholeFile,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// A document that is about to be read.
struct Opened {
    reader: Box<dyn Read>,
    /// After redirects, without user information.
    url: Url,
    length: Option<u64>,
}

/// Why something could not be read. URLs in here carry no user information.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// `--offline`, and not in the cache.
    #[error("{url} is not in the cache, and the network is off (--offline)")]
    Offline {
        /// What was wanted.
        url: Url,
    },
    /// The server said no.
    #[error("{url}: the server answered {status}")]
    Status {
        /// What was wanted.
        url: Url,
        /// The HTTP status code.
        status: u16,
    },
    /// The network failed, after retries.
    #[error("{url}: {reason}")]
    Transport {
        /// What was wanted.
        url: Url,
        /// What the network layer says.
        reason: String,
    },
    /// The bytes are not the ones that were promised.
    #[error(transparent)]
    HashMismatch(Box<HashMismatch>),
    /// A page above the limit.
    #[error("{url} is larger than {PAGE_LIMIT} bytes, which no index page is")]
    TooLarge {
        /// What was wanted.
        url: Url,
    },
    /// Neither http, https nor file.
    #[error("{url} cannot be fetched: only http, https and file URLs can")]
    Scheme {
        /// What was wanted.
        url: Url,
    },
    /// The local side failed.
    #[error(transparent)]
    Local(#[from] std::io::Error),
    /// A signal came.
    #[error(transparent)]
    Interrupted(Failure),
}

/// Bytes that are not the ones that were promised.
#[derive(Debug, thiserror::Error)]
#[error("{url} has sha256 {found}, but {expected} was expected")]
pub struct HashMismatch {
    /// What was wanted.
    pub url: Url,
    /// The digest an index, a lock file or the user gave.
    pub expected: Sha256,
    /// The digest of what came.
    pub found: Sha256,
}

impl From<HashMismatch> for FetchError {
    fn from(mismatch: HashMismatch) -> Self {
        Self::HashMismatch(Box::new(mismatch))
    }
}

impl FetchError {
    /// Whether the server itself says that there is no such document.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 404 | 410),
            Self::Local(error) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Transport { .. } => true,
            _ => false,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Offline { .. } => Some("run once without --offline"),
            Self::Status { status: 401 | 403, .. } => {
                Some("give credentials in ~/.netrc, UV_INDEX_<NAME>_USERNAME/_PASSWORD or the index URL")
            }
            Self::HashMismatch(_) => {
                Some("the file was changed or damaged on the way; do not use it before you know which")
            }
            _ => None,
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let (hint, message) = (error.hint(), error.to_string());
        if let FetchError::Interrupted(failure) = error {
            return failure;
        }
        let failure = Self::new(FailureClass::FetchFailed, message);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl Http {
    /// A reader that answers requests with `credentials` and stops at `interrupt`. Proxies come from
    /// the usual environment variables, trusted certificates from the system or `SSL_CERT_FILE`.
    pub fn new(credentials: Arc<Credentials>, interrupt: Arc<Interrupt>, offline: bool) -> Self {
        Self { agent: OnceLock::new(), credentials, interrupt, offline }
    }

    /// Who may read from where.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The document at `url`.
    pub fn page(&self, url: &Url, accept: &str) -> Result<Page, FetchError> {
        self.with_retries(|| {
            let mut opened = self.open(url, accept)?;
            let mut body = Vec::new();
            opened
                .reader
                .by_ref()
                .take(PAGE_LIMIT + 1)
                .read_to_end(&mut body)
                .map_err(|error| transport(url, &error))?;
            if body.len() as u64 > PAGE_LIMIT {
                return Err(FetchError::TooLarge { url: without_login(url) });
            }
            Ok(Page { url: opened.url, body })
        })
    }

    /// Fetches the file at `url` into a new file from `temporary` and checks its hash. `on_progress`
    /// is told how many bytes have come, and of how many if the server says so.
    pub fn download(
        &self,
        url: &Url,
        expected: Option<Sha256>,
        temporary: impl Fn() -> std::io::Result<WholeFile>,
        mut on_progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Fetched, FetchError> {
        self.with_retries(|| {
            let Opened { mut reader, length, .. } = self.open(url, "*/*")?;
            let mut writer = HashingWriter::new(temporary()?);
            let mut buffer = vec![0; 1 << 17];
            let mut received = 0;
            loop {
                self.interrupt.check().map_err(FetchError::Interrupted)?;
                let count = reader.read(&mut buffer).map_err(|error| transport(url, &error))?;
                if count == 0 {
                    break;
                }
                writer.write_all(&buffer[..count])?;
                received += count as u64;
                on_progress(received, length);
            }
            let (mut file, sha256, _) = writer.finish();
            file.flush()?;
            match expected {
                Some(expected) if expected != sha256 => {
                    Err(HashMismatch { url: without_login(url), expected, found: sha256 }.into())
                }
                _ => Ok(Fetched { file, sha256 }),
            }
        })
    }

    fn with_retries<T>(&self, mut attempt: impl FnMut() -> Result<T, FetchError>) -> Result<T, FetchError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            self.interrupt.check().map_err(FetchError::Interrupted)?;
            match attempt() {
                Err(error) if error.is_transient() => {}
                result => return result,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        attempt()
    }

    fn open(&self, url: &Url, accept: &str) -> Result<Opened, FetchError> {
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| FetchError::Scheme { url: without_login(url) })?;
                let file = fs_err::File::open(path)?;
                let length = file.metadata().ok().map(|metadata| metadata.len());
                Ok(Opened { reader: Box::new(file), url: url.clone(), length })
            }
            "http" | "https" if self.offline => Err(FetchError::Offline { url: without_login(url) }),
            "http" | "https" => self.request(url, accept),
            _ => Err(FetchError::Scheme { url: without_login(url) }),
        }
    }

    fn request(&self, url: &Url, accept: &str) -> Result<Opened, FetchError> {
        let url = self.credentials.absorb(url);
        let mut request =
            self.agent.get_or_init(|| agent(trusted())).get(url.as_str()).header("Accept", accept);
        if accept == "*/*" {
            // A transparently unpacked .tar.gz would not be the file whose hash is known.
            request = request.header("Accept-Encoding", "identity");
        }
        if let Some(login) = self.credentials.for_url(&url) {
            let pair = format!("{}:{}", login.username, login.password);
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header("Authorization", format!("Basic {encoded}"));
        }
        let response = request.call().map_err(|error| FetchError::Transport {
            url: url.clone(),
            reason: self.credentials.redact(&format!("{error}{}", hint(&error))),
        })?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status { url, status });
        }
        let final_url = response.get_uri().to_string().parse().unwrap_or(url);
        let length = response.body().content_length();
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Opened { reader: Box::new(reader), url: without_login(&final_url), length })
    }
}

fn agent(trusted: RootCerts) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("crosswheel/", env!("CARGO_PKG_VERSION")))
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .tls_config(TlsConfig::builder().root_certs(trusted).build())
        .build();
    config.new_agent()
}

/// The authorities that gRPC trusts, too: it finds them with the same crate.
fn trusted() -> RootCerts {
    // What cannot be read is not trusted, and the error is about who was to be.
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|authority| Certificate::from_der(authority).to_owned()).into()
}

/// What a failure to connect may mean.
fn hint(error: &ureq::Error) -> &'static str {
    if error.to_string().contains("UnknownIssuer") {
        " (this system does not know the authority that signed its certificate; SSL_CERT_FILE can name more)"
    } else {
        ""
    }
}

fn transport(url: &Url, error: &std::io::Error) -> FetchError {
    FetchError::Transport { url: without_login(url), reason: format!("the connection broke off: {error}") }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    /// Valid until 2120, as is the next, which it has signed. Nobody else trusts it.
    const AUTHORITY: &str = "
-----BEGIN CERTIFICATE-----
MIIBdTCCARygAwIBAgIUO66Fd0tDAWia0W5dkmGuQUEr5Y8wCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVQW4gYXV0aG9yaXR5IG9mIHRlc3RzMCAXDTIwMDEwMTAwMDAw
MFoYDzIxMjAwMTAxMDAwMDAwWjAgMR4wHAYDVQQDDBVBbiBhdXRob3JpdHkgb2Yg
dGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATr6QEA+P5tNS7iGV13+oll
+0UlsXhMNDj3AYognESTRl6uc3wvBRPdoDJOdf85S0pYsHStcTYVW3y9dOLvfj4K
ozIwMDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBTwCeufDczzI5CO4VedxmLw
RTdVSDAKBggqhkjOPQQDAgNHADBEAiB0OrlmEaXkaZhk1b75qXCihMx9xnI8p9wf
eqyTG9spRgIgTGKPD0qCCzw9FLPoTsjLbI22g4iNf8OWiUqxRTRRCAE=
-----END CERTIFICATE-----";
    /// Of 127.0.0.1.
    const CERTIFICATE: &str = "
-----BEGIN CERTIFICATE-----
MIIBljCCATygAwIBAgIUICTIXexP/4Rn9ZIhEUxAa/aHrTwwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVQW4gYXV0aG9yaXR5IG9mIHRlc3RzMCAXDTIwMDEwMTAwMDAw
MFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQPgZxG+8kPJMg6ezDirLsGT78K3zm8ijIUbitB
0LNGKnCFix6O18lRiF4mc8ntv6xEPr1uaq2/Ij6nhwVwnVm+o14wXDAPBgNVHREE
CDAGhwR/AAABMAkGA1UdEwQCMAAwHQYDVR0OBBYEFKAkPxwDTFSeTS7i+Lhqy63V
gcBvMB8GA1UdIwQYMBaAFPAJ658NzPMjkI7hV53GYvBFN1VIMAoGCCqGSM49BAMC
A0gAMEUCIQD4P3Ha4z3fv1K1uBBxBC9RjPPSZacddQmIYr2ZvcSfVwIgenslcrgh
Rf9TMCPmIkkWl9eaO69PvDp+3utpSZ6gVeE=
-----END CERTIFICATE-----";
    const KEY: &str = "
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqSzPLSquKw+qseXr
oa0Qb5EP49/Ed2VWPDzNhZKp1m2hRANCAAQPgZxG+8kPJMg6ezDirLsGT78K3zm8
ijIUbitB0LNGKnCFix6O18lRiF4mc8ntv6xEPr1uaq2/Ij6nhwVwnVm+
-----END PRIVATE KEY-----";

    /// Answers every request with `page`; returns its URL.
    fn serve_over_tls() -> Url {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                // A client that does not trust us hangs up.
                if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage");
                    let _ = stream.flush();
                }
            }
        });
        url
    }

    fn http(trusted: RootCerts) -> Http {
        let agent = agent(trusted).into();
        Http { agent, credentials: Arc::default(), interrupt: Interrupt::never(), offline: false }
    }

    #[test]
    fn a_server_is_read_if_an_authority_that_is_trusted_has_signed_its_certificate() {
        let authority = Certificate::from_pem(AUTHORITY.as_bytes()).unwrap();
        let page = http([authority].into()).page(&serve_over_tls(), "text/html").unwrap();
        assert_eq!(page.body, b"page");
    }

    #[test]
    fn a_server_that_nobody_vouches_for_is_refused_with_a_way_out() {
        let failure = http(trusted()).page(&serve_over_tls(), "text/html").unwrap_err();
        assert!(failure.to_string().contains("SSL_CERT_FILE"), "{failure}");
    }
}

//! A package index on the loopback interface: pages and files by path, with the misbehaviour a test
//! wants. Remembers every request.

use std::collections::HashMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::Digest;

use crate::support::waiting::Lines;

/// One request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct State {
    pages: HashMap<String, (&'static str, Vec<u8>)>,
    failures: HashMap<String, u32>,
    requests: Vec<Request>,
    /// The `Authorization` every request must carry.
    required: Option<String>,
}

/// A running server; it stops answering when dropped.
pub struct Server {
    pub address: String,
    state: Arc<Mutex<State>>,
}

/// One file of a project, as an index lists it.
pub struct Listed<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    /// Root URL of the server that has the file.
    pub root: String,
    /// What the index claims about the bytes; the truth if none.
    pub sha256: Option<String>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                // A client that goes away in the middle is the client's business.
                std::thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { address, state }
    }

    /// The root URL, with a login if there is to be one.
    pub fn url(&self, login: &str) -> String {
        let at = if login.is_empty() { String::new() } else { format!("{login}@") };
        format!("http://{at}{}", self.address)
    }

    pub fn index(&self) -> String {
        self.url("") + "/simple/"
    }

    pub fn add(&self, path: &str, content_type: &'static str, body: impl Into<Vec<u8>>) {
        self.state.lock().pages.insert(path.to_owned(), (content_type, body.into()));
    }

    /// Serves the files and a PEP 691 page that lists them.
    pub fn add_project(&self, project: &str, files: &[(&str, &[u8])]) {
        let listed: Vec<_> = files
            .iter()
            .map(|(name, bytes)| Listed { name, bytes, root: self.url(""), sha256: None })
            .collect();
        files.iter().for_each(|(name, bytes)| self.add_file(name, bytes));
        self.add_page(project, &listed);
    }

    pub fn add_file(&self, name: &str, bytes: &[u8]) {
        self.add(&format!("/files/{name}"), "application/octet-stream", bytes);
    }

    /// Serves a PEP 691 page.
    pub fn add_page(&self, project: &str, files: &[Listed]) {
        let files: Vec<_> = files
            .iter()
            .map(|file| {
                let sha256 = file.sha256.clone().unwrap_or_else(|| sha256(file.bytes));
                serde_json::json!({"filename": file.name, "url": format!("{}/files/{}", file.root, file.name),
                    "hashes": {"sha256": sha256}})
            })
            .collect();
        let page = serde_json::json!({"meta": {"api-version": "1.0"}, "name": project, "files": files});
        self.add(
            &format!("/simple/{project}/"),
            "application/vnd.pypi.simple.v1+json",
            page.to_string().into_bytes(),
        );
    }

    /// Serves files and a PEP 700 page that lists them with what `facts` says of each: `upload-time`, `yanked`,
    /// `requires-python`.
    pub fn add_described(&self, project: &str, files: &[(&str, &[u8], serde_json::Value)]) {
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes, facts)| {
                self.add_file(name, bytes);
                let mut file = serde_json::json!({"filename": name, "url": format!("{}/files/{name}", self.url("")),
                    "hashes": {"sha256": sha256(bytes)}, "size": bytes.len()});
                file.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
                file
            })
            .collect();
        let versions: [&str; 0] = [];
        let page = serde_json::json!({"meta": {"api-version": "1.1"}, "name": project, "versions": versions, "files": files});
        let path = format!("/simple/{project}/");
        self.add(&path, "application/vnd.pypi.simple.v1+json", page.to_string().into_bytes());
    }

    /// The next `count` requests for `path` are answered with 500.
    pub fn fail(&self, path: &str, count: u32) {
        self.state.lock().failures.insert(path.to_owned(), count);
    }

    /// Only requests with this login (base64 of `user:password`) are answered.
    pub fn require(&self, encoded: &str) {
        self.state.lock().required = Some(format!("Basic {encoded}"));
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = Lines::of("a client of the index", stream.try_clone()?);
    let first = lines.next().unwrap_or_default();
    let mut authorization = None;
    for line in lines {
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = Some(value.trim().to_owned());
        }
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
    let (status, content_type, body) = {
        let mut state = state.lock();
        state.requests.push(Request { path: path.clone(), authorization: authorization.clone() });
        let failures = state.failures.get_mut(&path).filter(|left| **left > 0);
        if let Some(left) = failures {
            *left -= 1;
            ("500 Internal Server Error", "text/plain", Vec::new())
        } else if state.required.is_some() && state.required != authorization {
            ("401 Unauthorized", "text/plain", Vec::new())
        } else {
            match state.pages.get(&path) {
                Some((content_type, body)) => ("200 OK", *content_type, body.clone()),
                None => ("404 Not Found", "text/plain", Vec::new()),
            }
        }
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

pub fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

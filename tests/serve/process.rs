//! A `crosswheel serve` of a test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tonic::transport::Channel;

/// `crosswheel serve` without the environment of whoever runs the tests.
pub fn serve_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CROSSWHEEL_") {
            command.env_remove(name);
        }
    }
    command.arg("serve").args(arguments).stdin(Stdio::null());
    command
}

/// A server that listens on free ports; killed when dropped.
pub struct Server {
    child: Child,
    /// The line with which it said that it serves.
    pub start: Value,
}

impl Server {
    /// Starts a server on the store in `directory`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let store = directory.join("store");
        let mut command =
            serve_command(&["--json", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        let mut child =
            command.arg("--store").arg(store).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let start = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { child, start }
    }

    pub fn address(&self) -> &str {
        self.start["listen"][0].as_str().unwrap()
    }

    pub async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address());
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// Status line and body of what it answers over HTTP.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.start["http"].as_str().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A `crosswheel serve` of a test's own.

use std::io::Write;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tonic::transport::Channel;

use super::waiting::{DEADLINE, InTime, Lines, Started, within};

/// `crosswheel serve` without the environment of whoever runs the tests.
pub fn serve_command(arguments: &[&str]) -> Command {
    crosswheel_command("serve", arguments)
}

/// As [`serve_command`], of another subcommand.
pub fn crosswheel_command(subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CROSSWHEEL_") {
            command.env_remove(name);
        }
    }
    command.arg(subcommand).args(arguments).stdin(Stdio::null());
    command
}

/// A server that listens on free ports; killed when dropped.
pub struct Server {
    child: Started,
    /// The line with which it said that it serves.
    pub start: Value,
    _stdout: Lines<ChildStdout>,
}

impl Server {
    /// Starts a server on the store in `directory`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::run(Self::command(directory, arguments))
    }

    /// What starts it.
    pub fn command(directory: &Path, arguments: &[&str]) -> Command {
        let mut command =
            serve_command(&["--json", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        command.arg("--store").arg(directory.join("store")).args(arguments);
        command
    }

    /// Starts it by a command that was changed, perhaps.
    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).start();
        let mut stdout = child.stdout();
        let line = stdout.next().expect("a server says where it serves");
        let start = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { child, start, _stdout: stdout }
    }

    pub fn address(&self) -> &str {
        self.start["listen"][0].as_str().unwrap()
    }

    pub async fn channel(&self) -> Channel {
        self.channel_from(IpAddr::from([127, 0, 0, 1])).await
    }

    /// A connection from another address of this machine: to the server, that is another client.
    pub async fn channel_from(&self, address: IpAddr) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address())).unwrap().timeout(DEADLINE);
        let endpoint = endpoint.local_address(Some(address));
        within("a connection to the server", endpoint.connect()).await.unwrap()
    }

    /// Status line and body of what it answers over HTTP.
    pub fn get(&self, path: &str) -> (String, String) {
        http_get(self.start["http"].as_str().unwrap(), path)
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits for its end.
    pub fn exit(mut self) -> ExitStatus {
        self.child.exit()
    }

    /// As by the kernel, short of memory, or by an operator.
    pub fn kill(mut self) {
        self.child.kill();
    }
}

/// Status line and body of what is answered over HTTP at an address.
pub fn http_get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let answer = Lines::of(&format!("{address}, asked for {path}"), stream).rest();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

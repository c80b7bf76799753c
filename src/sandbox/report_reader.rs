//! Reads reports from a socket. Knows nothing of what they mean.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::message::{self, Report};

/// What came.
pub(super) enum Received {
    Report(Report),
    /// Nothing within the time given.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

/// What one socket has said so far.
#[derive(Debug, Default)]
pub(super) struct ReportReader {
    received: Vec<u8>,
    /// Lines that are no reports.
    said: String,
    pub descriptors: Vec<OwnedFd>,
}

impl ReportReader {
    /// The next report, waiting for it no longer than `patience`.
    pub(super) fn next(&mut self, socket: &UnixStream, patience: Option<Duration>) -> io::Result<Received> {
        // The kernel takes zero for "for ever".
        let timeout = patience.map(|patience| patience.max(Duration::from_millis(1)));
        socket.set_read_timeout(timeout)?;
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(report) => return Ok(Received::Report(report)),
                    Err(_) => self.said.push_str(&String::from_utf8_lossy(&line)),
                }
            }
            let mut buffer = [0; 4096];
            match message::read_with_descriptors(socket, &mut buffer, &mut self.descriptors) {
                Ok(0) => return Ok(Received::Closed),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                // We died to the other side with something unread; it is gone all the same.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Received::Closed),
                Err(error) => return Err(error),
            }
        }
    }

    /// All that was no report, trimmed.
    pub(super) fn said(&self) -> String {
        let rest = String::from_utf8_lossy(&self.received);
        format!("{}{rest}", self.said).trim().to_owned()
    }
}

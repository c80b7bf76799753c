//! A client of the Remote Execution API, for any server of it: uploads what is missing, executes, watches,
//! downloads. Knows nothing of Python, nor of where the server is.
//!
//! ```text
//! Job ──► Action ──► known? ──yes──────────────────────────────► Finished
//!                      │ no                                         ▲
//!                      ▼                                            │ done
//!                   upload what is missing ──► Execute ──► watch ───┤
//!                      ▲                          ▲          │      │
//!                      └─ the server lost blobs ──┼──────────┤      ▼
//!                         the connection broke ───┘          │    an error
//!                                                  WaitExecution
//! ```
//!
//! All calls block: callers have threads. Blobs go through a [`BlobStore`], which is the server's own when it is
//! in this process.

mod capabilities;
mod command_output;
mod error;
mod event;
mod input_root;
mod job;
mod missing;
mod outputs;
mod run;
#[cfg(test)]
mod scripted_server;
mod server;
mod upload;
mod watch;

pub use capabilities::Unsuitable;
pub use error::ClientError;
pub use event::JobEvent;
pub use input_root::{InputError, InputRoot};
pub use job::Job;
pub use outputs::Output;
pub use run::{Client, ClientSettings, Finished};
pub use upload::Uploaded;

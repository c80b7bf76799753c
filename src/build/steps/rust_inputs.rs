//! What a step needs to compile Rust. Knows nothing of where that comes from.

use std::path::PathBuf;

use crate::client::InputRoot;

/// What a step needs to compile Rust.
#[derive(Clone, Debug)]
pub struct RustInputs {
    /// `bin` of the toolchain itself, not of rustup, whose proxies need its home directory.
    pub toolchain: PathBuf,
    /// `rustc --version`.
    pub version: String,
    /// The crates, as `cargo vendor` writes them; none if the sdist has no Cargo.toml.
    pub crates: Option<InputRoot>,
}

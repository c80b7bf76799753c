//! The check: whether wheels that were made or fetched for a Python work together there. They are installed into a venv,
//! what they require is looked for, and modules of them are imported, in the sandbox and by that Python.
//! Knows nothing of where the wheels come from, or of who asked.

mod check_wheels;
mod dependencies;
mod importable;
mod installation;
mod pip_check;
mod request;
mod trial;

pub use check_wheels::check_wheels;
pub use importable::importable_modules;
pub use request::{CheckRequest, ImportedPackages};

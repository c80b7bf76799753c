//! `crosswheel wheelhouse` from the outside.

mod installing;
mod locked;
mod making;
mod planning;
mod requested;
mod settings;

//! `crosswheel wheelhouse` from the outside.

mod installing;
mod locked;
mod making;
mod planning;
mod remade;
mod requested;
mod settings;

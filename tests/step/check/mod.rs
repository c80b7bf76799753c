//! `crosswheel check` on real wheels: what it finds, and what it says of it.

mod dependencies;
mod imports;
mod installation;
mod pip;
mod scene;

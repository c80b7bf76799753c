//! `crosswheel wheel` as a whole: real archives, a real Python, real processes, no network.
//!
//! The sdists bring their own backend (`backend-path`), so that nothing has to be installed and a
//! test can make the backend do whatever it wants to see handled.

mod answers;
mod deep;
mod ends;
mod floods;
mod hooks;
mod refusals;
pub mod scene;
mod surroundings;

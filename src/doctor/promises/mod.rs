//! What a sandbox promises, proven on this host by trying to break it: something of everything is set up outside, and an
//! attacker tries to get at it from inside. Knows nothing of how a sandbox is made.

mod attacker;
mod scene;
mod trial;

pub use attacker::attack;
pub use trial::try_to_break;

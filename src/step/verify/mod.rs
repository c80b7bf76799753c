//! Whether a wheel that a backend built may be handed on, and why not.

pub mod verified_wheel;
pub mod wheel_refused;

//! What our services and messages look like, for gRPC reflection: compiled from `protos/` when crosswheel is
//! built. Knows nothing of what the services do.

mod compiled;

pub use compiled::{FILES, methods};

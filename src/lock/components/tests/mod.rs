//! What holds of conditions, entries and aliases together: for locks that uv writes, for two that others get wrong, and for
//! any lock.

mod cases;
mod environments;
mod generated;
mod oracle;
mod properties;

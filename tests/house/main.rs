//! Rules of this house that no compiler holds: what it may depend on, and how its tests are written.

#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/waiting.rs"]
mod waiting;

mod dependencies;
mod floors;
mod imports;
mod suites;
mod waits;

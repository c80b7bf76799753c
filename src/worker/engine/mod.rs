//! Works for an engine that exists: Buildbarn, BuildGrid, NativeLink. Where the work comes from is a `WorkSource`,
//! which says and hears what the engine's protocol has; what a slot makes of that is one state machine
//! (`SlotState`), whatever the protocol. Knows nothing of how an action runs.

mod assignment;
mod bots;
mod buildbarn;
mod deliverable;
mod nativelink;
mod remembered;
mod runner;
mod schedulers;
mod slot;
mod slot_state;
mod source;
mod workers;

pub use bots::BotIdentity;
pub use buildbarn::BuildbarnIdentity;
pub use nativelink::NativeLinkIdentity;
pub use runner::{ResultsUntil, RunnerSettings};
pub use schedulers::Schedulers;
pub use slot::SlotView;
pub use source::for_people;
pub use workers::{EngineWorkers, SlotHandle, SlotIdentity, SlotSpec, WorkSwitch};

//! `crosswheel worker` as a process, between schedulers that tests play and a CAS that is real: what it says to Buildbarn,
//! BuildGrid and NativeLink, and what it makes of what it hears.

mod bots_scheduler;
mod buildbarn;
mod buildbarn_scheduler;
mod buildgrid;
mod endings;
mod nativelink;
mod nativelink_scheduler;
mod nonsense;
mod reaching;
mod refusals;
mod returns;
mod scene;
mod scheduler;

//! The manual is true: its commands work, its options exist, its links lead somewhere, and what is generated in it is
//! what would be generated. `docs/development.md` says how to write the generated pages anew.

mod commands;
mod elsewhere;
mod generated;
mod markdown;
mod options;
mod promises;
mod report;
#[path = "../building/run.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod run;
mod scene;
mod shape;
#[path = "../step/wheel/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod step;
#[path = "../support/mod.rs"]
mod support;

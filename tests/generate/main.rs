//! `crosswheel generate`: what it writes, that Bazel's language takes it, and what its rules then do.

#[path = "../support/mod.rs"]
mod support;

mod command;
mod evaluation;
mod interpreter;
mod models;
mod placing;
mod repository;
mod rules;

use crosswheel::starlark::{BazelModel, BazelVersion, Emission, ModelFile, PlatformModel};

/// The model that these platforms make, for a package called `platforms` and all versions of Bazel.
fn model(platforms: &[&str]) -> BazelModel {
    let platforms = platforms.iter().map(|line| PlatformModel::parse(line).unwrap()).collect();
    let file = ModelFile { platforms: Some(platforms), ..ModelFile::default() };
    file.complete("platforms".into()).unwrap()
}

fn emission(platforms: &[&str]) -> Emission {
    Emission::of(&model(platforms))
}

/// Both platforms, with a C library.
fn both() -> Emission {
    emission(&["linux_amd64,libc=glibc-2.36", "linux_arm64,libc=glibc-2.36"])
}

fn major(version: BazelVersion) -> i32 {
    version.name().split('.').next().unwrap().parse().unwrap()
}

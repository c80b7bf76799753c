//! Fuzzes the reading of uv.lock, and what is done with what was read: closed over for two environments, conditions left
//! open, files chosen. Whatever the bytes, an answer or an error: no panic, no endless walk, bounded memory.
//!
//! ```text
//! cargo +nightly fuzz run uv_lock -- -rss_limit_mb=2048 -dict=fuzz_targets/uv_lock.dict
//! ```
//! `unpack.rs` says how to do without cargo-fuzz. Condensed locks to begin with are in `../tests/locks/data`.
#![no_main]

#[path = "../../tests/locks/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::path::Path;

use crosswheel::lock::{Closure, Conditions, Configuration, FilePreferences, Graph, Lock, Plan, Root};
use crosswheel::packaging::compatible_tags::CompatibleTags;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(lock) = Lock::parse(text, Path::new("uv.lock")) else { return };
    let graph = Graph::of(&lock);
    let roots = lock.records().take(2).map(|(record, found)| Root {
        record,
        extras: found.optional_dependencies.keys().cloned().collect(),
        groups: found.dependency_groups.keys().cloned().collect(),
    });
    let configuration = Configuration {
        roots: roots.collect(),
        manifest_groups: lock.manifest().dependency_groups.keys().cloned().collect(),
        ..Configuration::default()
    };
    let conditions = Conditions::of(&graph, &configuration);
    for target in ["linux_amd64", "linux_arm64"] {
        let target = target.parse().unwrap();
        let environment = scene::environment(target, 12);
        let Ok(closure) = Closure::of(&graph, &configuration, &environment) else { continue };
        if let Ok(conditions) = &conditions {
            assert_eq!(conditions.nodes_in(&graph, &environment), closure.nodes().collect::<Vec<_>>());
        }
        let tags = CompatibleTags::new((3, 12), "", target, "2.36".parse().ok());
        if let Ok(plan) = Plan::of(&lock, &closure, &tags, &FilePreferences::default()) {
            assert!(plan.lines().count() <= lock.records().len());
        }
    }
});

//! What the dependencies may be: the rules of `deny.toml` that matter most, checked without
//! installing `cargo deny`.

use std::process::Command;

use serde_json::Value;

use crate::waiting::InTime;

/// As in `deny.toml`.
fn allowed() -> Vec<String> {
    let text = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let rules: toml::Table = text.parse().unwrap();
    let list = rules["licenses"]["allow"].as_array().unwrap();
    list.iter().map(|licence| licence.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_the_registry() {
    let output = Command::new(env!("CARGO"))
        // The platforms of deny.toml: what only Windows would get is nobody's here.
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output_in_time();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50);
    let allowed = allowed();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{name} has the licence `{licence}`");
        let source = package["source"].as_str();
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert!(name == "crosswheel" || source == Some(registry), "{name} comes from {source:?}");
    }
}

/// One of the alternatives is allowed, all of its parts. Good enough for the expressions in use:
/// `OR` and the old `/` bind weaker than `AND`, and brackets hold alternatives.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" OR ")
        .any(|part| part.split(" AND ").all(|licence| allowed.iter().any(|other| other == licence.trim())))
}

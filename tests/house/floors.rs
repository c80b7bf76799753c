//! The house stands as ARCHITECTURE.md says: imports point down, never in circles, and a room's `mod.rs` declares and
//! re-exports. Reads what `use` lines and paths in the code name; tests are no part of the house.

use std::collections::BTreeMap;

use crate::imports::{House, Import};

/// The floors, from the ground up. A room may use what is on a lower floor than its own, and those named before it on its
/// own.
const FLOORS: [&[&str]; 6] = [
    &[
        "nearest",
        "platform",
        "finding",
        "deadline",
        "size",
        "memory",
        "shortage",
        "shares",
        "signals",
        "scratch",
        "cancellation",
        "patience",
        "reapi",
        "worker_protocols",
        "digest",
        "emulation",
        "contract",
        "remote",
    ],
    &["archive", "packaging", "cas", "rootfs", "sandbox"],
    &["step", "execute", "lock", "starlark"],
    &["client", "queue", "status", "worker"],
    &["build", "doctor", "server"],
    &["cli"],
];

#[test]
fn every_room_has_a_floor() {
    let homeless: Vec<_> =
        House::of_this_crate().rooms().into_iter().filter(|room| floor(room).is_none()).collect();
    assert!(homeless.is_empty(), "rooms that no floor has: {homeless:?}; see ARCHITECTURE.md");
}

#[test]
fn imports_point_down() {
    let house = House::of_this_crate();
    let upward: Vec<_> = house
        .imports()
        .iter()
        .filter(|import| import.importing_room() != import.imported_room())
        .filter(|import| floor(import.importing_room()) <= floor(import.imported_room()))
        .map(Import::to_string)
        .collect();
    assert!(upward.is_empty(), "imports that do not point down:\n{}", upward.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = House::of_this_crate().circles();
    assert!(circles.is_empty(), "files that import each other in a circle:\n{}", circles.join("\n\n"));
}

#[test]
fn a_room_s_face_only_declares_and_re_exports() {
    let talkative = House::of_this_crate().faces_with_code();
    assert!(talkative.is_empty(), "lines that belong into a file of their own:\n{}", talkative.join("\n"));
}

/// What the other tests rest on.
#[test]
fn an_import_upwards_and_a_circle_are_found_with_their_lines() {
    let house = House::new(BTreeMap::from([
        ("lib.rs", "pub mod cli; pub mod digest;"),
        ("cli/mod.rs", "mod run;\npub use run::run;\nfn code() {}"),
        (
            "cli/run.rs",
            "use crate::digest::{blob::Blob, Sha};\n#[cfg(test)]\nmod tests { use crate::nowhere::X; }",
        ),
        ("digest/mod.rs", "pub mod blob;\nmod sha;\npub use sha::Sha;"),
        ("digest/blob.rs", "fn f() {\n    let _ = vec![super::sha::Sha, crate::cli::run()];\n}"),
        ("digest/sha.rs", "#[error(\"{}\", super::blob::Blob)]\nstruct Error;"),
    ]));
    let lines: Vec<_> = house.imports().iter().map(Import::to_string).collect();
    assert!(
        lines.contains(&"src/digest/blob.rs:2 imports src/cli/run.rs (crate::cli::run)".to_owned()),
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|line| line.contains("nowhere")), "{lines:#?}");
    let [circle] = &house.circles()[..] else { panic!("{:?}", house.circles()) };
    for line in [
        "src/digest/blob.rs:2 imports src/digest/sha.rs (super::sha::Sha)",
        "src/digest/sha.rs:1 imports src/digest/blob.rs (super::blob::Blob)",
    ] {
        assert!(circle.contains(line), "{circle}");
    }
    assert_eq!(house.faces_with_code(), ["src/cli/mod.rs:3"]);
}

/// The floor, and the place on it.
fn floor(room: &str) -> Option<(usize, usize)> {
    let place = |rooms: &[&str]| rooms.iter().position(|other| *other == room);
    FLOORS.iter().enumerate().find_map(|(floor, rooms)| Some((floor, place(rooms)?)))
}

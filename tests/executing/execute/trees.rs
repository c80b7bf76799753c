//! Trees of input roots: that they show what they must, however they came about, and what becomes of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crosswheel::contract::SandboxMode;
use crosswheel::execute::{InputEntries, TreeLimits, TreeUse};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::scene::{Node, Root, Scene, count_entries, sh};
use crate::support::waiting::{scope, wait_until};

/// Says what is where, as the action sees it.
const LIST: &str = r#"
import os
def walk(directory):
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        mode = os.lstat(path).st_mode & 0o777
        if os.path.islink(path):
            print(path, "->", os.readlink(path))
        elif os.path.isdir(path):
            print(path, oct(mode))
            walk(path)
        else:
            print(path, oct(mode), open(path).read())
walk(".")
"#;

fn list() -> crosswheel::reapi::Command {
    let mut command = sh("", &[]);
    command.arguments = vec!["python3".into(), "-c".into(), LIST.into()];
    command
}

/// What [`LIST`] has to say.
fn expected(root: &Root, path: &str, lines: &mut String) {
    for (name, node) in &root.entries {
        let path = format!("{path}/{name}");
        match node {
            Node::Symlink(target) => lines.push_str(&format!("{path} -> {target}\n")),
            Node::File { bytes, executable, .. } => {
                let mode = if *executable { "0o555" } else { "0o444" };
                lines.push_str(&format!("{path} {mode} {}\n", String::from_utf8_lossy(bytes)));
            }
            Node::Directory(root) => {
                lines.push_str(&format!("{path} 0o755\n"));
                expected(root, &path, lines);
            }
        }
    }
}

fn check(scene: &Scene, root: &Root) {
    let mut lines = String::new();
    expected(root, ".", &mut lines);
    assert_eq!(scene.stdout(&scene.run(root, list())), lines);
}

fn uses(scene: &Scene) -> [u64; 3] {
    scene.files.tree_uses().map(|(_, count)| count)
}

/// Any tree of names from a few, so that edits of one meet another.
fn trees() -> impl Strategy<Value = Root> {
    let leaf = prop_oneof![
        4 => (0..3_u8, any::<bool>()).prop_map(|(text, executable)| Node::File {
            bytes: format!("text {text}").into_bytes(),
            executable,
            properties: None
        }),
        1 => prop_oneof![Just("a"), Just("../b"), Just("/etc")].prop_map(|target| Node::Symlink(target.into())),
    ];
    let names = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d ü"), Just(".e")];
    let node = leaf.prop_recursive(3, 40, 5, move |inner| {
        prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
            .prop_map(|entries| Node::Directory(Root { entries, properties: None }))
    });
    let names = prop_oneof![Just("x"), Just("y"), Just("z"), Just("a")];
    prop::collection::btree_map(names.prop_map(str::to_owned), node, 0..4)
        .prop_map(|entries: BTreeMap<String, Node>| Root { entries, properties: None })
}

/// The second and the third lie on top of the first, whatever was removed, replaced or turned into something else.
#[test]
fn trees_put_on_top_of_others_look_like_trees_made_in_full() {
    let scene = Scene::new();
    // Enough that stays, so that the difference is always small.
    let stable = (0..400).fold(Root::default(), |root, number| root.file(&format!("stable/{number}"), "x"));
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    runner
        .run(&(trees(), trees(), trees()), |(one, two, three)| {
            for changing in [one, two, three] {
                let root = stable.clone().node("changing", Node::Directory(changing));
                check(&scene, &root);
            }
            Ok(())
        })
        .unwrap();
    let [_, differences, full] = uses(&scene);
    assert!(full <= 2 && differences > 50, "{:?}", uses(&scene));
    scene.check_blobs();
}

#[test]
fn a_warm_tree_is_used_again_and_a_changed_one_costs_its_difference() {
    let scene = Scene::new();
    let mut root = Root::default();
    for directory in 0..20 {
        for file in 0..20 {
            root = root.file(&format!("{directory}/{file}"), &format!("{directory}/{file}"));
        }
    }
    check(&scene, &root);
    check(&scene, &root);
    assert_eq!(uses(&scene), [1, 0, 1]);
    // The root, 20 directories and 400 files, of which the second action found all.
    assert_eq!(scene.files.input_entries(), InputEntries { total: 842, made: 421 });
    let before = count_inodes(&scene.store.trees_directory());
    for change in 0..3 {
        check(&scene, &root.clone().file("7/7", &format!("changed {change}")));
    }
    assert_eq!(uses(&scene), [1, 3, 1]);
    // A root, a directory and a file each.
    assert_eq!(count_inodes(&scene.store.trees_directory()) - before, 9);
    assert_eq!(scene.files.input_entries().made - 421, 9);
    // A handful is copied each time.
    check(&scene, &Root::of(&[("few", "x")]));
    check(&scene, &Root::of(&[("few", "x")]));
    assert_eq!(scene.files.input_entries().made - 421, 9 + 2 * 2);
    // One that has nothing in common is made in full.
    check(&scene, &Root::of(&[("other", "x")]).large());
    assert_eq!(uses(&scene), [1, 3, 2]);
    assert_eq!(scene.files.tree_uses()[1].0, TreeUse::Difference);
}

fn count_inodes(path: &Path) -> usize {
    let entries = fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| 1 + if entry.file_type().unwrap().is_dir() { count_inodes(&entry.path()) } else { 0 })
        .sum()
}

#[test]
fn actions_that_share_a_tree_do_not_see_each_other() {
    let scene = Scene::new();
    let root = Root::of(&[("shared", "0")]).large();
    let digest = scene.upload(&root);
    scope("actions side by side", |scope| {
        for number in 0..4 {
            let (scene, digest) = (&scene, digest);
            scope.spawn(move || {
                for _ in 0..5 {
                    let script = format!(
                        "test $(cat shared) = 0; rm shared; echo {number} > shared; cat shared; rm -r filling"
                    );
                    let executed = scene.execute(&scene.work(digest, sh(&script, &["shared"]))).unwrap();
                    assert_eq!(scene.stdout(&executed), format!("{number}\n"));
                }
            });
        }
    });
    let [warm, _, full] = uses(&scene);
    assert_eq!((warm, full), (19, 1));
    check(&scene, &root);
}

#[test]
fn trees_beyond_the_limits_go_and_those_of_use_stay() {
    let scene = Scene::with(SandboxMode::Required, TreeLimits { entries: 200, bytes: u64::MAX });
    for number in 0..20 {
        check(&scene, &Root::of(&[(&format!("{number}/a"), "x")]).large());
    }
    let roots = count_entries(&scene.store.trees_directory());
    assert!(roots <= 20, "{roots}");
    let directory = scene.store.trees_directory();
    wait_until("old trees to be removed", || count_inodes(&directory) <= 300);
    scene.check_blobs();
}

#[test]
fn a_tree_that_somebody_has_damaged_is_made_again() {
    let scene = Scene::new();
    let root = Root::of(&[("a", "x"), ("b", "y")]).large();
    check(&scene, &root);
    let home = fs_err::read_dir(scene.store.trees_directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let tree = fs_err::read_dir(home).unwrap().next().unwrap().unwrap().path();
    fs_err::remove_file(tree.join("a")).unwrap();
    check(&scene, &root);
    let tree = fs_err::read_dir(tree.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    tree.for_each(|path| crosswheel::scratch::removal::remove(path).unwrap());
    check(&scene, &root);
}

/// The bytes of a tree are its own, whatever becomes of the blobs.
#[test]
fn a_warm_tree_outlives_its_blobs() {
    let scene = Scene::new();
    let root = Root::of(&[("a", "kept"), ("b", "y")]).large();
    check(&scene, &root);
    let hex = super::scene::FUNCTION.digest(b"kept").hex();
    fs_err::remove_file(scene.path().join("store/cas").join(&hex[..2]).join(&hex)).unwrap();
    let executed = scene.run_again(&root, sh("cat a", &["a"]));
    assert_eq!(scene.stdout(&executed), "kept");
    // An output that the store no longer had is put back.
    assert_eq!(scene.output(&executed, "a"), b"kept");
}

#[test]
fn files_of_trees_are_the_blobs_themselves() {
    let scene = Scene::new();
    check(&scene, &Root::of(&[("a", "linked")]).large());
    let hex = super::scene::FUNCTION.digest(b"linked").hex();
    let blob = scene.path().join("store/cas").join(&hex[..2]).join(&hex);
    assert_eq!(fs_err::metadata(blob).unwrap().nlink(), 2);
}

/// Whoever may write to the store, an administrator with an editor, changes what actions read through links to it.
#[test]
fn an_input_that_somebody_has_written_to_is_not_what_an_action_reads() {
    let scene = Scene::new();
    let root = Root::of(&[("a", "right")]).large();
    let cat = || sh("cat a", &[]);
    assert_eq!(scene.stdout(&scene.run(&root, cat())), "right");
    let place = scene.blob_path(Some(&crate::execute::scene::FUNCTION.digest(b"right").to_message()));
    fs_err::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs_err::write(&place, "wrong").unwrap();
    // It takes a moment until that is noticed.
    wait_until("the change to be noticed", || {
        let work = scene.work(crate::execute::scene::digest_of(&root), cat());
        scene.execute(&work).is_err()
    });
    // Sending it again mends it.
    assert_eq!(scene.stdout(&scene.run(&root, cat())), "right");
}

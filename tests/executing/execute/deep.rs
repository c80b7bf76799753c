//! Input roots and outputs that are deeper than anybody has use for.

use crosswheel::execute::ExecuteError;

use super::scene::{Node, Root, Scene, sh};

/// What has been read once is not gone into again, and counts all the same.
#[test]
fn an_input_root_above_one_that_is_known_is_not_deeper_for_that() {
    let scene = Scene::new();
    let below = Root::of(&[(&format!("{}file", "d/".repeat(200)), "x")]);
    assert_eq!(scene.stdout(&scene.run(&below, sh("cat $(find . -type f)", &[]))), "x");
    let above = (0..100).fold(below, |below, _| Root::default().node("d", Node::Directory(below)));
    let refusal = scene.refusal(&above, sh("true", &[]));
    assert!(matches!(refusal, ExecuteError::Invalid { .. }), "{refusal}");
    assert!(refusal.to_string().contains("is deeper than 256 directories"), "{refusal}");
}

#[test]
fn output_directories_are_kept_as_deep_as_512_levels_and_refused_beyond() {
    let scene = Scene::new();
    let make =
        |levels: usize| format!("p=out/$(printf 'd/%.0s' $(seq {levels})); mkdir -p $p; echo x > $p/file");
    let executed = scene.run(&Root::default(), sh(&make(512), &["out"]));
    let tree = scene.output_tree(&executed, "out");
    // The root, and 512 that differ.
    assert_eq!(tree.children.len(), 512, "{}", executed.message);
    for levels in [513, 1000] {
        let root = scene.upload(&Root::default());
        let refusal = scene.execute(&scene.work(root, sh(&make(levels), &["out"]))).unwrap_err();
        assert!(refusal.to_string().contains("`out` has more than 512 levels"), "{refusal}");
    }
    let long =
        "mkdir out; cd out; for i in $(seq 20); do n=$(printf 'x%.0s' $(seq 200)); mkdir $n; cd $n; done";
    let root = scene.upload(&Root::default());
    let refusal = scene.execute(&scene.work(root, sh(long, &["out"]))).unwrap_err();
    assert!(refusal.to_string().contains("`out` has a path of"), "{refusal}");
}

/// The same files make the same bytes, in whatever order a file system tells their names.
#[test]
fn a_tree_of_directories_has_the_same_digest_however_it_came_about() {
    let scene = Scene::new();
    let names: Vec<String> = (0..40).map(|number| format!("out/{number}/{}", number % 3)).collect();
    let digests = [names.clone(), names.iter().rev().cloned().collect()].map(|names| {
        let script: Vec<String> =
            names.iter().map(|name| format!("mkdir -p {name}; echo {name} > {name}/file")).collect();
        let executed = scene.run(&Root::default(), sh(&script.join("\n"), &["out"]));
        executed.result.output_directories[0].tree_digest.clone()
    });
    assert_eq!(digests[0], digests[1]);
}

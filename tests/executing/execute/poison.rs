//! Attacks on what the steps of different clients share: each test is one, named after what it would have achieved.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crosswheel::execute::Executed;
use crosswheel::reapi::Command;
use crosswheel::reapi::command::EnvironmentVariable;

use super::own_binary::{crosswheel, sdist};
use super::scene::{Node, Root, Scene, sh};
use crate::support::visible_directory;

/// Writes to the cache that steps share, however it can be reached, and then does what an interpreter does.
const POISONER: &str = "#!/bin/sh
for place in /.crosswheel/cache /proc/[0-9]*/root/.crosswheel/cache; do
    echo poison > $place/poison
    find $place -type f -exec sh -c 'chmod u+w \"$1\"; echo poison > \"$1\"' sh {} \\;
done 2>/dev/null
exec /usr/bin/python3 \"$@\"
";

fn wheel(python: &str) -> Command {
    let python = format!("--python={python}");
    let arguments = ["wheel", "in/demo-1.0.tar.gz", "--out=build", &python, "--sandbox=required", "--json"];
    let path = EnvironmentVariable { name: "PATH".into(), value: "/usr/bin:/bin".into() };
    let mut command = crosswheel(&arguments);
    command.environment_variables.push(path);
    command.output_paths = vec!["build".into()];
    command
}

fn root() -> Root {
    let sdist = Node::File { bytes: sdist(), executable: true, properties: None };
    Root::default().node("in/demo-1.0.tar.gz", sdist)
}

fn run(scene: &Scene, instance: &str, root: &Root, command: Command) -> Executed {
    let mut work = scene.work(scene.upload(root), command);
    work.instance_name = instance.to_owned();
    scene.execute(&work).unwrap()
}

/// All files below `directory`; links are not followed.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut directories, mut files) = (vec![directory.to_owned()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

fn assert_clean(scene: &Scene) {
    for file in files(&scene.path().join("wheel-cache")) {
        assert!(!fs_err::read(&file).unwrap().starts_with(b"poison"), "{file:?}");
    }
}

/// An action learns where its input tree lies, and the next one names a program there as if it were the host's.
#[test]
fn a_program_of_a_clients_inputs_does_not_count_as_one_of_the_host() {
    let scene = Scene::visible();
    let program = Node::File { bytes: POISONER.into(), executable: true, properties: None };
    let mut inputs = root().node("bin/python3.11", program);
    for number in 0..20 {
        // More than what would be copied.
        inputs = inputs.file(&format!("more/{number}"), &number.to_string());
    }
    let spy = format!("find {} -name python3.11 2>/dev/null; echo end", scene.path().display());
    let executed = run(&scene, "attacker", &inputs, sh(&spy, &[]));
    assert_eq!(scene.stdout(&executed), "end\n");
    let trees = files(&scene.path().join("store"));
    let own: Vec<_> = trees.iter().filter(|path| path.ends_with("bin/python3.11")).collect();
    assert!(!own.is_empty(), "{trees:?}");
    for program in own {
        let by_path = wheel(program.to_str().unwrap());
        let mut by_name = wheel("python3.11");
        let bin = program.parent().unwrap().display();
        by_name.environment_variables.iter_mut().for_each(|variable| {
            if variable.name == "PATH" {
                variable.value = format!("{bin}:/usr/bin:/bin");
            }
        });
        for command in [by_path, by_name] {
            let executed = run(&scene, "attacker", &inputs, command);
            assert!(executed.message.contains("without the worker's cache"), "{}", executed.message);
            assert_clean(&scene);
        }
    }
    assert!(!scene.path().join("wheel-cache").exists());
}

/// Whatever the host has that can be made to do another's bidding.
#[test]
fn a_program_of_the_host_that_is_asked_what_it_is_cannot_write_to_the_shared_cache() {
    let scene = Scene::visible();
    let host = visible_directory();
    let program = host.path().join("python3.11");
    fs_err::write(&program, POISONER).unwrap();
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        let executed = run(&scene, "attacker", &root(), wheel(program.to_str().unwrap()));
        assert_eq!(executed.message, "", "it may use the cache: {}", scene.stderr(&executed));
        assert_eq!(executed.result.exit_code, 0, "{}", scene.stderr(&executed));
        assert!(!files(&scene.path().join("wheel-cache")).is_empty());
        assert_clean(&scene);
    }
}

/// Should one be poisoned all the same, by ways that nobody knows of.
#[test]
fn what_one_instance_keeps_is_not_used_for_another() {
    let scene = Scene::visible();
    let build = |instance: &str| {
        let executed = run(&scene, instance, &root(), wheel("/usr/bin/python3"));
        assert_eq!(executed.result.exit_code, 0, "{instance}: {}", scene.stderr(&executed));
        let tree = scene.output_tree(&executed, "build");
        tree.root.unwrap().files[0].digest.clone().unwrap()
    };
    let clean = build("attacker");
    let kept = files(&scene.path().join("wheel-cache"));
    assert!(!kept.is_empty());
    for file in kept {
        fs_err::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(&file, "poison").unwrap();
    }
    assert_eq!(build("victim"), clean);
    assert_eq!(build(""), clean);
}

//! Actions that run crosswheel itself.

use crosswheel::execute::ExecuteError;
use crosswheel::execute::own_binary::{CACHE_INSIDE, PRIVATE_CACHE_INSIDE, VERSION, VERSION_VARIABLE};
use crosswheel::reapi::Command;
use crosswheel::reapi::command::EnvironmentVariable;

use crate::scene::{Root, Scene};

fn crosswheel(version: Option<&str>, arguments: &[&str]) -> Command {
    let version =
        version.map(|version| EnvironmentVariable { name: VERSION_VARIABLE.into(), value: version.into() });
    Command {
        arguments: std::iter::once("crosswheel")
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect(),
        environment_variables: version.into_iter().collect(),
        ..Default::default()
    }
}

#[test]
fn the_program_crosswheel_is_this_very_binary() {
    for scene in [Scene::new(), Scene::plain()] {
        let executed = scene.run(&Root::default(), crosswheel(Some(VERSION), &["--version"]));
        assert_eq!(scene.stdout(&executed), format!("crosswheel {VERSION}\n"));
    }
}

#[test]
fn another_version_is_refused_and_so_is_none() {
    let scene = Scene::new();
    for version in [Some("0.0.1"), None] {
        let error = scene.refusal(&Root::default(), crosswheel(version, &["--version"]));
        let ExecuteError::Refused(problem) = &error else { panic!("{error}") };
        assert!(problem.contains(VERSION), "{problem}");
    }
}

/// It fails, as the sdist is none, and says where its cache is by what it leaves there.
#[test]
fn the_shared_cache_is_only_for_what_cannot_abuse_it() {
    let scene = Scene::new();
    let cache = scene.path().join("wheel-cache");
    let root = Root::of(&[("a-1.tar.gz", "no sdist")]);
    let wheel = |more: &[&str]| {
        let mut arguments = vec!["wheel", "a-1.tar.gz", "--out=out", "--python=/usr/bin/python3"];
        arguments.extend(more);
        crosswheel(Some(VERSION), &arguments)
    };
    let private = [
        wheel(&[]),
        wheel(&["--sandbox=off"]),
        wheel(&["--sandbox=required", "--keep-work"]),
        wheel(&["--sandbox=required", "--python=/execroot/python"]),
        wheel(&["--sandbox=required", "--cache-dir=/.crosswheel/cache"]),
        wheel(&["--sandbox=required", "--out=/.crosswheel/cache"]),
        wheel(&["--sandbox=required", "--out", "x"]),
        wheel(&["--sandbox=required", "--build-wheels=a-1.tar.gz#sha256=00"]),
    ];
    for command in private {
        let executed = scene.run(&root, command.clone());
        assert_ne!(executed.result.exit_code, 0);
        assert!(executed.message.contains("without the worker's cache"), "{command:?}: {}", executed.message);
        assert!(!cache.exists(), "{command:?}");
    }
    let mut preloading = wheel(&["--sandbox=required"]);
    preloading
        .environment_variables
        .push(EnvironmentVariable { name: "LD_PRELOAD".into(), value: "x".into() });
    assert!(scene.run(&root, preloading).message.contains("LD_PRELOAD"));
    let linked = root.clone().symlink("out", "/.crosswheel/cache");
    assert!(scene.run(&linked, wheel(&["--sandbox=required"])).message.contains("symlinks"));
    assert!(!cache.exists());

    let executed = scene.run(&root, wheel(&["--sandbox=required", "--json"]));
    assert_eq!(executed.message, "", "{}", scene.stderr(&executed));
    // Facts about the interpreter.
    assert!(fs_err::read_dir(&cache).unwrap().next().is_some());
    assert_ne!(CACHE_INSIDE, PRIVATE_CACHE_INSIDE);
}

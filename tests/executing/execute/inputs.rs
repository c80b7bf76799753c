//! What an action finds, and that nothing it does to it reaches a blob.

use crosswheel::execute::{EXEC_ROOT, ExecuteError};
use crosswheel::reapi::command::EnvironmentVariable;
use crosswheel::reapi::{Command, NodeProperties, protobuf};

use super::scene::{Node, Root, Scene, sh};

fn scenes() -> [Scene; 2] {
    [Scene::new(), Scene::plain()]
}

/// Small ones are copied, large ones shared.
fn roots() -> [Root; 2] {
    let small = Root::of(&[("src/a.c", "a"), ("b", "b")]);
    [small.clone(), small.large()]
}

#[test]
fn whatever_is_done_to_inputs_in_place_the_blobs_stay_as_they_are() {
    let script = "
        chmod u+w src/a.c b filling/* 2>/dev/null || chmod u+w src/a.c b
        echo rewritten > src/a.c
        echo more >> b
        if test -d filling; then
            : > filling/0
            ln filling/1 hard && echo through >> hard
            mv filling/2 moved && echo more >> moved
            chmod 777 filling/3
            touch -d 1990-01-01 filling/4
            truncate -s 1 filling/5
            python3 -c 'f = open(\"filling/6\", \"r+b\"); f.seek(2); f.write(b\"XX\")'
            rm -r filling
        fi
        cat src/a.c b";
    for scene in scenes() {
        for root in roots() {
            let executed = scene.run(&root, sh(script, &[]));
            assert_eq!(scene.stdout(&executed), "rewritten\nbmore\n");
            scene.check_blobs();
            // The next one sees nothing of it.
            let executed = scene.run(&root, sh("cat src/a.c b; stat -c %a b", &[]));
            assert_eq!(scene.stdout(&executed), "ab444\n");
        }
    }
}

#[test]
fn the_environment_is_exactly_the_commands() {
    for scene in scenes() {
        let variable =
            |name: &str, value: &str| EnvironmentVariable { name: name.into(), value: value.into() };
        let command = Command {
            arguments: vec!["/usr/bin/env".into()],
            environment_variables: vec![variable("B", "2 ü"), variable("A", "")],
            ..Default::default()
        };
        let executed = scene.run(&Root::default(), command);
        assert_eq!(scene.stdout(&executed), "A=\nB=2 ü\n");
    }
}

#[test]
fn the_exec_root_is_at_a_fixed_path_and_the_working_directory_in_it_is_made() {
    let scene = Scene::new();
    for root in roots() {
        let command = Command { working_directory: "new/below".into(), ..sh("pwd; ls ../..", &["out/x"]) };
        let executed = scene.run(&root, command);
        assert!(scene.stdout(&executed).starts_with(&format!("{EXEC_ROOT}/new/below\nb\n")));
    }
}

#[test]
fn programs_are_found_as_the_api_says() {
    let scene = Scene::new();
    let script = Node::File { bytes: b"#!/bin/sh\necho \"$0\"".to_vec(), executable: true, properties: None };
    let root = Root::default().node("bin/tool", script.clone()).node("sub/tool", script).file("plain", "x");
    let command = |program: &str, path: &str| Command {
        arguments: vec![program.into()],
        environment_variables: vec![EnvironmentVariable { name: "PATH".into(), value: path.into() }],
        working_directory: "sub".into(),
        ..Default::default()
    };
    for (program, path, expected) in [
        ("./tool", "", "./tool"),
        ("../bin/tool", "", "../bin/tool"),
        ("tool", "/nowhere:/execroot/bin", "/execroot/bin/tool"),
    ] {
        assert_eq!(scene.stdout(&scene.run(&root, command(program, path))).trim(), expected);
    }
    for (program, code, what) in [
        ("../plain", 126, "not executable"),
        ("./absent", 127, "no such program"),
        ("absent", 127, "no such program"),
    ] {
        let executed = scene.run(&root, command(program, "/usr/bin"));
        assert_eq!(executed.result.exit_code, code);
        assert!(executed.message.contains(what), "{}", executed.message);
        assert!(scene.stderr(&executed).contains(what));
    }
}

#[test]
fn modes_and_times_are_what_the_node_properties_say() {
    let properties = |mode: u32| {
        Some(NodeProperties {
            mtime: Some(protobuf::Timestamp { seconds: 1_000_000_000, nanos: 5 }),
            unix_mode: Some(protobuf::UInt32Value { value: mode }),
            properties: vec![],
        })
    };
    let file = Node::File { bytes: b"x".to_vec(), executable: false, properties: properties(0o640) };
    let directory = Root { properties: properties(0o750), ..Root::of(&[("inner", "y")]) };
    let root = Root::default().node("file", file).node("directory", Node::Directory(directory));
    let root = Root { properties: properties(0o711), ..root };
    for scene in scenes() {
        for root in [root.clone(), root.clone().large()] {
            let executed = scene.run(&root, sh("stat -c '%n %a %Y' file directory; stat -c %a .", &[]));
            assert_eq!(scene.stdout(&executed), "file 640 1000000000\ndirectory 750 1000000000\n711\n");
        }
    }
}

#[test]
fn all_missing_inputs_are_named_at_once() {
    let scene = Scene::new();
    let root = Root::of(&[("a/one", "1"), ("a/two", "2"), ("b/three", "3"), ("four", "4")]).large();
    let digest = scene.upload(&root);
    let cas = scene.path().join("store/cas");
    let remove = |bytes: &[u8]| {
        let hex = super::scene::FUNCTION.digest(bytes).hex();
        fs_err::remove_file(cas.join(&hex[..2]).join(&hex)).unwrap();
    };
    remove(b"2");
    remove(b"3");
    remove(b"4");
    let Err(ExecuteError::MissingInputs(missing)) = scene.execute(&scene.work(digest, sh("true", &[])))
    else {
        panic!("it has run");
    };
    let mut roles: Vec<&str> = missing.iter().map(|input| input.role.as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["the input file `a/two`", "the input file `b/three`", "the input file `four`"]);
}

#[test]
fn a_missing_directory_does_not_hide_what_else_is_missing() {
    let scene = Scene::new();
    let root = Root::of(&[("a/one", "1"), ("b/two", "2"), ("three", "3"), ("c/d/four", "4")]);
    let digest = scene.upload(&root);
    let a = scene.upload(&Root::of(&[("one", "1")]));
    let cas = scene.path().join("store/cas");
    for hex in [a.hex(), super::scene::FUNCTION.digest(b"3").hex(), super::scene::FUNCTION.digest(b"4").hex()]
    {
        fs_err::remove_file(cas.join(&hex[..2]).join(&hex)).unwrap();
    }
    let Err(ExecuteError::MissingInputs(missing)) = scene.execute(&scene.work(digest, sh("true", &[])))
    else {
        panic!("it has run");
    };
    let mut roles: Vec<&str> = missing.iter().map(|input| input.role.as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["the input directory `a`", "the input file `c/d/four`", "the input file `three`"]);
}

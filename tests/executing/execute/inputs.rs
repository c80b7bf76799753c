//! What an action finds, and that nothing it does to it reaches a blob.

use crosswheel::execute::{EXEC_ROOT, ExecuteError};
use crosswheel::platform::SYSTEM_PATH;
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

fn with_path(mut command: Command, path: &str) -> Command {
    command.environment_variables.push(EnvironmentVariable { name: "PATH".into(), value: path.into() });
    command
}

#[test]
fn the_environment_is_exactly_the_commands_but_for_a_path_where_it_has_none() {
    for scene in scenes() {
        let variable =
            |name: &str, value: &str| EnvironmentVariable { name: name.into(), value: value.into() };
        let command = Command {
            arguments: vec!["/usr/bin/env".into()],
            environment_variables: vec![variable("B", "2 ü"), variable("A", "")],
            ..Default::default()
        };
        for path in ["/nowhere", ""] {
            let executed = scene.run(&Root::default(), with_path(command.clone(), path));
            assert_eq!(scene.stdout(&executed), format!("A=\nB=2 ü\nPATH={path}\n"));
        }
        let executed = scene.run(&Root::default(), command);
        assert_eq!(scene.stdout(&executed), format!("A=\nB=2 ü\nPATH={SYSTEM_PATH}\n"));
    }
}

/// The API leaves it to the worker; Pants counts on it from its first action on.
#[test]
fn a_program_is_found_without_a_path_and_finds_others() {
    for scene in scenes() {
        let command = |arguments: &[&str]| Command {
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
            ..Default::default()
        };
        let executed = scene.run(&Root::default(), command(&["env", "sh", "-c", "uname; command -v sh"]));
        assert!(scene.stdout(&executed).starts_with("Linux\n/"), "{}", scene.stderr(&executed));

        let executed = scene.run(&Root::default(), command(&["no-such-program"]));
        assert_eq!(executed.result.exit_code, 127);
        let message = &executed.message;
        assert!(message.contains("has no PATH") && message.contains(SYSTEM_PATH), "{message}");
        for absent in [command(&["./no-such-program"]), with_path(command(&["no-such-program"]), "")] {
            let executed = scene.run(&Root::default(), absent);
            assert_eq!(executed.result.exit_code, 127);
            assert!(!executed.message.contains("PATH"), "{}", executed.message);
        }
    }
}

/// Bazel's own exec roots end in `_main`, and rules_py's venvs lack first-party imports where they do not.
#[test]
fn the_exec_root_is_at_a_fixed_path_that_ends_as_bazels_do() {
    assert_eq!(EXEC_ROOT, "/execroot/_main");
    let scene = Scene::new();
    for root in roots() {
        let executed = scene.run(&root, sh("pwd; ls; ls ..; ls ../..", &["out/x"]));
        assert!(scene.stdout(&executed).starts_with(&format!("{EXEC_ROOT}\nb\n")), "{executed:?}");
        let executed = scene.run(&root, sh("ls ..; ls -d ../../execroot", &[]));
        assert_eq!(scene.stdout(&executed), "_main\n../../execroot\n");
    }
    // Without namespaces at least the name is the same.
    let scene = Scene::plain();
    let executed = scene.run(&Root::of(&[("src/a.c", "a")]), sh("basename $PWD", &[]));
    assert_eq!(scene.stdout(&executed), "_main\n");
}

/// "It must be a directory which exists in the input tree."
#[test]
fn a_working_directory_that_the_input_tree_has_not_got_is_refused() {
    for scene in scenes() {
        for root in roots() {
            let root = root
                .node("empty", Node::Directory(Root::default()))
                .symlink("dangling", "nowhere")
                .symlink("loop", "loop")
                .symlink("out", "../..")
                .symlink("absolute", "/usr")
                .symlink("file", "b");
            let run = |directory: &str, outputs: &[&str]| {
                let command = Command { working_directory: directory.into(), ..sh("echo x > x", outputs) };
                scene.execute(&scene.work(scene.upload(&root), command))
            };
            for (directory, outputs, says) in [
                ("new", &["x"][..], "there is no `new`"),
                ("src/new/below", &["x", "../../out/x"], "there is no `new`"),
                ("b", &["x"], "`b` is a file"),
                ("src/a.c/below", &["x"], "`a.c` is a file"),
                ("dangling", &[], "there is no `nowhere`"),
                ("dangling/below", &["x"], "there is no `nowhere`"),
                ("loop", &[], "more than 40 links"),
                ("out", &[], "leads out"),
                ("absolute", &[], "`absolute` leads out"),
                ("absolute/bin", &[], "`absolute` leads out"),
                ("file", &["x"], "`b` is a file"),
            ] {
                let Err(ExecuteError::Invalid { field, problem }) = run(directory, outputs) else {
                    panic!("`{directory}` was taken for a working directory")
                };
                assert_eq!(field, "command.working_directory");
                assert!(problem.contains(says) && problem.contains(directory), "{problem}");
            }
            for directory in ["", ".", "src", "./src/", "empty"] {
                let executed = run(directory, &["x"]).unwrap();
                assert_eq!(scene.output(&executed, "x"), b"x\n", "{directory}");
            }
        }
    }
}

#[test]
fn a_working_directory_may_be_a_link_to_one_of_the_input_tree() {
    for scene in scenes() {
        for root in roots() {
            let root = root
                .symlink("link", "src/../src")
                .symlink("src/up", "..")
                .symlink("again", "link")
                .node("deep/er", Node::Directory(Root::default()))
                .symlink("deep/er/back", "../../src/");
            for directory in ["link", "again", "src/up/link", "deep/er/back"] {
                let command = Command { working_directory: directory.into(), ..sh("cat a.c", &[]) };
                assert_eq!(scene.stdout(&scene.run(&root, command)), "a", "{directory}");
            }
        }
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
        ("tool", "/nowhere:/execroot/_main/bin", "/execroot/_main/bin/tool"),
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

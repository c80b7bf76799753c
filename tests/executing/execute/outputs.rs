//! What comes back.

use crosswheel::digest::Digest;
use crosswheel::execute::ExecuteError;
use crosswheel::reapi::command::OutputDirectoryFormat;
use crosswheel::reapi::{Command, Directory, Tree};
use prost::Message;

use super::scene::{FUNCTION, Root, Scene, output_file, sh};

fn scenes() -> [Scene; 2] {
    [Scene::new(), Scene::plain()]
}

#[test]
fn files_come_back_with_their_bytes_and_executable_bits() {
    let script = "
        echo one > out/one
        echo two > 'out/two ü' && chmod +x 'out/two ü'
        : > out/empty
        head -c 3000000 /dev/zero > out/large
        echo one > out/twin && ln out/twin out/hard";
    for scene in scenes() {
        for root in [Root::default(), Root::default().large()] {
            let outputs =
                ["out/one", "out/two ü", "out/empty", "out/large", "out/twin", "out/hard", "filling/3"];
            let outputs = if root.entries.is_empty() { &outputs[..6] } else { &outputs[..] };
            let executed = scene.run(&root, sh(script, outputs));
            assert_eq!(executed.result.exit_code, 0, "{}", scene.stderr(&executed));
            assert_eq!(scene.output(&executed, "out/one"), b"one\n");
            assert_eq!(scene.output(&executed, "out/hard"), b"one\n");
            assert_eq!(scene.output(&executed, "out/empty"), b"");
            assert_eq!(scene.output(&executed, "out/large").len(), 3_000_000);
            assert!(output_file(&executed, "out/two ü").is_executable);
            assert!(!output_file(&executed, "out/one").is_executable);
            if outputs.len() == 7 {
                assert_eq!(scene.output(&executed, "filling/3"), b"filling 3");
            }
            assert_eq!(executed.message, "");
            scene.check_blobs();
        }
    }
}

#[test]
fn an_input_changed_in_place_comes_back_changed() {
    let scene = Scene::new();
    let root = Root::of(&[("a", "old"), ("b", "same")]).large();
    let executed = scene.run(&root, sh("chmod u+w a && echo -n new > a", &["a", "b"]));
    assert_eq!(scene.output(&executed, "a"), b"new");
    assert_eq!(scene.output(&executed, "b"), b"same");
    scene.check_blobs();
}

#[test]
fn what_was_not_made_is_simply_absent_and_the_message_says_so() {
    let scene = Scene::new();
    let executed = scene.run(&Root::default(), sh("echo x > made", &["made", "not/made"]));
    assert_eq!(executed.result.output_files.len(), 1);
    assert!(executed.message.contains("`not/made`"), "{}", executed.message);
    assert!(executed.is_cacheable());
}

fn names(directory: &Directory) -> Vec<&str> {
    let files = directory.files.iter().map(|file| file.name.as_str());
    let directories = directory.directories.iter().map(|directory| directory.name.as_str());
    files.chain(directories).chain(directory.symlinks.iter().map(|link| link.name.as_str())).collect()
}

#[test]
fn a_tree_is_sorted_and_has_each_directory_once_and_parents_first() {
    let script = "
        mkdir -p d/z/same d/a/same d/a/b d/empty
        echo 1 > d/z/same/f; echo 1 > d/a/same/f; echo 2 > d/a/b/f
        echo 3 > d/b; echo 4 > d/a.; ln -s ../nowhere d/link; ln -s /etc/passwd d/absolute";
    for scene in scenes() {
        let executed = scene.run(&Root::default().large(), sh(script, &["d"]));
        let tree = scene.output_tree(&executed, "d");
        let root = tree.root.clone().unwrap();
        assert_eq!(names(&root), ["a.", "b", "a", "empty", "z", "absolute", "link"]);
        assert_eq!(root.symlinks[0].target, "/etc/passwd");
        // a, z, empty, same, b
        assert_eq!(tree.children.len(), 5);
        let digests: Vec<Digest> =
            tree.children.iter().map(|child| FUNCTION.digest_message(child).0).collect();
        for (index, parent) in tree.children.iter().enumerate() {
            for child in &parent.directories {
                let child = Digest::from_field(FUNCTION, child.digest.as_ref()).unwrap();
                assert!(digests[index + 1..].contains(&child), "a child before its parent");
            }
        }
        let output = &executed.result.output_directories[0];
        assert!(output.is_topologically_sorted);
        assert_eq!(Tree::decode(&tree.encode_to_vec()[..]).unwrap(), tree);
    }
}

#[test]
fn the_formats_of_output_directories_are_those_asked_for() {
    let scene = Scene::new();
    for (format, tree, directories) in [
        (OutputDirectoryFormat::TreeOnly, true, false),
        (OutputDirectoryFormat::DirectoryOnly, false, true),
        (OutputDirectoryFormat::TreeAndDirectory, true, true),
    ] {
        let script = format!("mkdir -p d/sub; echo {format:?} > d/sub/f");
        let command = Command { output_directory_format: format as i32, ..sh(&script, &["d"]) };
        let executed = scene.run(&Root::default(), command);
        let output = &executed.result.output_directories[0];
        assert_eq!(output.tree_digest.is_some(), tree);
        // A digest of directories that are not in the store would make the result look incomplete.
        assert_eq!(output.root_directory_digest.is_some(), directories);
        if directories {
            let root = Directory::decode(&scene.blob(output.root_directory_digest.as_ref())[..]).unwrap();
            let sub = Directory::decode(&scene.blob(root.directories[0].digest.as_ref())[..]).unwrap();
            assert_eq!(names(&sub), ["f"]);
        }
    }
}

#[test]
fn the_whole_working_directory_can_be_an_output() {
    for scene in scenes() {
        for root in [Root::of(&[("w/in", "in")]), Root::of(&[("w/in", "in")]).large()] {
            for name in ["", "."] {
                let command = Command { working_directory: "w".into(), ..sh("echo out > out", &[name]) };
                let executed = scene.run(&root, command);
                assert_eq!(names(scene.output_tree(&executed, name).root.as_ref().unwrap()), ["in", "out"]);
            }
        }
    }
}

/// As recc asks for `cc -c a.c -o ../obj/a.o`.
#[test]
fn an_output_beside_the_working_directory_comes_back_under_the_name_asked_for() {
    let script =
        "cp a.c ../obj/a.o; ln -s a.o ../obj/link; mkdir ../tree/of; echo x > ../tree/of/x; echo y > y";
    let outputs = ["../obj/a.o", "../obj/link", "../tree", "nowhere/../y"];
    for scene in scenes() {
        for root in [Root::of(&[("src/a.c", "int")]), Root::of(&[("src/a.c", "int")]).large()] {
            // The parent directories of outputs are there already.
            let script = format!("test -d ../obj; mkdir -p ../tree; {script}");
            let command = Command { working_directory: "src".into(), ..sh(&script, &outputs) };
            let executed = scene.run(&root, command);
            assert_eq!(executed.result.exit_code, 0, "{}", scene.stderr(&executed));
            assert_eq!(scene.output(&executed, "../obj/a.o"), b"int");
            assert_eq!(scene.output(&executed, "nowhere/../y"), b"y\n");
            let link = &executed.result.output_symlinks[0];
            assert_eq!((&link.path[..], &link.target[..]), ("../obj/link", "a.o"));
            assert_eq!(names(scene.output_tree(&executed, "../tree").root.as_ref().unwrap()), ["of"]);
            assert_eq!(executed.message, "");
        }
    }
}

#[test]
#[allow(deprecated)]
fn the_older_fields_may_name_what_is_beside_the_working_directory_too() {
    let scene = Scene::new();
    let command = Command {
        working_directory: "src".into(),
        output_files: vec!["../obj/f".into()],
        output_directories: vec!["../d".into()],
        ..sh("echo f > ../obj/f; mkdir -p ../d/e", &[])
    };
    let executed = scene.run(&Root::of(&[("src/in", "")]), command);
    assert_eq!(scene.output(&executed, "../obj/f"), b"f\n");
    assert_eq!(names(scene.output_tree(&executed, "../d").root.as_ref().unwrap()), ["e"]);
}

#[test]
fn an_output_may_lie_in_another() {
    for scene in scenes() {
        for root in [Root::default(), Root::default().large()] {
            let executed = scene.run(&root, sh("mkdir -p d; date +%N > d/f", &["d", "d/f", "./d/../d/f"]));
            let tree = scene.output_tree(&executed, "d").root.unwrap();
            assert_eq!(tree.files[0].digest, output_file(&executed, "d/f").digest);
            let script = "rmdir link; mkdir d; date +%N > d/f; ln -s d link";
            let executed = scene.run(&root, sh(script, &["d", "link/f"]));
            let tree = scene.output_tree(&executed, "d").root.unwrap();
            assert_eq!(tree.files[0].digest, output_file(&executed, "link/f").digest);
            scene.check_blobs();
        }
    }
}

#[test]
fn a_declared_tree_that_is_there_as_an_empty_directory_is_filled() {
    let scene = Scene::new();
    let root = Root::default().node("out/build", super::scene::Node::Directory(Root::default())).large();
    let executed = scene.run(&root, sh("echo x > out/build/x", &["out/build"]));
    assert_eq!(names(scene.output_tree(&executed, "out/build").root.as_ref().unwrap()), ["x"]);
}

#[test]
#[allow(deprecated)]
fn the_older_fields_are_answered_in_kind() {
    let scene = Scene::new();
    let command = Command {
        output_files: vec!["f".into(), "link".into()],
        output_directories: vec!["d".into(), "dirlink".into()],
        ..sh("echo f > f; ln -s f link; mkdir d; ln -s d dirlink", &[])
    };
    let result = scene.run(&Root::default(), command).result;
    assert_eq!(result.output_files.len(), 1);
    assert_eq!(result.output_directories.len(), 1);
    assert_eq!(result.output_file_symlinks[0].path, "link");
    assert_eq!(result.output_directory_symlinks[0].target, "d");
    assert_eq!(result.output_symlinks.len(), 0);

    let new = scene.run(&Root::default(), sh("echo f > f; ln -s f link; ln -s gone gone", &["link", "gone"]));
    assert_eq!(new.result.output_symlinks.len(), 2);
    assert_eq!(new.result.output_file_symlinks.len(), 0);

    let wrong = Command { output_files: vec!["d".into()], ..sh("mkdir d", &[]) };
    assert!(matches!(scene.refusal(&Root::default(), wrong), ExecuteError::Refused(_)));
}

#[test]
fn node_properties_come_back_when_asked_for() {
    let scene = Scene::new();
    let command = Command {
        output_node_properties: vec!["mtime".into(), "unix_mode".into()],
        ..sh("echo x > f; chmod 751 f; touch -d @1000000000 f", &["f"])
    };
    let executed = scene.run(&Root::default(), command);
    let properties = output_file(&executed, "f").node_properties.clone().unwrap();
    assert_eq!(properties.mtime.unwrap().seconds, 1_000_000_000);
    assert_eq!(properties.unix_mode.unwrap().value, 0o751);
}

#[test]
fn what_cannot_be_kept_is_named() {
    let scene = Scene::new();
    for (script, what) in [
        ("mkfifo out", "a named pipe"),
        ("mkdir out; mkfifo out/pipe", "out/pipe"),
        ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'", "a socket"),
        ("mkdir out; touch \"out/$(printf '\\377')\"", "not UTF-8"),
    ] {
        let ExecuteError::Refused(problem) = scene.refusal(&Root::default(), sh(script, &["out"])) else {
            panic!("{script}")
        };
        assert!(problem.contains(what), "{problem}");
        // A command that has failed has other troubles.
        let failed = scene.run(&Root::default(), sh(&format!("{script}; exit 3"), &["out"]));
        assert_eq!(failed.result.exit_code, 3);
        assert!(failed.message.contains(what), "{}", failed.message);
    }
}

#[test]
fn small_logs_are_in_the_result_and_large_ones_in_the_store() {
    let scene = Scene::new();
    let script = "echo out; echo err >&2";
    let executed = scene.run(&Root::default(), sh(script, &[]));
    assert_eq!(executed.result.stdout_raw, b"out\n");
    assert_eq!(executed.result.stderr_raw, b"err\n");
    assert_eq!(scene.stdout(&executed), "out\n");

    let executed =
        scene.run(&Root::default(), sh("head -c 100000000 /dev/zero; head -c 20000 /dev/zero >&2", &[]));
    assert_eq!(executed.result.stdout_digest.as_ref().unwrap().size_bytes, 100_000_000);
    assert!(executed.result.stdout_raw.is_empty() && executed.result.stderr_raw.is_empty());
    assert_eq!(scene.log(executed.result.stdout_digest.as_ref()).len(), 100_000_000);
    assert_eq!(scene.log(executed.result.stderr_digest.as_ref()).len(), 20_000);
}

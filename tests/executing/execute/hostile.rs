//! Directories and outputs that are made to do harm.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crosswheel::cancellation::Cancellation;
use crosswheel::digest::Digest;
use crosswheel::execute::{ExecuteError, Moment, Observer, OutputStream, Stage};
use crosswheel::reapi::{Command, Directory, DirectoryNode, FileNode, SymlinkNode};
use fs_err::File;
use parking_lot::Mutex;

use super::scene::{FUNCTION, Root, Scene, output_file, sh};

fn file(name: &str, digest: Digest) -> FileNode {
    FileNode { name: name.into(), digest: Some(digest.to_message()), ..Default::default() }
}

fn refused(scene: &Scene, directory: &Directory) {
    for nested in [false, true] {
        let mut root = scene.put_message(directory);
        if nested {
            let node = DirectoryNode { name: "d".into(), digest: Some(root.to_message()) };
            root = scene.put_message(&Directory { directories: vec![node], ..Default::default() });
        }
        let error = scene.execute(&scene.work(root, sh("true", &[]))).unwrap_err();
        let ExecuteError::Invalid { field, .. } = &error else { panic!("{error} for {directory:?}") };
        assert!(field.starts_with("action.input_root_digest"), "{error}");
    }
}

#[test]
fn names_that_are_none_are_refused_and_nothing_is_written_outside() {
    let scene = Scene::new();
    let blob = scene.put(b"evil");
    let long = "x".repeat(300);
    for name in ["..", ".", "", "a/b", "../../escaped", "/tmp/escaped", "a\0b", &long] {
        refused(&scene, &Directory { files: vec![file(name, blob)], ..Default::default() });
        let link = SymlinkNode { name: name.into(), target: "x".into(), node_properties: None };
        refused(&scene, &Directory { symlinks: vec![link], ..Default::default() });
        let empty = scene.put_message(&Directory::default());
        let directory = DirectoryNode { name: name.into(), digest: Some(empty.to_message()) };
        refused(&scene, &Directory { directories: vec![directory], ..Default::default() });
    }
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let scene = Scene::new();
    let blob = scene.put(b"x");
    let link = SymlinkNode { name: "a".into(), target: "x".into(), node_properties: None };
    refused(&scene, &Directory { files: vec![file("a", blob), file("a", blob)], ..Default::default() });
    refused(&scene, &Directory { files: vec![file("a", blob)], symlinks: vec![link], ..Default::default() });
}

#[test]
fn bytes_that_are_no_directory_and_digests_that_are_none_are_refused() {
    let scene = Scene::new();
    let garbage = scene.put(b"\xff\xff\xff not a message");
    let error = scene.execute(&scene.work(garbage, sh("true", &[]))).unwrap_err();
    assert!(matches!(error, ExecuteError::Invalid { .. }), "{error}");
    let broken = crosswheel::reapi::Digest { hash: "../../etc".into(), size_bytes: 1 };
    let node = FileNode { name: "a".into(), digest: Some(broken), ..Default::default() };
    refused(&scene, &Directory { files: vec![node], ..Default::default() });
}

#[test]
fn order_does_not_matter() {
    let scene = Scene::new();
    let (a, b) = (scene.put(b"a"), scene.put(b"b"));
    let root =
        scene.put_message(&Directory { files: vec![file("b", b), file("a", a)], ..Default::default() });
    let executed = scene.execute(&scene.work(root, sh("cat a b", &[]))).unwrap();
    assert_eq!(scene.stdout(&executed), "ab");
}

/// Two to the power of 40 directories in 40 messages.
#[test]
fn a_tree_that_explodes_is_refused_before_it_does() {
    let scene = Scene::new();
    let mut digest =
        scene.put_message(&Directory { files: vec![file("f", scene.put(b"x"))], ..Default::default() });
    for _ in 0..40 {
        let child = |name: &str| DirectoryNode { name: name.into(), digest: Some(digest.to_message()) };
        let directory = Directory { directories: vec![child("a"), child("b")], ..Default::default() };
        digest = scene.put_message(&directory);
    }
    let error = scene.execute(&scene.work(digest, sh("true", &[]))).unwrap_err();
    assert!(matches!(error, ExecuteError::Invalid { .. }), "{error}");
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let scene = Scene::new();
    let mut digest = scene.put_message(&Directory::default());
    for _ in 0..2000 {
        let child = DirectoryNode { name: "d".into(), digest: Some(digest.to_message()) };
        digest = scene.put_message(&Directory { directories: vec![child], ..Default::default() });
    }
    let error = scene.execute(&scene.work(digest, sh("true", &[]))).unwrap_err();
    assert!(matches!(error, ExecuteError::Invalid { .. }), "{error}");
}

#[test]
fn paths_of_the_command_that_lead_out_are_refused() {
    let scene = Scene::new();
    for path in ["../x", "/etc", "a/../../x", "a\0"] {
        let output = scene.refusal(&Root::default(), sh("true", &[path]));
        assert!(matches!(output, ExecuteError::Invalid { .. }), "{output}");
        let directory = Command { working_directory: path.into(), ..sh("true", &[]) };
        let directory = scene.refusal(&Root::default(), directory);
        assert!(matches!(directory, ExecuteError::Invalid { .. }), "{directory}");
    }
    let climbing = Command { working_directory: "a/b".into(), ..sh("true", &["../../x", "../../../x"]) };
    let ExecuteError::Invalid { field, problem } = scene.refusal(&Root::of(&[("a/b/in", "")]), climbing)
    else {
        panic!("not a refusal of the command")
    };
    assert_eq!(field, "command.output_paths[1]");
    assert!(problem.contains("leads out of the input root"), "{problem}");
}

#[test]
fn an_output_below_an_input_file_is_refused() {
    let scene = Scene::new();
    for root in [Root::of(&[("a", "x")]), Root::of(&[("a", "x")]).large()] {
        let error = scene.refusal(&root, sh("true", &["a/b/c"]));
        assert!(
            matches!(&error, ExecuteError::Invalid { field, .. } if field == "command.output_paths[0]"),
            "{error}"
        );
    }
}

/// A file that only root can read, and one outside of what the action may see.
#[test]
fn output_symlinks_are_reported_and_never_followed() {
    for scene in [Scene::new(), Scene::plain()] {
        let secret = scene.path().join("secret");
        fs_err::write(&secret, "secret bytes").unwrap();
        let secret_text = secret.display();
        let script = format!(
            "ln -s /etc/passwd absolute; ln -s ../../../../../../../../etc/passwd relative; ln -s {secret_text} host
            mkdir d; ln -s {secret_text} d/host; ln -s / d/root"
        );
        for root in [Root::default(), Root::default().large()] {
            let executed = scene.run(&root, sh(&script, &["absolute", "relative", "host", "d"]));
            let links = &executed.result.output_symlinks;
            assert_eq!(links.len(), 3, "{executed:?}");
            assert_eq!(links[0].target, "/etc/passwd");
            assert!(executed.result.output_files.is_empty());
            let tree = scene.output_tree(&executed, "d");
            assert_eq!(tree.root.unwrap().symlinks.len(), 2);
        }
        use crosswheel::cas::BlobStore;
        let passwd = fs_err::read("/etc/passwd").unwrap();
        for bytes in [&passwd[..], b"secret bytes"] {
            assert!(scene.store.read(&FUNCTION.digest(bytes)).is_err());
        }
    }
}

#[test]
fn an_output_behind_a_symlink_that_leads_out_is_refused_and_one_inside_is_followed() {
    for scene in [Scene::new(), Scene::plain()] {
        for root in [Root::default(), Root::default().large()] {
            let outside = sh("rmdir out; ln -s /etc out", &["out/passwd"]);
            let error = scene.refusal(&root, outside);
            assert!(matches!(error, ExecuteError::Refused(_)), "{error}");
            let inside = sh("rmdir out; mkdir real; echo x > real/f; ln -s real out", &["out/f"]);
            let executed = scene.run(&root, inside);
            assert_eq!(scene.output(&executed, "out/f"), b"x\n");
        }
    }
}

#[test]
fn an_input_symlink_is_kept_wherever_it_leads() {
    let scene = Scene::new();
    let secret = scene.path().join("secret");
    fs_err::write(&secret, "secret bytes").unwrap();
    let root =
        Root::of(&[("a", "x")]).symlink("out", secret.to_str().unwrap()).symlink("dangling", "nowhere");
    for root in [root.clone(), root.large()] {
        let executed =
            scene.run(&root, sh("readlink out dangling; echo more > out || true", &["out", "dangling"]));
        assert_eq!(scene.stdout(&executed), format!("{}\nnowhere\n", secret.display()));
        assert_eq!(fs_err::read_to_string(&secret).unwrap(), "secret bytes");
        assert!(executed.result.output_files.is_empty());
        assert_eq!(executed.result.output_symlinks.len(), 2);
    }
}

/// What has a second name could be written to through it.
#[test]
fn an_output_with_a_second_name_is_copied_into_the_store() {
    let scene = Scene::plain();
    let outside = scene.path().join("outside");
    let script = format!("echo good > out; ln out {}", outside.display());
    let executed = scene.run(&Root::default(), sh(&script, &["out"]));
    fs_err::write(&outside, "evil").unwrap();
    assert_eq!(scene.output(&executed, "out"), b"good\n");
    scene.check_blobs();
}

/// A file may have been given away, open, through a socket of the host's network, or be known to the whole host.
#[test]
fn only_outputs_that_nobody_else_can_have_open_become_blobs_themselves() {
    for (scene, adopted) in [(Scene::new(), true), (Scene::with_network(), false), (Scene::plain(), false)] {
        for root in [Root::default(), Root::default().large()] {
            let executed = scene.run(&root, sh("date +%N > out; stat -c %i out", &["out"]));
            let made: u64 = scene.stdout(&executed).trim().parse().unwrap();
            let digest = output_file(&executed, "out").digest.as_ref();
            let kept = fs_err::metadata(scene.blob_path(digest)).unwrap().ino();
            assert_eq!(made == kept, adopted, "{made} became {kept}");
            scene.check_blobs();
        }
    }
}

/// Opens `out` for writing in the directory that the command has written the name of.
struct Opener {
    held: Mutex<Option<File>>,
    go_on: PathBuf,
}

impl Observer for Opener {
    fn stage(&self, _: Stage, _: Moment) {}

    fn output(&self, _: OutputStream, bytes: &[u8]) {
        let directory = Path::new(std::str::from_utf8(bytes).unwrap().trim());
        let file = File::options().write(true).open(directory.join("out")).unwrap();
        *self.held.lock() = Some(file);
        fs_err::write(&self.go_on, "").unwrap();
    }
}

#[test]
fn whoever_still_has_an_output_open_does_not_change_the_blob() {
    let scene = Scene::plain();
    let go_on = scene.path().join("go-on");
    let script = format!("echo good > out; pwd; while ! test -e {}; do sleep 0.01; done", go_on.display());
    let work = scene.work(scene.upload(&Root::default()), sh(&script, &["out"]));
    let watcher = Opener { held: Mutex::default(), go_on };
    let executed = scene.execute_watched(&work, &watcher, &Cancellation::default()).unwrap();
    let mut held = watcher.held.into_inner().unwrap();
    held.write_all(b"evil").unwrap();
    assert_eq!(scene.output(&executed, "out"), b"good\n");
    scene.check_blobs();
}

#[test]
fn an_output_that_nobody_may_read_is_read_all_the_same() {
    let scene = Scene::new();
    let executed = scene.run(&Root::default().large(), sh("echo x > out; chmod 0 out", &["out"]));
    assert_eq!(scene.output(&executed, "out"), b"x\n");
}

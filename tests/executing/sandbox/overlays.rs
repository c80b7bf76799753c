//! Trees that a command may change without a change to what they are made of.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crosswheel::sandbox::{Bind, Outcome, Overlay, ProcessTree, RootFileSystem, SandboxError};
use tempfile::TempDir;

use super::roots::foreign_root;
use super::running::{again_as_nobody, end_of, full, plain, sh};

/// Host directories for an overlay, each lower one with a file of its own name and one that all have.
pub struct Layers {
    directory: TempDir,
    lower: Vec<PathBuf>,
}

impl Layers {
    pub fn new(names: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["upper", "work"] {
            fs_err::create_dir(directory.path().join(name)).unwrap();
        }
        let lower: Vec<PathBuf> = names.iter().map(|name| directory.path().join(name)).collect();
        for (layer, name) in lower.iter().zip(names) {
            fs_err::create_dir(layer).unwrap();
            fs_err::write(layer.join("name"), name).unwrap();
            fs_err::write(layer.join(format!("only-{name}")), name).unwrap();
        }
        Self { directory, lower }
    }

    pub fn lower(&self, index: usize) -> &Path {
        &self.lower[index]
    }

    pub fn overlay(&self, inside: &str) -> Overlay {
        Overlay {
            lower: self.lower.clone(),
            upper: self.directory.path().join("upper"),
            work: self.directory.path().join("work"),
            inside: inside.into(),
        }
    }
}

/// Where the merged tree of the `index`th overlay can be read.
pub fn merged(tree: &ProcessTree, index: usize) -> PathBuf {
    format!("/proc/self/fd/{}", tree.overlay_directories()[index].as_raw_fd()).into()
}

#[test]
fn what_a_command_does_to_an_overlay_is_seen_through_the_descriptor_and_nowhere_else() {
    let layers = Layers::new(&["a"]);
    let script = "echo more >> name && echo new > new && cat name && pwd";
    let mut running = sh(script)
        .with(|spec| {
            spec.overlays.push(layers.overlay("/crosswheel/root"));
            spec.working_directory = "/crosswheel/root".into();
        })
        .start(&full())
        .unwrap();
    assert_eq!(running.line(), "amore");
    assert_eq!(running.line(), "/crosswheel/root");
    let mut tree = running.tree;
    tree.wait_for_end(None).unwrap();
    let merged = merged(&tree, 0);
    assert_eq!(fs_err::read_to_string(merged.join("name")).unwrap(), "amore\n");
    assert_eq!(fs_err::read_to_string(merged.join("new")).unwrap(), "new\n");
    assert_eq!(fs_err::read_to_string(layers.lower(0).join("name")).unwrap(), "a");
    assert!(!layers.lower(0).join("new").exists());
}

/// All that `tree` holds: for each path its kind, mode, time of change, and content or target.
fn listing(tree: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                directories.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                fs_err::read_link(&path).unwrap().display().to_string()
            } else {
                fs_err::read_to_string(&path).unwrap()
            };
            let place = path.strip_prefix(tree).unwrap().display();
            let (mode, time, links) = (metadata.mode(), metadata.mtime_nsec(), metadata.nlink());
            found.push(format!("{place} {mode:o} {time} {links} {content}"));
        }
    }
    found.sort();
    found
}

/// What has been seen elsewhere to change blobs that others read: rewriting, appending, truncating, changing modes and
/// times, linking; and everything else one can do to a file.
#[test]
fn nothing_a_command_does_changes_a_lower_tree() {
    let layers = Layers::new(&["a", "b"]);
    let lower = layers.lower(0);
    for name in ["rewritten", "appended", "truncated", "mode", "time", "linked", "deleted", "moved"] {
        fs_err::write(lower.join(name), "text").unwrap();
        fs_err::set_permissions(lower.join(name), PermissionsExt::from_mode(0o444)).unwrap();
    }
    for name in ["tree", "tree/below", "emptied", "renamed"] {
        fs_err::create_dir(lower.join(name)).unwrap();
        fs_err::write(lower.join(name).join("file"), "text").unwrap();
    }
    symlink("rewritten", lower.join("link")).unwrap();
    let before = [0, 1].map(|layer| listing(layers.lower(layer)));
    let script = "
        find . -type f -exec chmod 644 {} + && echo new > rewritten && echo more >> appended && : > truncated
        chmod 4755 mode && touch -d 2001-01-01 time && ln linked second && echo more >> second
        rm deleted only-b && mv moved elsewhere && ln -sf appended link
        rm -r tree && mkdir tree && echo new > tree/only
        rm emptied/file && mv renamed other
        find . | sort | tr '\\n' ' '";
    let (exit, output) = sh(script)
        .with(|spec| {
            spec.overlays.push(layers.overlay("/crosswheel/root"));
            spec.working_directory = "/crosswheel/root".into();
        })
        .run(&full());
    let expected = ". ./appended ./elsewhere ./emptied ./link ./linked ./mode ./name ./only-a ./other ./other/file \
                    ./rewritten ./second ./time ./tree ./tree/only ./truncated ";
    assert_eq!(output, expected);
    assert_eq!(exit.outcome, Outcome::Code(0));
    assert_eq!([0, 1].map(|layer| listing(layers.lower(layer))), before);
    again_as_nobody();
}

/// The marks of what was deleted or replaced are for the kernel; an executor that uploads outputs must not see them.
#[test]
fn what_was_deleted_or_replaced_is_so_through_the_descriptor_when_all_mounts_are_gone() {
    let layers = Layers::new(&["a", "b"]);
    for (layer, name) in [(0, "deleted"), (1, "deleted"), (0, "replaced"), (1, "replaced"), (1, "kept")] {
        fs_err::create_dir(layers.lower(layer).join(name)).unwrap();
        fs_err::write(layers.lower(layer).join(name).join(format!("file-{layer}")), "text").unwrap();
    }
    let mut running = sh("rm -r deleted replaced only-b && mkdir replaced && echo new > replaced/new")
        .with(|spec| {
            spec.overlays.push(layers.overlay("/crosswheel"));
            spec.working_directory = "/crosswheel".into();
        })
        .start(&full())
        .unwrap();
    let directories = running.tree.take_overlay_directories();
    assert_eq!(end_of(running.tree).unwrap().outcome, Outcome::Code(0));
    let merged = PathBuf::from(format!("/proc/self/fd/{}", directories[0].as_raw_fd()));
    let found: Vec<String> =
        listing(&merged).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(found, ["kept", "kept/file-1", "name", "only-a", "replaced", "replaced/new"]);
    again_as_nobody();
}

#[test]
fn an_overlay_in_a_foreign_root_can_hold_another_and_binds() {
    let root = foreign_root();
    let (outer, inner) = (Layers::new(&["outer"]), Layers::new(&["inner"]));
    let output = sh("cat name deep/er/name; echo x > deep/er/new; cat file/inside")
        .with(|spec| {
            spec.root = RootFileSystem::Directory(root.path().into());
            spec.overlays = vec![outer.overlay("/work"), inner.overlay("/work/deep/er")];
            let host = inner.lower(0).join("name");
            spec.binds.push(Bind { host, inside: "/work/file/inside".into(), writable: false });
            spec.working_directory = "/work".into();
        })
        .output(&full());
    assert_eq!(output, "outerinnerinner");
    assert!(inner.overlay("/").upper.join("new").exists());
    again_as_nobody();
}

#[test]
fn the_topmost_of_sixty_layers_with_strange_names_wins() {
    let strange: Vec<String> = (0..60).map(|number| format!(r"a:b,c\d {number}")).collect();
    let names: Vec<&str> = strange.iter().map(String::as_str).collect();
    let layers = Layers::new(&names);
    let output = sh("cat name && ls | wc -l")
        .with(|spec| {
            spec.overlays.push(layers.overlay("/crosswheel"));
            spec.working_directory = "/crosswheel".into();
        })
        .output(&full());
    assert_eq!(output, format!("{}61\n", names[0]));
}

#[test]
fn a_layer_that_is_missing_is_named() {
    let layers = Layers::new(&["a"]);
    let mut overlay = layers.overlay("/crosswheel");
    overlay.lower.push("/no/such/layer".into());
    let error = sh("true").with(|spec| spec.overlays.push(overlay)).start(&full()).err().unwrap();
    assert!(
        matches!(&error, SandboxError::SetUp(failure) if failure.to_string().contains("/no/such/layer")),
        "{error}"
    );
}

#[test]
fn without_namespaces_there_are_no_overlays() {
    let layers = Layers::new(&["a"]);
    assert!(!plain().isolation().overlays);
    assert!(full().isolation().overlays);
    let error =
        sh("true").with(|spec| spec.overlays.push(layers.overlay("/x"))).start(&plain()).err().unwrap();
    assert!(matches!(error, SandboxError::NoNamespaces { .. }), "{error}");
}

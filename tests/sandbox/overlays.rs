//! Trees that a command may change without a change to what they are made of.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crosswheel::sandbox::{Overlay, ProcessTree, SandboxError};
use tempfile::TempDir;

use crate::running::{full, plain, sh};

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
    assert!(matches!(&error, SandboxError::SetUp { step, .. } if step.contains("/no/such/layer")), "{error}");
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

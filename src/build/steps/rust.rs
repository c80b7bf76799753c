//! What an sdist with a Rust extension needs besides wheels: a toolchain, and the crates of its
//! Cargo.lock, fetched here because the build has no network.
//! Knows nothing of wheels, nor of how the step makes cargo use the crates.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pep508_rs::{Requirement, VerbatimUrl};
use serde::{Deserialize, Serialize};

use super::rust_inputs::RustInputs;
use super::step_action::blob_digest;
use crate::archive::unpack;
use crate::build::builder::Builder;
use crate::build::cache::KeyBuilder;
use crate::build::customisation::Customisation;
use crate::build::inputs::sdists::Sdist;
use crate::build::progress::Task;
use crate::client::{ClientError, InputRoot};
use crate::contract::{ArchiveLimits, Failure, FailureClass};
use crate::digest::Sha256;
use crate::step::source::patch::apply_patch;

/// Build requirements that compile Rust.
const COMPILES_RUST: [&str; 2] = ["maturin", "setuptools-rust"];

/// Directories in which no Cargo.toml of the project is looked for.
const DEEPEST_MANIFEST: usize = 6;

/// A file of the crates, as the cache has it.
#[derive(Serialize, Deserialize)]
struct CrateFile {
    path: String,
    sha256: Sha256,
    size_bytes: u64,
    executable: bool,
}

impl Builder {
    /// What building `sdist` with `requirements` needs of Rust; nothing if it does not compile any, or
    /// if there is no Rust here (then the backend says that it misses it).
    pub(crate) fn rust_inputs(
        &self,
        sdist: &Sdist,
        requirements: &[Requirement<VerbatimUrl>],
        customisation: &Customisation,
        task: &Task,
    ) -> Result<Option<RustInputs>, Failure> {
        if !compile_rust(requirements) {
            return Ok(None);
        }
        let Some((toolchain, version)) = self.toolchain()? else { return Ok(None) };
        let crates = self.crates(sdist, customisation, &toolchain, task)?;
        Ok(Some(RustInputs { toolchain, version, crates }))
    }

    /// What making an sdist of the source tree in `directory` with `requirements` needs of Rust. Crates come along if there
    /// is a Cargo.lock that names them: without one, cargo would write one, and nothing is written there.
    pub(crate) fn rust_inputs_of_tree(
        &self,
        directory: &Path,
        title: &str,
        requirements: &[Requirement<VerbatimUrl>],
        task: &Task,
    ) -> Result<Option<RustInputs>, Failure> {
        if !compile_rust(requirements) {
            return Ok(None);
        }
        let Some((toolchain, version)) = self.toolchain()? else { return Ok(None) };
        let own = directory.join("Cargo.toml");
        let manifests = if own.is_file() { vec![own] } else { manifests(directory)? };
        let mut key = KeyBuilder::default().part("tree", directory.as_os_str().as_encoded_bytes());
        for manifest in &manifests {
            key = key.part("manifest", fs_err::read(manifest)?);
            let Ok(lock) = fs_err::read(manifest.with_file_name("Cargo.lock")) else {
                return Ok(Some(RustInputs { toolchain, version, crates: None }));
            };
            key = key.part("lock", lock);
        }
        let key = key.finish();
        let crates = self.run.cache.exclusively(key, || {
            let destination = self.run.cache.crates(key);
            if !destination.is_dir() && !manifests.is_empty() {
                task.stage("fetching crates");
                let made = self.run.cache.temporary_directory()?;
                let vendored = made.path().join("crates");
                self.vendor(title, &manifests, &toolchain, &vendored)?;
                self.run.cache.publish_directory(&vendored, &destination)?;
            }
            destination.is_dir().then(|| self.crate_tree(key, &destination)).transpose()
        })?;
        Ok(Some(RustInputs { toolchain, version, crates }))
    }

    /// `bin` of the default toolchain, and its version.
    fn toolchain(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let Ok(rustc) = which::which("rustc") else { return Ok(None) };
        let directory = self.run.cache.temporary_directory()?;
        let ask = |arguments: &[&str]| -> Result<Option<String>, Failure> {
            // Away from any project, whose rust-toolchain.toml is not meant for this one.
            let mut command = Command::new(&rustc);
            command.args(arguments).current_dir(directory.path()).stdin(Stdio::null());
            let finished = self.run.interrupt.run(&mut command, |_| ())?;
            let text = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
            Ok(finished.status.success().then_some(text))
        };
        let (Some(sysroot), Some(version)) = (ask(&["--print", "sysroot"])?, ask(&["--version"])?) else {
            return Ok(None);
        };
        let bin = PathBuf::from(sysroot).join("bin");
        let complete = bin.join("cargo").exists() && bin.join("rustc").exists();
        Ok(complete.then_some((bin, version)))
    }

    /// The crates of `sdist`, from the cache or fetched by cargo, which checks their hashes.
    fn crates(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
        toolchain: &Path,
        task: &Task,
    ) -> Result<Option<InputRoot>, Failure> {
        let key = KeyBuilder::default()
            .part("sdist", sdist.sha256.to_string())
            .parts("patch", customisation.patches.iter().map(|patch| patch.sha256.to_string()))
            .part("patch-strip", customisation.patch_strip.to_string())
            .finish();
        self.run.cache.exclusively(key, || {
            let destination = self.run.cache.crates(key);
            if destination.is_dir() {
                return self.crate_tree(key, &destination).map(Some);
            }
            let directory = self.run.cache.temporary_directory()?;
            let source = unpack(&sdist.path, &directory.path().join("source"), &ArchiveLimits::default())
                .map_err(Failure::from)?;
            for patch in &customisation.patches {
                apply_patch(&source.root, &patch.path, customisation.patch_strip).map_err(Failure::from)?;
            }
            let manifests = manifests(&source.root)?;
            if manifests.is_empty() {
                return Ok(None);
            }
            task.stage("fetching crates");
            let vendored = directory.path().join("crates");
            self.vendor(&sdist.title(), &manifests, toolchain, &vendored)?;
            self.run.cache.publish_directory(&vendored, &destination)?;
            self.crate_tree(key, &destination).map(Some)
        })
    }

    /// The crates below `directory`, which nobody changes: their digests are taken once.
    fn crate_tree(&self, key: Sha256, directory: &Path) -> Result<InputRoot, Failure> {
        if let Some((files, _)) = self.run.cache.read::<Vec<CrateFile>>("crate-trees", key) {
            let mut tree = InputRoot::default();
            for CrateFile { path, sha256, size_bytes, executable } in files {
                let digest = blob_digest(sha256, size_bytes);
                tree.add_file(&path, &directory.join(&path), digest, executable)
                    .map_err(ClientError::from)?;
            }
            return Ok(tree);
        }
        let tree = InputRoot::of_directory(directory).map_err(ClientError::from)?;
        if let Some(files) = tree.files() {
            let files = files.into_iter().map(|(path, digest, executable)| CrateFile {
                path,
                sha256: Sha256::from_bytes(digest.hash),
                size_bytes: digest.size_bytes,
                executable,
            });
            self.run.cache.write("crate-trees", key, &files.collect::<Vec<_>>())?;
        }
        Ok(tree)
    }

    /// Runs `cargo vendor`, which reads manifests and runs nothing of the project. What it says about
    /// how to use the crates is kept beside them.
    fn vendor(
        &self,
        title: &str,
        manifests: &[PathBuf],
        toolchain: &Path,
        vendored: &Path,
    ) -> Result<(), Failure> {
        let neutral = self.run.cache.temporary_directory()?;
        let mut command = Command::new(toolchain.join("cargo"));
        command.args(["vendor", "--versioned-dirs"]).current_dir(neutral.path()).stdin(Stdio::null());
        // cargo starts rustc to learn about targets, and looks for it on PATH.
        command.env("RUSTC", toolchain.join("rustc"));
        if manifests.iter().all(|manifest| manifest.with_file_name("Cargo.lock").exists()) {
            command.arg("--locked");
        }
        if self.run.settings.offline {
            command.arg("--offline");
        }
        for (index, manifest) in manifests.iter().enumerate() {
            command.arg(if index == 0 { "--manifest-path" } else { "--sync" }).arg(manifest);
        }
        command.arg(vendored);
        let mut log = Vec::new();
        let finished = self.run.interrupt.run(&mut command, |line| log.push(line.to_owned()))?;
        if !finished.status.success() {
            let message = format!("the crates of {title} cannot be fetched");
            let evidence = log.into_iter().filter(|line| !line.trim().is_empty()).rev().take(10);
            return Err(Failure {
                evidence: evidence.collect::<Vec<_>>().into_iter().rev().collect(),
                ..Failure::new(FailureClass::FetchFailed, message)
            }
            .with_hint("cargo's own configuration (CARGO_HOME, proxies, registries) applies; run `cargo fetch` to see it fail"));
        }
        // A project without dependencies has nothing to vendor, and cargo then makes no directory.
        fs_err::create_dir_all(vendored)?;
        fs_err::write(vendored.join("config.toml"), &finished.stdout)?;
        Ok(())
    }
}

fn compile_rust(requirements: &[Requirement<VerbatimUrl>]) -> bool {
    let names = requirements.iter().map(|requirement| requirement.name.to_string());
    names.into_iter().any(|name| COMPILES_RUST.contains(&name.as_str()))
}

/// The manifests of the tree that stand for themselves: those with a Cargo.lock beside them, or, where
/// there is none, those without another above them.
fn manifests(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root, 0, &mut found)?;
    found.sort();
    let locked: Vec<_> =
        found.iter().filter(|manifest| manifest.with_file_name("Cargo.lock").exists()).cloned().collect();
    if !locked.is_empty() {
        return Ok(locked);
    }
    let directories: Vec<_> = found.iter().filter_map(|manifest| manifest.parent()).collect();
    let is_outermost = |manifest: &&PathBuf| {
        let above = manifest.parent().into_iter().flat_map(|directory| directory.ancestors().skip(1));
        !above.clone().any(|directory| directories.contains(&directory))
    };
    Ok(found.iter().filter(is_outermost).cloned().collect())
}

fn collect(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEEPEST_MANIFEST {
            collect(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && entry.file_name() == "Cargo.toml" {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_with_a_lock_stand_for_those_below_them() {
        let root = tempfile::tempdir().unwrap();
        for name in ["rust/Cargo.toml", "rust/member/Cargo.toml", "other/Cargo.toml"] {
            let path = root.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        let relative = || -> Vec<_> {
            let found = manifests(root.path()).unwrap();
            found.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(relative(), ["other/Cargo.toml", "rust/Cargo.toml"]);
        fs_err::write(root.path().join("rust/Cargo.lock"), "").unwrap();
        assert_eq!(relative(), ["rust/Cargo.toml"]);
    }
}

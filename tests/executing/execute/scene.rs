//! What the tests share: a store, an executor, input roots and actions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crosswheel::cancellation::Cancellation;
use crosswheel::cas::{BlobStore, DiskStore, StoreSettings, Upstream};
use crosswheel::contract::SandboxMode;
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::execute::{
    ActionLimits, Execute, ExecuteCounters, ExecuteError, Executed, InputLimits, LocalExecutor,
    LocalSettings, Moment, Observer, OutputStream, OwnBinarySettings, OwnLoader, SharedFiles, Stage,
    TreeLimits, Work, executor,
};
use crosswheel::reapi::command::EnvironmentVariable;
use crosswheel::reapi::{
    Action, Command, Directory, DirectoryNode, FileNode, NodeProperties, OutputFile, SymlinkNode, Tree,
};
use crosswheel::sandbox::{RootFileSystem, Spawner};
use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;

use crate::support::visible_directory;
use crate::support::waiting::{DEADLINE, in_time};

const CROSSWHEEL: &str = env!("CARGO_BIN_EXE_crosswheel");

/// Names the binary, for who cannot enter the directory where it was built.
pub const CROSSWHEEL_VARIABLE: &str = "CROSSWHEEL_UNDER_TEST";

pub fn crosswheel() -> PathBuf {
    std::env::var_os(CROSSWHEEL_VARIABLE).map_or(CROSSWHEEL.into(), PathBuf::from)
}
pub const FUNCTION: DigestFunction = DigestFunction::Sha256;

pub struct Scene {
    pub directory: TempDir,
    pub store: Arc<DiskStore>,
    pub files: Arc<SharedFiles>,
    pub counters: Arc<ExecuteCounters>,
    executor: Box<dyn Execute>,
}

impl Scene {
    /// With namespaces and overlays.
    pub fn new() -> Self {
        Self::with(SandboxMode::Required, TreeLimits::default())
    }

    /// Without.
    pub fn plain() -> Self {
        Self::with(SandboxMode::Off, TreeLimits::default())
    }

    pub fn with(mode: SandboxMode, trees: TreeLimits) -> Self {
        Self::with_root(mode, trees, RootFileSystem::Host)
    }

    pub fn with_root(mode: SandboxMode, trees: TreeLimits, root: RootFileSystem) -> Self {
        Self::build(mode, trees, root, false)
    }

    /// As [`Scene::new`], with the host's network.
    pub fn with_network() -> Self {
        Self::build(SandboxMode::Required, TreeLimits::default(), RootFileSystem::Host, true)
    }

    /// As [`Scene::new`], in a directory of the host that actions could see.
    pub fn visible() -> Self {
        let (mode, limits) = (SandboxMode::Required, TreeLimits::default());
        Self::build_in(visible_directory(), mode, limits, RootFileSystem::Host, false)
    }

    /// With other limits of the pool.
    pub fn limited(mode: SandboxMode, limits: ActionLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            StoreSettings { directory: directory.path().join("store"), ..StoreSettings::default() };
        Self::assemble(mode, TreeLimits::default(), RootFileSystem::Host, false, limits, directory, &settings)
    }

    /// As [`Scene::new`], as the worker of an engine with this store, and with a store of its own of `max_bytes`.
    pub fn of_engine(upstream: Arc<dyn Upstream>, max_bytes: Option<u64>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings {
            directory: directory.path().join("store"),
            max_bytes,
            // What is needed is pinned, and there are no clients.
            keep_after_use: Duration::ZERO,
            ..StoreSettings::default()
        };
        let pool = (SandboxMode::Required, RootFileSystem::Host, false, ActionLimits::default());
        let (inputs, trees) = (InputLimits::default(), TreeLimits::for_store(max_bytes));
        let open = |store| SharedFiles::open_with_upstream(store, upstream, inputs, trees).unwrap();
        Self::assemble_with(pool, directory, &settings, open)
    }

    /// With the store, and so everything that actions write, at another place.
    pub fn at(mode: SandboxMode, limits: ActionLimits, settings: &StoreSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::assemble(mode, TreeLimits::default(), RootFileSystem::Host, false, limits, directory, settings)
    }

    fn build(mode: SandboxMode, trees: TreeLimits, root: RootFileSystem, network: bool) -> Self {
        Self::build_in(tempfile::tempdir().unwrap(), mode, trees, root, network)
    }

    fn build_in(
        directory: TempDir,
        mode: SandboxMode,
        trees: TreeLimits,
        root: RootFileSystem,
        network: bool,
    ) -> Self {
        let settings =
            StoreSettings { directory: directory.path().join("store"), ..StoreSettings::default() };
        Self::assemble(mode, trees, root, network, ActionLimits::default(), directory, &settings)
    }

    fn assemble(
        mode: SandboxMode,
        trees: TreeLimits,
        root: RootFileSystem,
        network: bool,
        limits: ActionLimits,
        directory: TempDir,
        settings: &StoreSettings,
    ) -> Self {
        Self::assemble_with((mode, root, network, limits), directory, settings, |store| {
            SharedFiles::open(store, InputLimits::default(), trees).unwrap()
        })
    }

    fn assemble_with(
        (mode, root, network, limits): (SandboxMode, RootFileSystem, bool, ActionLimits),
        directory: TempDir,
        settings: &StoreSettings,
        open: impl FnOnce(Arc<DiskStore>) -> SharedFiles,
    ) -> Self {
        let store = Arc::new(DiskStore::open(settings).unwrap());
        let hidden = [settings.directory.clone(), directory.path().to_owned()];
        let spawner = Spawner::detect(mode, crosswheel().into(), &hidden)
            .unwrap_or_else(|error| panic!("this test needs a host that allows namespaces: {error}"));
        let spawner = Arc::new(spawner);
        let files = Arc::new(open(Arc::clone(&store)));
        let own_binary = OwnBinarySettings {
            executable: crosswheel(),
            loader: OwnLoader::of(&crosswheel()).unwrap(),
            cross_compiler: None,
            cache: Some(directory.path().join("wheel-cache")),
            trusted: false,
            visible_host_paths: Vec::new(),
        };
        let settings = LocalSettings { root, network, limits, own_binary };
        let counters = Arc::new(ExecuteCounters::default());
        let local = LocalExecutor::new(Arc::clone(&files), spawner, settings);
        let executor = Box::new(executor(local, Arc::clone(&counters)));
        Self { directory, store, files, counters, executor }
    }

    pub fn put(&self, bytes: &[u8]) -> Digest {
        let digest = FUNCTION.digest(bytes);
        self.store.write(&digest, bytes.to_vec().into()).unwrap();
        digest
    }

    pub fn put_message(&self, message: &impl Message) -> Digest {
        self.put(&message.encode_to_vec())
    }

    /// Uploads an input root; returns its digest.
    pub fn upload(&self, root: &Root) -> Digest {
        let mut blobs = Vec::new();
        let digest = encode(root, &mut blobs);
        self.store.write_many(&blobs).into_iter().for_each(|written| written.unwrap());
        digest
    }

    pub fn work(&self, root: Digest, command: Command) -> Work {
        let command_digest = self.put_message(&command);
        let action = Action {
            command_digest: Some(command_digest.to_message()),
            input_root_digest: Some(root.to_message()),
            ..Default::default()
        };
        Work {
            instance_name: String::new(),
            action_digest: FUNCTION.digest(&action.encode_to_vec()),
            action,
            command,
            timeout: DEADLINE,
            queued_at: SystemTime::now(),
            worker: "test/0".into(),
            request_metadata: None,
        }
    }

    pub fn execute(&self, work: &Work) -> Result<Executed, ExecuteError> {
        self.execute_watched(work, &Silent, &Cancellation::default())
    }

    pub fn execute_watched(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let what = format!("the end of {:?}", work.command.arguments);
        in_time(&what, || self.executor.execute(work, observer, cancellation))
    }

    /// Runs a shell script on an input root; it need not succeed.
    pub fn run(&self, root: &Root, command: Command) -> Executed {
        let root = self.upload(root);
        self.execute(&self.work(root, command)).unwrap()
    }

    /// As [`Scene::run`], for an input root that has been uploaded, which may be incomplete by now.
    pub fn run_again(&self, root: &Root, command: Command) -> Executed {
        let root = digest_of(root);
        self.execute(&self.work(root, command)).unwrap()
    }

    pub fn refusal(&self, root: &Root, command: Command) -> ExecuteError {
        let root = self.upload(root);
        self.execute(&self.work(root, command)).unwrap_err()
    }

    pub fn stdout(&self, executed: &Executed) -> String {
        assert_eq!(executed.result.exit_code, 0, "{}: {}", executed.message, self.stderr(executed));
        String::from_utf8(self.log(executed.result.stdout_digest.as_ref())).unwrap()
    }

    pub fn stderr(&self, executed: &Executed) -> String {
        String::from_utf8(self.log(executed.result.stderr_digest.as_ref())).unwrap()
    }

    pub fn log(&self, digest: Option<&crosswheel::reapi::Digest>) -> Vec<u8> {
        digest.map(|digest| self.blob(Some(digest))).unwrap_or_default()
    }

    /// A blob, which must be what its digest says.
    pub fn blob(&self, digest: Option<&crosswheel::reapi::Digest>) -> Vec<u8> {
        let digest = Digest::from_field(FUNCTION, digest).unwrap();
        let bytes = self.store.read(&digest).unwrap();
        assert_eq!(FUNCTION.digest(&bytes), digest);
        bytes.to_vec()
    }

    pub fn output(&self, executed: &Executed, path: &str) -> Vec<u8> {
        self.blob(output_file(executed, path).digest.as_ref())
    }

    pub fn output_tree(&self, executed: &Executed, path: &str) -> Tree {
        let outputs = &executed.result.output_directories;
        let output =
            outputs.iter().find(|output| output.path == path).unwrap_or_else(|| panic!("{executed:?}"));
        Tree::decode(&self.blob(output.tree_digest.as_ref())[..]).unwrap()
    }

    /// Where the store has a blob.
    pub fn blob_path(&self, digest: Option<&crosswheel::reapi::Digest>) -> PathBuf {
        let hash = &digest.unwrap().hash;
        self.path().join("store/cas").join(&hash[..2]).join(hash)
    }

    /// Every blob in the store has the bytes that its name says.
    pub fn check_blobs(&self) {
        let mut checked = 0;
        for shard in fs_err::read_dir(self.directory.path().join("store/cas")).unwrap() {
            for blob in fs_err::read_dir(shard.unwrap().path()).unwrap() {
                let path = blob.unwrap().path();
                if path.is_file() {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    let bytes = fs_err::read(&path).unwrap();
                    assert!(name.starts_with(&FUNCTION.digest(&bytes).hex()), "{path:?} was changed");
                    checked += 1;
                }
            }
        }
        assert!(checked > 0);
    }

    /// What is in the directories of running actions and of trees, but for homes and their locks.
    pub fn scratch(&self) -> usize {
        count_entries(&self.store.work_directory())
    }

    /// A spawner-free look at the host side of the scene.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

pub fn count_entries(base: &Path) -> usize {
    let homes = fs_err::read_dir(base).unwrap().map(|entry| entry.unwrap().path());
    homes.filter(|path| path.is_dir()).map(|home| fs_err::read_dir(home).unwrap().count()).sum()
}

pub fn output_file<'a>(executed: &'a Executed, path: &str) -> &'a OutputFile {
    let outputs = &executed.result.output_files;
    outputs.iter().find(|output| output.path == path).unwrap_or_else(|| panic!("no {path}: {executed:?}"))
}

/// The messages and files of an input root.
pub fn encode(root: &Root, blobs: &mut Vec<(Digest, Bytes)>) -> Digest {
    let mut directory = Directory { node_properties: root.properties.clone(), ..Default::default() };
    for (name, node) in &root.entries {
        let name = name.clone();
        match node {
            Node::File { bytes, executable, properties } => directory.files.push(FileNode {
                name,
                digest: Some(put(bytes.clone(), blobs).to_message()),
                is_executable: *executable,
                node_properties: properties.clone(),
            }),
            Node::Symlink(target) => {
                let target = target.clone();
                directory.symlinks.push(SymlinkNode { name, target, node_properties: None });
            }
            Node::Directory(root) => {
                let digest = Some(encode(root, blobs).to_message());
                directory.directories.push(DirectoryNode { name, digest });
            }
        }
    }
    put(directory.encode_to_vec(), blobs)
}

fn put(bytes: Vec<u8>, blobs: &mut Vec<(Digest, Bytes)>) -> Digest {
    let digest = FUNCTION.digest(&bytes);
    blobs.push((digest, bytes.into()));
    digest
}

pub fn digest_of(root: &Root) -> Digest {
    encode(root, &mut Vec::new())
}

/// An input root, or a directory in one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Root {
    pub entries: BTreeMap<String, Node>,
    pub properties: Option<NodeProperties>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    File { bytes: Vec<u8>, executable: bool, properties: Option<NodeProperties> },
    Symlink(String),
    Directory(Root),
}

impl Root {
    /// Plain files with these contents, in directories that are made for them.
    pub fn of(files: &[(&str, &str)]) -> Self {
        files.iter().fold(Self::default(), |root, (path, text)| root.file(path, text))
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.node(path, Node::File { bytes: text.into(), executable: false, properties: None })
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.node(path, Node::Symlink(target.into()))
    }

    pub fn node(mut self, path: &str, node: Node) -> Self {
        self.insert(path, node);
        self
    }

    pub fn insert(&mut self, path: &str, node: Node) {
        match path.split_once('/') {
            None => {
                self.entries.insert(path.to_owned(), node);
            }
            Some((first, rest)) => {
                let below =
                    self.entries.entry(first.to_owned()).or_insert_with(|| Node::Directory(Root::default()));
                let Node::Directory(below) = below else { panic!("{first} is no directory") };
                below.insert(rest, node);
            }
        }
    }

    /// With files that make it too large to be copied, so that there is an overlay.
    pub fn large(self) -> Self {
        (0..20)
            .fold(self, |root, number| root.file(&format!("filling/{number}"), &format!("filling {number}")))
    }
}

/// A shell script and its outputs (`output_paths`).
pub fn sh(script: &str, outputs: &[&str]) -> Command {
    let path = EnvironmentVariable { name: "PATH".into(), value: "/usr/local/bin:/usr/bin:/bin".into() };
    Command {
        arguments: vec!["sh".into(), "-euc".into(), script.into()],
        environment_variables: vec![path],
        output_paths: outputs.iter().map(|&output| output.to_owned()).collect(),
        ..Default::default()
    }
}

struct Silent;

impl Observer for Silent {
    fn stage(&self, _: Stage, _: Moment) {}
    fn output(&self, _: OutputStream, _: &[u8]) {}
}

/// Remembers everything; calls back at every piece of output.
#[derive(Default)]
pub struct Watcher {
    pub stages: Mutex<Vec<Stage>>,
    pub written: Mutex<Vec<u8>>,
    pub on_output: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Observer for Watcher {
    fn stage(&self, stage: Stage, _: Moment) {
        self.stages.lock().push(stage);
    }

    fn output(&self, _: OutputStream, bytes: &[u8]) {
        self.written.lock().extend_from_slice(bytes);
        if let Some(call) = &self.on_output {
            call();
        }
    }
}

/// Calls back when an action has reached a stage.
pub struct OnStage(pub Stage, pub Box<dyn Fn() + Send + Sync>);

impl Observer for OnStage {
    fn stage(&self, stage: Stage, _: Moment) {
        if stage == self.0 {
            (self.1)();
        }
    }

    fn output(&self, _: OutputStream, _: &[u8]) {}
}

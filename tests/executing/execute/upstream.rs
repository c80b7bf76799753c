//! The executor as the worker of an engine: what it runs lies in the engine's store, a real server in another process,
//! and what it makes is there when it has ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crosswheel::cancellation::Cancellation;
use crosswheel::cas::{BlobStore, RemoteStore, RemoteUpstream, StoreError, Upstream};
use crosswheel::digest::Digest;
use crosswheel::execute::{ExecuteError, Executed, MissingInput, Stage, read_action};
use crosswheel::reapi::capabilities_client::CapabilitiesClient;
use crosswheel::reapi::command::OutputDirectoryFormat;
use crosswheel::reapi::{Command, Directory, GetCapabilitiesRequest, Tree};
use crosswheel::remote::{ConnectSettings, connect};
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::scene::{FUNCTION, Node, OnStage, Root, Scene, encode, output_file, sh};
use crate::support::server::{Server, serve_command};
use crate::support::waiting::{pause, scope, wait_until, within};

/// An engine, as far as a worker's blobs are concerned.
struct Engine {
    directory: TempDir,
    server: Option<Server>,
    upstream: RemoteUpstream,
    _runtime: Runtime,
}

/// Calls of the engine so far.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Calls {
    tree: u64,
    batch_read: u64,
    read: u64,
    find_missing: u64,
    batch_update: u64,
    write: u64,
}

impl Engine {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = serve(&directory);
        let runtime = Runtime::new().unwrap();
        let address = format!("unix:{}", directory.path().join("socket").display()).parse().unwrap();
        let settings = ConnectSettings { address, headers: Vec::new(), ca_file: None, identity: None };
        let (channel, capabilities) = runtime.block_on(within("what the engine can", async {
            let channel = connect(&settings).await.unwrap();
            let mut client = CapabilitiesClient::new(channel.clone());
            let answer = client.get_capabilities(GetCapabilitiesRequest::default()).await.unwrap();
            (channel, answer.into_inner())
        }));
        let upstream = RemoteUpstream::new(runtime.handle().clone(), channel, &capabilities)
            .with_patience(Duration::from_secs(2));
        Self { directory, server: Some(server), upstream, _runtime: runtime }
    }

    fn scene(&self) -> Scene {
        Scene::of_engine(Arc::new(self.upstream.clone()), None)
    }

    fn store(&self) -> RemoteStore {
        self.upstream.store("")
    }

    /// Uploads an input root without the files `left_out` and, if they are directories, without those.
    fn upload(&self, root: &Root, left_out: &[Digest]) -> Digest {
        let mut blobs = Vec::new();
        let digest = encode(root, &mut blobs);
        blobs.retain(|(digest, _)| !left_out.contains(digest));
        self.store().write_many(&blobs).into_iter().for_each(Result::unwrap);
        digest
    }

    fn calls(&self) -> Calls {
        let text = self.server.as_ref().unwrap().get("/metrics").1;
        let of = |method: &str| {
            let lines = text.lines().filter(|line| {
                line.starts_with("crosswheel_calls_total{") && line.contains(&format!("/{method}\""))
            });
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
        };
        Calls {
            tree: of("GetTree"),
            batch_read: of("BatchReadBlobs"),
            read: of("Read"),
            find_missing: of("FindMissingBlobs"),
            batch_update: of("BatchUpdateBlobs"),
            write: of("Write"),
        }
    }

    fn signal(&self, signal: Signal) {
        self.server.as_ref().unwrap().signal(signal);
    }

    /// What sends it a signal when it is called.
    fn signals(&self, signal: Signal) -> Box<dyn Fn() + Send + Sync> {
        let process = i32::try_from(self.server.as_ref().unwrap().id()).ok().and_then(Pid::from_raw).unwrap();
        Box::new(move || kill_process(process, signal).unwrap())
    }

    fn restart(&mut self) {
        self.server = None;
        self.server = Some(serve(&self.directory));
    }

    /// A blob that a result names.
    fn blob(&self, digest: Option<&crosswheel::reapi::Digest>) -> Bytes {
        let digest = Digest::from_field(FUNCTION, digest).unwrap();
        self.store().read(&digest).unwrap()
    }
}

fn serve(directory: &TempDir) -> Server {
    let place = |name: &str| directory.path().join(name).display().to_string();
    let listen = format!("unix:{}", place("socket"));
    let (store, http) = (place("store"), "127.0.0.1:0");
    Server::run(serve_command(&["--json", "--listen", &listen, "--http-listen", http, "--store", &store]))
}

impl Calls {
    fn since(self, before: Self) -> Self {
        Self {
            tree: self.tree - before.tree,
            batch_read: self.batch_read - before.batch_read,
            read: self.read - before.read,
            find_missing: self.find_missing - before.find_missing,
            batch_update: self.batch_update - before.batch_update,
            write: self.write - before.write,
        }
    }
}

const NONE: Calls = Calls { tree: 0, batch_read: 0, read: 0, find_missing: 0, batch_update: 0, write: 0 };

/// Bytes that hardly shrink, others for each seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn file(bytes: Vec<u8>) -> Node {
    Node::File { bytes, executable: false, properties: None }
}

fn many_files() -> Root {
    let mut root = Root::default().node("large", file(noise(1, 3 << 20)));
    for number in 0..600 {
        root.insert(&format!("{}/{}/{number}", number % 7, number % 30), file(noise(number, 700)));
    }
    root
}

fn missing(executed: Result<Executed, ExecuteError>) -> Vec<String> {
    let Err(ExecuteError::MissingInputs(missing)) = executed else { panic!("it has run: {executed:?}") };
    let mut roles: Vec<String> = missing.into_iter().map(|MissingInput { role, .. }| role).collect();
    roles.sort_unstable();
    roles
}

#[test]
fn a_cold_root_takes_few_calls_and_none_the_second_time() {
    let engine = Engine::start();
    let scene = engine.scene();
    let mut root = many_files();
    let digest = engine.upload(&root, &[]);
    let command = sh("test $(find . -type f | wc -l) = 601; test $(cat large | wc -c) = 3145728", &[]);
    let work = scene.work(digest, command);
    let before = engine.calls();
    assert_eq!(scene.execute(&work).unwrap().result.exit_code, 0);
    let cold = engine.calls().since(before);
    assert_eq!((cold.tree, cold.read), (1, 1), "{cold:?}");
    assert!(cold.batch_read <= 4, "{cold:?}");
    let before = engine.calls();
    assert_eq!(scene.execute(&work).unwrap().result.exit_code, 0);
    assert_eq!(engine.calls().since(before), NONE);

    // Of one that differs in a file, that file and the directories above it.
    root.insert("3/3/new", file(noise(7_000, 10)));
    let work = scene.work(engine.upload(&root, &[]), sh("test $(find . -type f | wc -l) = 602", &[]));
    let before = engine.calls();
    assert_eq!(scene.execute(&work).unwrap().result.exit_code, 0);
    let changed = engine.calls().since(before);
    assert_eq!(Calls { batch_read: 0, ..changed }, NONE);
    assert!(changed.batch_read <= 4, "{changed:?}");
}

/// An engine that tells no trees, as Buildbarn. Calls back when a blob is read as a stream.
struct WithoutTrees {
    engine: RemoteUpstream,
    on_stream: Arc<dyn Fn() + Send + Sync>,
}

struct NoTrees(Arc<dyn BlobStore>, Arc<dyn Fn() + Send + Sync>);

impl Upstream for WithoutTrees {
    fn of_instance(&self, instance_name: &str) -> Arc<dyn BlobStore> {
        Arc::new(NoTrees(self.engine.of_instance(instance_name), Arc::clone(&self.on_stream)))
    }
}

impl BlobStore for NoTrees {
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.0.find_missing(digests)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.0.read(digest)
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        self.0.read_many(digests)
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn std::io::Read + Send>, StoreError> {
        (self.1)();
        self.0.open(digest, offset)
    }

    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        self.0.write_many(blobs)
    }

    fn write_from(&self, digest: &Digest, source: &mut dyn std::io::Read) -> Result<(), StoreError> {
        self.0.write_from(digest, source)
    }
}

#[test]
fn without_trees_there_is_a_call_for_each_level() {
    let engine = Engine::start();
    let upstream = WithoutTrees { engine: engine.upstream.clone(), on_stream: Arc::new(|| ()) };
    let scene = Scene::of_engine(Arc::new(upstream), None);
    let work = scene.work(engine.upload(&many_files(), &[]), sh("test $(find . -type f | wc -l) = 601", &[]));
    let before = engine.calls();
    assert_eq!(scene.execute(&work).unwrap().result.exit_code, 0);
    let calls = engine.calls().since(before);
    assert_eq!(calls.tree, 0);
    assert!((4..=6).contains(&calls.batch_read), "{calls:?}");
}

#[test]
fn everything_that_the_engine_lacks_is_named_at_once() {
    let engine = Engine::start();
    let scene = engine.scene();
    let root = Root::of(&[("a/one", "1"), ("a/two", "2"), ("b/three", "3"), ("four", "4")]).large();
    let blob = |text: &str| FUNCTION.digest(text.as_bytes());
    let digest = engine.upload(&root, &[blob("2"), blob("4")]);
    let work = scene.work(digest, sh("true", &[]));
    assert_eq!(missing(scene.execute(&work)), ["the input file `a/two`", "the input file `four`"]);

    let b = encode(&Root::of(&[("three", "3")]), &mut Vec::new());
    let root = root.file("c", "5");
    let digest = engine.upload(&root, &[blob("2"), blob("4"), b]);
    let lacks = engine.store().find_missing(&[b]).unwrap();
    assert_eq!(lacks, [], "the first upload had it");
    let work_with_b = scene.work(digest, sh("true", &[]));
    assert_eq!(missing(scene.execute(&work_with_b)), ["the input file `a/two`", "the input file `four`"]);

    let fresh = Root::of(&[("d/e/f", "6"), ("g", "7"), ("h", "8")]).large();
    let e = encode(&Root::of(&[("f", "6")]), &mut Vec::new());
    let digest = engine.upload(&fresh, &[e, blob("7")]);
    assert_eq!(
        missing(scene.execute(&scene.work(digest, sh("true", &[])))),
        ["the input directory `d/e`", "the input file `g`"]
    );
    engine.upload(&fresh, &[]);
    let work = scene.work(digest, sh("cat d/e/f g h", &[]));
    let executed = scene.execute(&work).unwrap();
    assert_eq!(scene.stdout(&executed), "678");
}

#[test]
fn actions_and_commands_are_read_through_the_store_here() {
    let engine = Engine::start();
    let scene = engine.scene();
    let command = sh("true", &[]);
    let work = scene.work(engine.upload(&Root::default(), &[]), command.clone());
    let blobs: Vec<(Digest, Bytes)> = [command.encode_to_vec(), work.action.encode_to_vec()]
        .into_iter()
        .map(|bytes| (FUNCTION.digest(&bytes), bytes.into()))
        .collect();
    let other = engine.scene();
    let read = || read_action(&*other.files.blobs("some/instance"), &work.action_digest);
    let Err(ExecuteError::MissingInputs(missing)) = read() else { panic!("nobody has it") };
    assert_eq!(missing[0].role, "the action");
    engine.upstream.store("some/instance").write_many(&blobs).into_iter().for_each(Result::unwrap);
    assert_eq!(read().unwrap(), (work.action.clone(), command));
    let before = engine.calls();
    read().unwrap();
    assert_eq!(engine.calls().since(before), NONE);
    // The empty input root is everywhere.
    assert_eq!(other.execute(&work).unwrap().result.exit_code, 0);
}

/// All that a result names is in the engine's store.
fn check_result(engine: &Engine, executed: &Executed) {
    let result = &executed.result;
    for file in &result.output_files {
        engine.blob(file.digest.as_ref());
    }
    for directory in &result.output_directories {
        let tree = Tree::decode(engine.blob(directory.tree_digest.as_ref())).unwrap();
        for file in tree.children.iter().chain(&tree.root).flat_map(|directory| &directory.files) {
            engine.blob(file.digest.as_ref());
        }
        if let Some(root) = &directory.root_directory_digest {
            let mut below = vec![root.clone()];
            while let Some(digest) = below.pop() {
                let directory = Directory::decode(engine.blob(Some(&digest))).unwrap();
                below.extend(directory.directories.into_iter().filter_map(|node| node.digest));
            }
        }
    }
    for log in [&result.stdout_digest, &result.stderr_digest] {
        engine.blob(Some(log.as_ref().expect("some engines take no result without")));
    }
}

const MAKES: &str = "mkdir -p tree/deep/deeper; for i in $(seq 80); do echo $i > tree/deep/$i; done; echo x > tree/deep/deeper/x; head -c 5000000 /dev/urandom > large; cp input copy; seq 100000; echo oops >&2";

#[test]
fn what_an_action_makes_is_in_the_engine_s_store_when_it_has_ended() {
    let engine = Engine::start();
    let scene = engine.scene();
    let digest = engine.upload(&Root::of(&[("input", "in")]), &[]);
    let both = OutputDirectoryFormat::TreeAndDirectory as i32;
    let command = Command { output_directory_format: both, ..sh(MAKES, &["tree", "large", "copy", "input"]) };
    let work = scene.work(digest, command);
    let before = engine.calls();
    let executed = scene.execute(&work).unwrap();
    let calls = engine.calls().since(before);
    assert_eq!(executed.result.exit_code, 0, "{executed:?}");
    assert_eq!(calls.find_missing, 1, "{calls:?}");
    // The output, the tree of all, and what was written.
    assert_eq!(calls.write, 1, "{calls:?}");
    assert!(calls.batch_update <= 2, "{calls:?}");
    check_result(&engine, &executed);
    assert_eq!(engine.blob(output_file(&executed, "large").digest.as_ref()).len(), 5_000_000);
    assert_eq!(engine.blob(executed.result.stderr_digest.as_ref()), "oops\n");
    scene.check_blobs();

    // Again, without what is random: there is nothing left to be sent.
    let work = scene.work(digest, sh(&MAKES.replace("/dev/urandom", "/dev/zero"), &["tree", "large"]));
    scene.execute(&work).unwrap();
    let before = engine.calls();
    let executed = scene.execute(&work).unwrap();
    let calls = engine.calls().since(before);
    assert_eq!(calls, Calls { find_missing: 1, ..NONE });
    check_result(&engine, &executed);
    let metadata = executed.result.execution_metadata.as_ref().unwrap();
    assert!(metadata.output_upload_completed_timestamp.is_some());
}

#[test]
fn what_failed_actions_leave_is_there_too() {
    let engine = Engine::start();
    let scene = engine.scene();
    let digest = engine.upload(&Root::of(&[("input", "in")]), &[]);
    let executed =
        scene.execute(&scene.work(digest, sh("echo said; echo kept > output; exit 3", &["output"]))).unwrap();
    assert_eq!(executed.result.exit_code, 3);
    check_result(&engine, &executed);
    assert_eq!(engine.blob(executed.result.stdout_digest.as_ref()), "said\n");
    assert_eq!(executed.result.stderr_digest, Some(Digest::empty(FUNCTION).to_message()));
    assert_eq!(engine.blob(output_file(&executed, "output").digest.as_ref()), "kept\n");

    let mut work = scene.work(digest, sh("echo slow; sleep 100", &[]));
    work.timeout = Duration::from_millis(300);
    let executed = scene.execute(&work).unwrap();
    assert!(executed.timed_out);
    check_result(&engine, &executed);
}

#[test]
fn an_engine_that_dies_while_inputs_are_fetched_is_no_failure_of_the_action() {
    let mut engine = Engine::start();
    let kill = engine.signals(Signal::KILL);
    let streams = AtomicUsize::new(0);
    // When the first of them have come.
    let on_stream = move || {
        if streams.fetch_add(1, Ordering::Relaxed) == 6 {
            kill();
        }
    };
    let upstream = WithoutTrees { engine: engine.upstream.clone(), on_stream: Arc::new(on_stream) };
    let scene = Scene::of_engine(Arc::new(upstream), None);
    let mut root = Root::default();
    for number in 0..24 {
        root.insert(&number.to_string(), file(noise(number, 4 << 20)));
    }
    let work = scene.work(engine.upload(&root, &[]), sh("cat * | wc -c", &[]));
    let error = scene.execute(&work).unwrap_err();
    assert!(matches!(error, ExecuteError::Store(StoreError::Remote { .. })), "{error}");
    assert_eq!(scene.scratch(), 0);
    engine.restart();
    let executed = scene.execute(&work).unwrap();
    assert_eq!(scene.stdout(&executed).trim(), (24 << 22).to_string());
    scene.check_blobs();
}

#[test]
fn an_engine_that_dies_before_it_has_the_outputs_gets_no_result() {
    let mut engine = Engine::start();
    let scene = engine.scene();
    let digest = engine.upload(&Root::of(&[("input", "in")]), &[]);
    let work = scene.work(digest, sh("head -c 3000000 /dev/zero > large; echo done", &["large"]));
    let dies = OnStage(Stage::UploadingOutputs, engine.signals(Signal::KILL));
    let error = scene.execute_watched(&work, &dies, &Cancellation::default()).unwrap_err();
    assert!(matches!(error, ExecuteError::Store(StoreError::Remote { .. })), "{error}");
    engine.restart();
    let executed = scene.execute(&work).unwrap();
    check_result(&engine, &executed);
}

#[test]
fn whoever_cancels_need_not_wait_for_an_engine_that_does_not_answer() {
    let engine = Engine::start();
    let scene = engine.scene();
    let work = scene.work(engine.upload(&many_files(), &[]), sh("echo out; true", &[]));
    for stage in [Stage::FetchingInputs, Stage::UploadingOutputs] {
        let cancellation = Cancellation::default();
        let took = scope("an action that is cancelled", |scope| {
            let stopped = Arc::new(AtomicBool::new(false));
            let stop = engine.signals(Signal::STOP);
            let reached = Arc::clone(&stopped);
            let stops = OnStage(
                stage,
                Box::new(move || {
                    stop();
                    reached.store(true, Ordering::Relaxed);
                }),
            );
            let (scene, work, cancellation) = (&scene, &work, &cancellation);
            let running = scope.spawn(move || scene.execute_watched(work, &stops, cancellation).unwrap_err());
            wait_until("the stage", || stopped.load(Ordering::Relaxed));
            // It has asked by now, and waits.
            pause(Duration::from_millis(300));
            let cancelled = Instant::now();
            cancellation.cancel();
            assert!(matches!(running.join().unwrap(), ExecuteError::Cancelled));
            cancelled.elapsed()
        });
        // A call that nobody ends gives up after a minute.
        assert!(took < Duration::from_secs(50), "{took:?}");
        engine.signal(Signal::CONT);
    }
    assert_eq!(scene.scratch(), 0);
    assert_eq!(scene.execute(&work).unwrap().result.exit_code, 0);
}

#[test]
fn whoever_waits_for_what_another_fetches_can_be_cancelled_alone() {
    let engine = Engine::start();
    let scene = engine.scene();
    let work = scene.work(engine.upload(&many_files(), &[]), sh("test -e large", &[]));
    let [first, second] = [(); 2].map(|()| Cancellation::default());
    scope("two actions of which one is cancelled", |scope| {
        let start = |cancellation| {
            let (scene, work) = (&scene, &work);
            let stops = OnStage(Stage::FetchingInputs, engine.signals(Signal::STOP));
            scope.spawn(move || scene.execute_watched(work, &stops, cancellation))
        };
        let running = start(&first);
        let cancelled = start(&second);
        pause(Duration::from_millis(300));
        second.cancel();
        assert!(matches!(cancelled.join().unwrap(), Err(ExecuteError::Cancelled)));
        engine.signal(Signal::CONT);
        assert_eq!(running.join().unwrap().unwrap().result.exit_code, 0);
    });
}

#[test]
fn two_actions_fetch_what_both_need_once() {
    let engine = Engine::start();
    let scene = engine.scene();
    let digest = engine.upload(&many_files(), &[]);
    let before = engine.calls();
    scope("actions on the same inputs", |scope| {
        for number in 0..4 {
            let scene = &scene;
            scope.spawn(move || {
                let work = scene.work(digest, sh(&format!("test -e large && exit {number}"), &[]));
                assert_eq!(scene.execute(&work).unwrap().result.exit_code, number);
            });
        }
    });
    let calls = engine.calls().since(before);
    assert_eq!(calls.read, 1, "{calls:?}");
    assert!(calls.batch_read <= 6, "{calls:?}");
}

#[test]
fn a_store_smaller_than_what_passes_through_it_will_do() {
    const MOST: u64 = 6 << 20;
    let engine = Engine::start();
    let scene = Scene::of_engine(Arc::new(engine.upstream.clone()), Some(MOST));
    let mut seen = HashSet::new();
    for number in 0..12 {
        let mut root = Root::default().node("large", file(noise(number, 1_500_000)));
        for small in 0..40 {
            root.insert(&format!("small/{small}"), file(noise(1_000 * number + small, 5_000)));
        }
        let work = scene.work(engine.upload(&root, &[]), sh("cat large small/* > output", &["output"]));
        let executed = scene.execute(&work).unwrap();
        check_result(&engine, &executed);
        seen.insert(executed.result.output_files[0].digest.clone().unwrap().hash);
        assert!(scene.store.usage().disk_bytes <= MOST, "{:?}", scene.store.usage());
    }
    assert_eq!(seen.len(), 12);
    assert!(scene.store.usage().evicted > 0);

    let root = Root::default().node("huge", file(noise(99, 7 << 20)));
    let error = scene.execute(&scene.work(engine.upload(&root, &[]), sh("true", &[]))).unwrap_err();
    assert!(matches!(error, ExecuteError::Store(StoreError::NoRoom { .. })), "{error}");
    scene.check_blobs();
}

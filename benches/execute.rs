//! What the executor adds to a command: `cargo bench --bench execute`. The limit beside each figure is what the
//! sandbox alone takes for the same command.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crosswheel::contract::SandboxMode;
use crosswheel::digest::Digest;
use crosswheel::reapi::Command;
use crosswheel::sandbox::{ResourceLimits, RootFileSystem, Sandbox, Spawner, Spec};
use rustix::time::{ClockId, clock_gettime};
use scene::{Root, Scene, crosswheel};
use support::waiting::scope;

#[allow(dead_code)]
#[path = "../tests/executing/execute/scene.rs"]
mod scene;
#[path = "../tests/support/mod.rs"]
mod support;

const FILES: usize = 5000;
const DIRECTORIES: usize = 200;

fn main() {
    // `cargo test --benches` only wants to see it run.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if quick { 4 } else { 400 };
    println!("| action | at a time | p10 ms | p50 ms | p90 ms | per second | our own processor ms |");
    println!("|---|---|---|---|---|---|---|");
    let sandbox = Sandbox::detect(SandboxMode::Required, crosswheel().into()).unwrap();
    let spawner = Spawner::start(&sandbox).unwrap();
    for at_a_time in [1, 2, 8] {
        measure("the sandbox alone", at_a_time, rounds, |_| sandbox_alone(&spawner));
    }

    let scene = Scene::new();
    let empty = scene.work(scene.upload(&Root::default()), no_operation());
    for at_a_time in [1, 2, 8] {
        let before = stages(&scene);
        measure("no inputs", at_a_time, rounds, |_| {
            scene.execute(&empty).unwrap();
        });
        println!("| (inputs, run, outputs: {}) | | | | |", mean(before, &scene, rounds));
    }

    let mut root = Root::default();
    for file in 0..FILES {
        root.insert(
            &path(file),
            scene::Node::File {
                bytes: format!("the bytes of file {file}").into_bytes(),
                executable: true,
                properties: None,
            },
        );
    }
    let start = Instant::now();
    let warm = scene.work(scene.upload(&root), no_operation());
    println!("| (upload of {FILES} files) | | {:.1} | | | | |", milliseconds(start.elapsed()));
    let start = Instant::now();
    scene.execute(&warm).unwrap();
    println!("| {FILES} files, cold | 1 | {:.1} | | | | |", milliseconds(start.elapsed()));
    for at_a_time in [1, 2] {
        let before = stages(&scene);
        measure("the same, warm", at_a_time, rounds, |_| {
            scene.execute(&warm).unwrap();
        });
        println!("| (inputs, run, outputs: {}) | | | | |", mean(before, &scene, rounds));
    }
    for at_a_time in [1, 2] {
        let works: Vec<_> = (0..rounds)
            .map(|round| scene.work(change(&scene, &root, at_a_time * 1_000_000 + round), no_operation()))
            .collect();
        let before = stages(&scene);
        measure("one file changed each time", at_a_time, rounds, |round| {
            scene.execute(&works[round]).unwrap();
        });
        println!("| (inputs, run, outputs: {}) | | | | |", mean(before, &scene, rounds));
    }
    for (tree_use, count) in scene.files.tree_uses() {
        println!("| ({tree_use:?} trees: {count}) | | | | | | |");
    }

    let plain = Scene::plain();
    let work = plain.work(plain.upload(&root), no_operation());
    plain.execute(&work).unwrap();
    measure("the same, warm, copied", 1, rounds / 200 + 1, |_| {
        plain.execute(&work).unwrap();
    });
}

fn no_operation() -> Command {
    Command { arguments: vec!["/bin/true".into()], ..Default::default() }
}

fn path(file: usize) -> String {
    format!("{}/{}/{file}", file % DIRECTORIES % 10, file % DIRECTORIES)
}

/// Uploads what a client would upload after a change of one file.
fn change(scene: &Scene, root: &Root, round: usize) -> Digest {
    scene.upload(&root.clone().file(&path(round % FILES), &format!("change {round}")))
}

fn sandbox_alone(spawner: &Spawner) {
    let null = || fs_err::File::options().write(true).open("/dev/null").unwrap().into_parts().0.into();
    let mut tree = spawner
        .spawn(Spec {
            argv: vec!["/bin/true".into()],
            env: Default::default(),
            working_directory: "/".into(),
            root: RootFileSystem::Host,
            overlays: Vec::new(),
            binds: Vec::new(),
            visible_host_paths: Vec::new(),
            stdin: None,
            stdout: null(),
            stderr: None,
            network: false,
            limits: ResourceLimits::default(),
        })
        .unwrap();
    tree.wait_for_end(None).unwrap();
}

fn measure(name: &str, at_a_time: usize, rounds: usize, run: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let (start, processor_start) = (Instant::now(), processor_milliseconds());
    let mut times: Vec<Duration> = scope("actions side by side", |scope| {
        let work = || {
            let mut times = Vec::new();
            loop {
                let round = next.fetch_add(1, Ordering::Relaxed);
                if round >= rounds {
                    return times;
                }
                let start = Instant::now();
                run(round);
                times.push(start.elapsed());
            }
        };
        let threads: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let total = start.elapsed();
    let processor = processor_milliseconds() - processor_start;
    times.sort_unstable();
    println!(
        "| {name} | {at_a_time} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} |",
        milliseconds(times[times.len() / 10]),
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() * 9 / 10]),
        rounds as f64 / total.as_secs_f64(),
        processor / rounds as f64
    );
}

/// What this process has used, its threads that clean up included, but not the sandbox.
fn processor_milliseconds() -> f64 {
    let used = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    used.as_secs_f64() * 1000.0
}

fn stages(scene: &Scene) -> [u64; 3] {
    scene.counters.stage_microseconds.each_ref().map(|stage| stage.load(Ordering::Relaxed))
}

/// Mean milliseconds of the stages since `before`.
fn mean(before: [u64; 3], scene: &Scene, rounds: usize) -> String {
    let stages = stages(scene).into_iter().zip(before);
    let means: Vec<String> = stages
        .map(|(now, before)| format!("{:.2}", (now - before) as f64 / 1000.0 / rounds as f64))
        .collect();
    means.join(", ")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

//! What a sandbox costs: starting and ending `true`, one at a time and eight at a time, in each of the ways there
//! are. Above them is what the kernel alone takes.

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{
    Outcome, Overlay, ProcessTree, ResourceLimits, RootFileSystem, Sandbox, Spawner, Spec,
};
use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tempfile::TempDir;
use waiting::{InTime, in_time};

const ROUNDS: usize = 300;
const AT_A_TIME: usize = 8;
const ROUNDS_AT_A_TIME: usize = 2000;
const INIT: &str = env!("CARGO_BIN_EXE_crosswheel");
const FLOOR: &str = "--floor";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(FLOOR) {
        return floor();
    }
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "true, started and ended", "p50 ms", "p95 ms", "8: p50", "8: /s", "CPU ms"
    );
    // An argument chooses the lines that contain it, as for every benchmark that cargo runs.
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&chosen);
    if wanted("fork and exec") {
        report("fork and exec", || &Kernel);
    }
    if wanted("floor") && geteuid().is_root() {
        let itself = std::env::current_exe().expect("this program has a path");
        assert!(Command::new(itself).arg(FLOOR).status_in_time().success());
    }
    for (mode, with) in [(SandboxMode::Off, "no namespaces"), (SandboxMode::Required, "namespaces")] {
        let sandbox = detect(mode);
        let (one_off, spawner) = (format!("one-off, {with}"), format!("spawner, {with}"));
        if wanted(&one_off) {
            report(&one_off, || &sandbox);
        }
        if wanted(&spawner) {
            report(&spawner, || Spawner::start(&sandbox).expect("a spawner starts"));
        }
    }
    let full = detect(SandboxMode::Required);
    for (medium, place) in [("disk", std::env::temp_dir()), ("memory", PathBuf::from("/dev/shm"))] {
        let name = format!("spawner, overlay on {medium}");
        if wanted(&name) {
            report(&name, || OnOverlays::new(&full, &place));
        }
    }
}

/// Something that runs `true`.
trait Run: Sync {
    fn run(&self);
}

struct Kernel;

impl Run for &Kernel {
    fn run(&self) {
        assert!(Command::new("/bin/true").status().expect("there is a /bin/true").success());
    }
}

impl Run for &Sandbox {
    fn run(&self) {
        finish(self.spawn(command()).expect("/bin/true starts"));
    }
}

impl Run for Spawner {
    fn run(&self) {
        finish(self.spawn(command()).expect("/bin/true starts"));
    }
}

/// As an executor uses it: a layer of inputs, and new directories for each command, whose making is counted.
struct OnOverlays {
    spawner: Spawner,
    directory: TempDir,
    count: AtomicUsize,
}

impl OnOverlays {
    fn new(sandbox: &Sandbox, place: &Path) -> Self {
        let directory = TempDir::new_in(place).expect("there is a place for temporary files");
        fs_err::create_dir(directory.path().join("lower")).expect("directories can be made");
        let spawner = Spawner::start(sandbox).expect("a spawner starts");
        Self { spawner, directory, count: AtomicUsize::new(0) }
    }
}

impl Run for OnOverlays {
    fn run(&self) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| self.directory.path().join(format!("{name}{number}"));
        let overlay = Overlay {
            lower: vec![self.directory.path().join("lower")],
            upper: path("upper"),
            work: path("work"),
            inside: "/crosswheel/root".into(),
        };
        for directory in [&overlay.upper, &overlay.work] {
            fs_err::create_dir(directory).expect("directories can be made");
        }
        let working_directory = overlay.inside.clone();
        let spec = Spec { overlays: vec![overlay], working_directory, ..command() };
        finish(self.spawner.spawn(spec).expect("/bin/true starts"));
    }
}

fn finish(mut tree: ProcessTree) {
    assert_eq!(tree.wait_for_end(None).expect("the supervisor reports").outcome, Outcome::Code(0));
}

fn detect(mode: SandboxMode) -> Sandbox {
    Sandbox::detect(mode, PathBuf::from(INIT).into()).expect("this host allows a sandbox")
}

fn command() -> Spec {
    let null = fs_err::File::options().write(true).open("/dev/null").expect("there is a /dev/null");
    Spec {
        argv: vec![OsString::from("/bin/true")],
        env: BTreeMap::new(),
        working_directory: PathBuf::from("/"),
        root: RootFileSystem::Host,
        overlays: Vec::new(),
        binds: Vec::new(),
        visible_host_paths: Vec::new(),
        stdin: None,
        stdout: null.into_parts().0.into(),
        stderr: None,
        network: false,
        limits: ResourceLimits::default(),
    }
}

/// The kernel's own price of namespaces: `true` as process 1 of new ones, with nothing mounted and nobody watching.
/// Runs in a process of its own, as that changes namespaces with every command, which only root can do.
fn floor() {
    struct Namespaced(fs_err::File);

    impl Run for &Namespaced {
        fn run(&self) {
            // What made others call it unsafe is a flag that is not among these.
            #[expect(deprecated)]
            rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC)
                .expect("this host allows namespaces");
            assert!(Command::new("/bin/true").status().expect("there is a /bin/true").success());
            // The next new one has to be a child of ours again.
            move_into_link_name_space(self.0.file().as_fd(), Some(LinkNameSpaceType::ProcessID))
                .expect("this was our namespace all along");
        }
    }

    let namespaced = Namespaced(fs_err::File::open("/proc/self/ns/pid").expect("there is a /proc"));
    let (p50, p95) = percentiles(one_at_a_time(&&namespaced));
    println!("{:<44} {p50:>8.2} {p95:>8.2}", "fork and exec, mount, pid and ipc namespaces");
}

fn report<R: Run>(name: &str, make: impl Fn() -> R) {
    in_time(name, || measure(name, make));
}

fn measure<R: Run>(name: &str, make: impl Fn() -> R) {
    let (p50, p95) = percentiles(one_at_a_time(&make()));
    let before = processor_milliseconds();
    let runner = make();
    let start = Instant::now();
    let times = many_at_a_time(&runner);
    let per_second = ROUNDS_AT_A_TIME as f64 / start.elapsed().as_secs_f64();
    // Processes count when they have been waited for.
    drop(runner);
    let processor = (processor_milliseconds() - before) / ROUNDS_AT_A_TIME as f64;
    let (many_p50, _) = percentiles(times);
    println!("{name:<44} {p50:>8.2} {p95:>8.2} {many_p50:>8.2} {per_second:>8.0} {processor:>8.2}");
}

fn one_at_a_time(runner: &impl Run) -> Vec<Duration> {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            runner.run();
            start.elapsed()
        })
        .collect()
}

fn many_at_a_time(runner: &impl Run) -> Vec<Duration> {
    let started = AtomicUsize::new(0);
    thread::scope(|scope| {
        let work = || {
            let mut times = Vec::new();
            while started.fetch_add(1, Ordering::Relaxed) < ROUNDS_AT_A_TIME {
                let start = Instant::now();
                runner.run();
                times.push(start.elapsed());
            }
            times
        };
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let milliseconds = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    (milliseconds(50), milliseconds(95))
}

/// Spent by us and by all processes that were waited for.
fn processor_milliseconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").expect("there is a /proc");
    // Behind the name, which is in parentheses: fields 14 to 17 of proc_pid_stat(5), from field 3 on.
    let (_, fields) = stat.rsplit_once(')').expect("there is a name");
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks * 1000.0 / rustix::param::clock_ticks_per_second() as f64
}

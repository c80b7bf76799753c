//! What a sandbox costs: starting and ending `true`, serially, in each of the ways there are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crosswheel::sandbox::{Mode, Outcome, RootFileSystem, Sandbox, Spec};

const ROUNDS: usize = 200;
const INIT: &str = env!("CARGO_BIN_EXE_crosswheel");

fn main() {
    println!("{:<34} {:>8} {:>8}", "true, started and ended", "p50 ms", "p95 ms");
    report("fork and exec alone", || {
        assert!(Command::new("/bin/true").status().expect("there is a /bin/true").success());
    });
    for mode in [Mode::Off, Mode::Required] {
        report(&format!("detection, mode {mode}"), || {
            sandbox(mode);
        });
        let sandbox = sandbox(mode);
        report(&format!("command, mode {mode}"), || {
            let tree = sandbox.spawn(command()).expect("/bin/true starts");
            assert_eq!(tree.wait(None).expect("the init reports").outcome, Outcome::Code(0));
        });
    }
}

fn sandbox(mode: Mode) -> Sandbox {
    Sandbox::detect(mode, PathBuf::from(INIT)).expect("this host allows a sandbox")
}

fn command() -> Spec {
    let null = fs_err::File::options().write(true).open("/dev/null").expect("there is a /dev/null");
    Spec {
        argv: vec![OsString::from("/bin/true")],
        env: BTreeMap::new(),
        working_directory: PathBuf::from("/"),
        binds: Vec::new(),
        root: RootFileSystem::Host,
        overlays: Vec::new(),
        visible_host_paths: Vec::new(),
        stdin: None,
        stdout: null.into_parts().0.into(),
        stderr: None,
        network: false,
    }
}

fn report(name: &str, mut round: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |share: usize| times[ROUNDS * share / 100].as_secs_f64() * 1e3;
    println!("{name:<34} {:>8.2} {:>8.2}", milliseconds(50), milliseconds(95));
}

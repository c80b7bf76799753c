//! How long it takes to make an environment of a wheel that was used before, beside `uv`.
//!
//! `cargo bench --bench venv -- [WHEEL]`; without a wheel, one of about the size of setuptools is made
//! up. Both tools have unpacked the wheel before, and link it from their caches on the same file system,
//! that of TMPDIR. On ext4, a directory in which many files were deleted within the last minutes gives
//! figures several times as high: the file system looks at each recently deleted inode before it makes
//! a new directory.

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crosswheel::digest::Sha256;
use crosswheel::packaging::interpreter::Interpreter;
use crosswheel::packaging::wheel_name::WheelFileName;
use crosswheel::step::helper::Helpers;
use crosswheel::step::venv::virtual_environment::Venv;
use crosswheel::step::venv::wheel_store::WheelStore;
use waiting::InTime;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const ROUNDS: usize = 15;

fn main() {
    let scratch = tempfile::tempdir().expect("a scratch directory below TMPDIR");
    let root = scratch.path();
    // Cargo passes --bench.
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let wheel = given.unwrap_or_else(|| made_up_wheel(root));
    let python = Interpreter::find("3", &root.join("cache")).expect("a Python 3");
    let name: WheelFileName =
        wheel.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("a wheel");
    println!("{name}, Python {}, median of {ROUNDS} rounds in ms\n", python.version_text());
    println!("{:<40}{:>14}{:>14}", "", "make + install", "first import");

    let module = name.name.as_dist_info_name().into_owned();
    let ours = crosswheel(root, &wheel, &python, &module);
    print_row("crosswheel (byte-compiled)", ours);
    match which::which("uv") {
        Err(_) => println!("uv is not on PATH: nothing to compare with"),
        Ok(uv) => {
            print_row("uv venv + uv pip install", with_uv(&uv, root, &wheel, &python, &module, &[]));
            let compiling = with_uv(&uv, root, &wheel, &python, &module, &["--compile-bytecode"]);
            print_row("uv venv + uv pip install, byte-compiled", compiling);
        }
    }
}

fn print_row(label: &str, (made, imported): (Duration, Duration)) {
    println!("{label:<40}{:>14.1}{:>14.1}", made.as_secs_f64() * 1e3, imported.as_secs_f64() * 1e3);
}

fn crosswheel(root: &Path, wheel: &Path, python: &Interpreter, module: &str) -> (Duration, Duration) {
    let store = WheelStore::open(root.join("store"), Helpers::default());
    let digest = store.unpacked(wheel, None, python).expect("the wheel unpacks").sha256();
    medians(|round| {
        let directory = root.join(format!("ours-{round}"));
        let start = Instant::now();
        let unpacked = store.unpacked(wheel, Some(digest), python).expect("the wheel is in the store");
        let mut venv = Venv::create(&directory, &directory, python).expect("an environment is made");
        venv.install(&unpacked).expect("the wheel installs");
        (start.elapsed(), first_import(&directory, module))
    })
}

fn with_uv(
    uv: &Path,
    root: &Path,
    wheel: &Path,
    python: &Interpreter,
    module: &str,
    options: &[&str],
) -> (Duration, Duration) {
    let run = |arguments: &[&str], paths: &[&Path]| {
        let status = Command::new(uv)
            .args(arguments)
            .args(paths)
            .args(["--quiet", "--no-config", "--offline"])
            .env("UV_CACHE_DIR", root.join("uv-cache"))
            .status_in_time();
        assert!(status.success(), "uv {arguments:?} failed");
    };
    medians(|round| {
        let directory = root.join(format!("uv-{round}-{}", options.len()));
        let start = Instant::now();
        run(&["venv", "--python"], &[&python.executable, &directory]);
        let mut install = vec!["pip", "install", "--no-deps", "--no-index", "--link-mode=hardlink"];
        install.extend(options);
        install.push("--python");
        run(&install, &[&directory, wheel]);
        (start.elapsed(), first_import(&directory, module))
    })
}

fn first_import(environment: &Path, module: &str) -> Duration {
    let start = Instant::now();
    let status = Command::new(environment.join("bin/python"))
        .args(["-c", &format!("import {module}")])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status_in_time();
    assert!(status.success());
    start.elapsed()
}

fn medians(mut measure: impl FnMut(usize) -> (Duration, Duration)) -> (Duration, Duration) {
    measure(0); // Fills caches.
    let (mut first, mut second): (Vec<_>, Vec<_>) = (1..=ROUNDS).map(&mut measure).unzip();
    first.sort();
    second.sort();
    (first[ROUNDS / 2], second[ROUNDS / 2])
}

/// 340 modules in 40 packages, as setuptools has them.
fn made_up_wheel(root: &Path) -> PathBuf {
    let path = root.join("made_up-1.0-py3-none-any.whl");
    let mut members: Vec<(String, String)> = vec![
        (
            "made_up-1.0.dist-info/METADATA".into(),
            "Metadata-Version: 2.1\nName: made_up\nVersion: 1.0\n".into(),
        ),
        (
            "made_up-1.0.dist-info/WHEEL".into(),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into(),
        ),
    ];
    for package in 0..40 {
        let directory = if package == 0 { "made_up".to_owned() } else { format!("made_up/p{package}") };
        members.push((format!("{directory}/__init__.py"), String::new()));
        for module in 0..7 {
            let body: String =
                (0..100).map(|line| format!("def f{line}(x):\n    return x + {module}\n")).collect();
            members.push((format!("{directory}/m{module}.py"), body));
        }
    }
    let mut record = String::new();
    for (name, content) in &members {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::of(content.as_bytes()).as_bytes());
        record.push_str(&format!("{name},sha256={hash},{}\n", content.len()));
    }
    members.push(("made_up-1.0.dist-info/RECORD".into(), record));
    let mut zip = ZipWriter::new(fs_err::File::create(&path).expect("a new file"));
    for (name, content) in &members {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).expect("a new member");
        zip.write_all(content.as_bytes()).expect("the disk has room");
    }
    zip.finish().expect("the disk has room");
    path
}

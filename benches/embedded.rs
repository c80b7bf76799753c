//! What the embedded executor costs: `crosswheel wheel` called directly, the same step through `crosswheel build`,
//! and a second build of the same, which is a hit in the action cache.
//!
//! `cargo bench --bench embedded [-- --rounds 21 --source cowsay==6.0 --python 3.11]`. Everything is warm and the
//! three take turns. Needs the network for its set-up only.

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use waiting::{InTime, LONG_DEADLINE};

/// Time the ways to one wheel.
#[derive(Parser)]
struct Options {
    /// Counted rounds; three more go before them
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// What is built
    #[arg(long, default_value = "cowsay==6.0")]
    source: String,
    #[arg(long, default_value = "3.11")]
    python: String,
    /// Passed by `cargo bench`; of no effect
    #[arg(long, hide = true)]
    bench: bool,
}

const WAYS: [&str; 3] = ["crosswheel wheel", "crosswheel build embedded", "second identical build"];

fn main() -> Result<()> {
    let options = Options::parse();
    let directory = tempfile::tempdir()?;
    let subject = Subject::prepare(directory.path(), &options)?;
    let mut times: [Vec<Duration>; WAYS.len()] = Default::default();
    for round in 0..options.rounds + 3 {
        for (way, times) in times.iter_mut().enumerate() {
            let elapsed = subject.time(way, round).context(WAYS[way])?;
            if round >= 3 {
                times.push(elapsed);
            }
        }
    }
    println!(
        "{}: milliseconds, {} rounds\n\n| | median | minimum |\n|---|---|---|",
        options.source, options.rounds
    );
    let medians = times.each_mut().map(|times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    });
    for ((way, median), times) in WAYS.iter().zip(medians).zip(&times) {
        println!("| {way} | {median:.1} | {:.1} |", times[0].as_secs_f64() * 1000.0);
    }
    println!("\nThe embedded executor costs {:.1} ms (aim: 15 ms or less).", medians[1] - medians[0]);
    Ok(())
}

/// An sdist with the wheels it requires, all of them in the cache.
struct Subject {
    directory: PathBuf,
    python: PathBuf,
    sdist: PathBuf,
    wheels: Vec<String>,
}

impl Subject {
    fn prepare(directory: &Path, options: &Options) -> Result<Self> {
        let python =
            crosswheel::packaging::interpreter::Interpreter::find(&options.python, directory)?.executable;
        let mut subject =
            Self { directory: directory.to_owned(), python, sdist: PathBuf::new(), wheels: Vec::new() };
        let built = succeed(
            subject
                .crosswheel("build")
                .args([&options.source, "--json", "--out"])
                .arg(directory.join("first")),
        )?;
        let document: Value = serde_json::from_slice(&built.stdout)?;
        let report = &document["results"][0]["report"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        subject.sdist = subject.download(&text(&report["sdist_sha256"]))?;
        for used in report["build_requirements"].as_array().context("no build requirements")? {
            let sha256 = text(&used["sha256"]);
            subject.wheels.push(format!("{}#sha256={sha256}", subject.download(&sha256)?.display()));
        }
        Ok(subject)
    }

    fn crosswheel(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.env("CROSSWHEEL_CACHE_DIR", self.directory.join("cache"));
        command.arg(subcommand).arg("--python").arg(&self.python);
        command
    }

    /// What was fetched into the cache under this digest.
    fn download(&self, sha256: &str) -> Result<PathBuf> {
        let mut files = fs_err::read_dir(self.directory.join("cache/downloads").join(sha256))?;
        Ok(files.next().context("the cache has no such file")??.path())
    }

    fn time(&self, way: usize, round: usize) -> Result<Duration> {
        // Nothing is removed until the end, and only the last way finds its wheel there.
        let out =
            self.directory.join(if way == 2 { "again".to_owned() } else { format!("out-{way}-{round}") });
        let mut command;
        if way == 0 {
            command = self.crosswheel("wheel");
            command.arg(&self.sdist).args(self.wheels.iter().map(|wheel| format!("--build-wheels={wheel}")));
            command.args(["--json", "--quiet"]);
        } else {
            command = self.crosswheel("build");
            command.arg(&self.sdist).args(["--offline", "--json"]);
            command.args((way == 1).then_some("--rebuild"));
        }
        command.arg("--out").arg(&out);
        let started = Instant::now();
        let output = succeed(&mut command)?;
        let elapsed = started.elapsed();
        let text = String::from_utf8_lossy(&output.stdout);
        let expected = ["\"built\"", "\"status\":\"built\"", "\"status\":\"cached\""][way];
        ensure!(text.contains(expected), "it should say {expected}: {text}");
        Ok(elapsed)
    }
}

fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output_within(LONG_DEADLINE);
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

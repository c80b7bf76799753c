//! Builds the whole corpus of real sdists and says whether each row behaves as it must.
//!
//! `cargo test --release --test corpus` fetches every sdist by name from the index, checks its
//! hash, builds it, builds it again under another directory, umask and TMPDIR, compares the bytes,
//! and prints a table. It exits with 1 if any row surprises. `-- --help` lists the options.

#[path = "../support/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use parking_lot::Mutex;
use serde_json::Value;

use waiting::{InTime, LONG_DEADLINE};

const ROWS: &str = include_str!("corpus.tsv");
/// Of `crosswheel wheel` itself; the backend's tree is another matter.
const MOST_OWN_MEMORY: u64 = 64 << 20;

/// Build the corpus of real sdists, twice each, and check every row.
#[derive(Parser)]
struct Options {
    /// Only these projects, separated by commas
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Rows built at the same time
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
    /// Build once only: no comparison of bytes
    #[arg(long)]
    once: bool,
    /// Keep crosswheel's cache here between runs [default: a fresh one]
    #[arg(long)]
    cache_dir: Option<PathBuf>,
    /// Write the table as Markdown to this file too
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Passed by `cargo test`; of no effect
    #[arg(long, hide = true)]
    nocapture: bool,
}

#[derive(Clone)]
struct Row {
    name: String,
    version: String,
    sha256: String,
    category: String,
    variant: String,
    python: String,
    arguments: Vec<String>,
    expectation: String,
}

/// What one row showed.
struct Observation {
    result: String,
    seconds: f64,
    own_memory: Option<u64>,
    tree_memory: Option<u64>,
    reproducible: Option<bool>,
    surprises: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corpus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let rows: Vec<Row> = rows()?
        .into_iter()
        .filter(|row| options.rows.is_empty() || options.rows.contains(&row.name))
        .collect();
    ensure!(!rows.is_empty(), "no row of the corpus is called {}", options.rows.join(", "));
    let temporary = tempfile::tempdir()?;
    let cache = options.cache_dir.clone().unwrap_or_else(|| temporary.path().join("cache"));
    let next = Mutex::new(0);
    let observed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = {
                        let mut next = next.lock();
                        *next += 1;
                        *next - 1
                    };
                    let Some(row) = rows.get(index) else { break };
                    let directory = temporary.path().join(format!("row-{index}"));
                    let observation = observe(row, &directory, &cache, options.once);
                    eprintln!("{} {}", title(row), observation.result);
                    observed.lock().insert(index, observation);
                }
            });
        }
    });
    let observed = observed.into_inner();
    let table = table(&rows, &observed);
    print!("\n{table}");
    if let Some(path) = &options.markdown {
        fs_err::write(path, &table)?;
    }
    let surprised = observed.values().filter(|observation| !observation.surprises.is_empty()).count();
    for (index, observation) in &observed {
        for surprise in &observation.surprises {
            println!("\nSURPRISE {}: {surprise}", title(&rows[*index]));
        }
    }
    println!("\n{} passed, {surprised} failed", rows.len() - surprised);
    Ok(surprised == 0)
}

fn rows() -> Result<Vec<Row>> {
    let machine = std::env::consts::ARCH;
    let constraints = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/constraints");
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').quoting(false).from_reader(ROWS.as_bytes());
    let row = |record: csv::StringRecord| -> Result<Row> {
        let field = |index: usize| record.get(index).map(str::to_owned).context("a row is too short");
        let arguments = field(6)?.replace("{constraints}", &constraints.display().to_string());
        Ok(Row {
            name: field(0)?,
            version: field(1)?,
            sha256: field(2)?,
            category: field(3)?,
            variant: field(4)?,
            python: field(5)?,
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            expectation: field(7)?.replace("{machine}", machine),
        })
    };
    reader.records().map(|record| row(record?)).collect()
}

fn title(row: &Row) -> String {
    let variant = if row.variant.is_empty() { String::new() } else { format!(" ({})", row.variant) };
    format!("{} {}{variant}", row.name, row.version)
}

fn observe(row: &Row, directory: &Path, cache: &Path, once: bool) -> Observation {
    let mut observation = Observation {
        result: String::new(),
        seconds: 0.0,
        own_memory: None,
        tree_memory: None,
        reproducible: None,
        surprises: Vec::new(),
    };
    if let Err(error) = observe_into(row, directory, cache, once, &mut observation) {
        observation.surprises.push(format!("{error:#}"));
        if observation.result.is_empty() {
            observation.result = "no result".into();
        }
    }
    observation
}

fn observe_into(
    row: &Row,
    directory: &Path,
    cache: &Path,
    once: bool,
    observation: &mut Observation,
) -> Result<()> {
    let first = build(row, &directory.join("first"), cache, Conditions::ORDINARY)?;
    observation.seconds = first["seconds"].as_f64().unwrap_or_default();
    let Some(report) = first["report"].as_object() else {
        let class = first["failure"]["class"].as_str().context("neither a report nor a failure")?;
        observation.result = class.to_owned();
        let failure = serde_json::to_string_pretty(&first["failure"])?;
        ensure!(class == row.expectation, "expected {}, but: {failure}", row.expectation);
        ensure!(!first["failure"]["hint"].is_null(), "the failure has no hint: {failure}");
        return Ok(());
    };
    observation.result = report["file_name"].as_str().unwrap_or_default().to_owned();
    observation.own_memory = report["own_peak_memory_bytes"].as_u64();
    observation.tree_memory = report["peak_memory_bytes"].as_u64();
    ensure!(observation.result == row.expectation, "expected {}", row.expectation);
    ensure!(
        report["sdist_sha256"] == row.sha256.as_str(),
        "the sdist is another: {}",
        report["sdist_sha256"]
    );
    let own = observation.own_memory.unwrap_or(u64::MAX);
    ensure!(own < MOST_OWN_MEMORY, "crosswheel wheel itself used {own} bytes of memory");
    if !once {
        let second = build(row, &directory.join("second/elsewhere"), cache, Conditions::OTHER)?;
        let equal = wheel_bytes(&first)? == wheel_bytes(&second)?;
        observation.reproducible = Some(equal);
        ensure!(equal, "the second build is not byte-identical");
    }
    Ok(())
}

/// What must not show in a wheel.
struct Conditions {
    umask: u32,
}

impl Conditions {
    const ORDINARY: Self = Self { umask: 0o022 };
    const OTHER: Self = Self { umask: 0o077 };
}

/// Builds `row` from within `directory`, with working directory, TMPDIR and workspace there.
fn build(row: &Row, directory: &Path, cache: &Path, conditions: Conditions) -> Result<Value> {
    for name in ["tmp", "work"] {
        fs_err::create_dir_all(directory.join(name))?;
    }
    fs_err::set_permissions(directory, PermissionsExt::from_mode(0o755))?;
    // The shell sets the umask, so that no code of ours runs between fork and exec.
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("umask {:03o}; exec \"$@\"", conditions.umask))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_crosswheel"))
        .args(["build", &format!("{}=={}", row.name, row.version), "--python", &row.python])
        .args(["--json", "--jobs", "1", "--out", "dist", "--rebuild"])
        .args(&row.arguments)
        .current_dir(directory)
        .env("CROSSWHEEL_CACHE_DIR", cache)
        .env("CROSSWHEEL_WORK_DIR", directory.join("work"))
        .env("TMPDIR", directory.join("tmp"))
        .stdin(Stdio::null())
        .process_group(0);
    let output = command.output_within(LONG_DEADLINE);
    let document: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{}: no JSON but: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    match document["results"].get(0) {
        Some(result) => Ok(result.clone()),
        None => bail!("a document without results: {document}"),
    }
}

fn wheel_bytes(result: &Value) -> Result<Vec<u8>> {
    let path = result["wheel"].as_str().with_context(|| format!("no wheel: {}", result["failure"]))?;
    Ok(fs_err::read(path)?)
}

fn table(rows: &[Row], observed: &BTreeMap<usize, Observation>) -> String {
    let mut cells = vec![
        ["sdist", "kind", "result", "s", "own MiB", "tree MiB", "same bytes twice"].map(str::to_owned),
        ["---"; 7].map(str::to_owned),
    ];
    for (index, observation) in observed {
        let mebibytes = |bytes: Option<u64>| bytes.map_or("".into(), |bytes| (bytes >> 20).to_string());
        let row = &rows[*index];
        cells.push([
            title(row),
            row.category.clone(),
            observation.result.clone(),
            format!("{:.2}", observation.seconds),
            mebibytes(observation.own_memory),
            mebibytes(observation.tree_memory),
            match observation.reproducible {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            }
            .into(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 7]| {
        let padded: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = width)).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    cells.iter().map(line).collect()
}

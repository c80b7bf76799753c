//! Times `crosswheel build` against `uv build`, `pip wheel`, `python -m build`, and the floor under
//! all of them: the backend's hooks called in a ready venv.
//!
//! `cargo bench --bench builders [-- --rounds 7 --rows tomli,cowsay --python 3.11]`. Everything is
//! warm, every tool uses the same interpreter and the same versions of the build requirements, and
//! the tools take turns, so that the machine's mood is shared. Needs the network for its set-up and
//! for the first round, which is not counted; in the others no tool may use it.

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use waiting::{InTime, LONG_DEADLINE};

/// The quick rows of the corpus: for the others the compiler is all one sees.
const ROWS: &[&str] = &[
    "tomli==2.2.1",
    "flit-core==3.9.0",
    "pyproject-metadata==0.8.1",
    "filelock==3.17.0",
    "dep-logic==0.4.4",
    "inquirerpy==0.3.4",
    "cowsay==6.0",
    "docopt==0.6.2",
    "azure-common==1.1.28",
    "pluggy==1.4.0",
    "markupsafe==2.1.5",
    "setproctitle==1.3.2",
];

/// Calls the hooks in one process, as fast as Python can.
const FLOOR: &str = "\
import importlib, os, sys
backend, out = sys.argv[1:3]
sys.argv = ['setup.py']
sys.path[:] = [entry for entry in sys.path if entry]
module, _, attribute = backend.partition(':')
sys.path[:0] = [entry for entry in os.environ['BACKEND_PATH'].split(':') if entry]
hooks = importlib.import_module(module)
for name in filter(None, attribute.split('.')):
    hooks = getattr(hooks, name)
if hasattr(hooks, 'get_requires_for_build_wheel'):
    hooks.get_requires_for_build_wheel(None)
print(hooks.build_wheel(out, None, None))
";

/// Time wheel builders side by side.
#[derive(Parser)]
struct Options {
    /// Counted rounds; one more goes before them
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these projects, separated by commas
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// The interpreter all tools use
    #[arg(long, default_value = "3.11")]
    python: String,
    /// Passed by `cargo bench`; of no effect
    #[arg(long, hide = true)]
    bench: bool,
}

const TOOLS: [&str; 5] = ["floor", "crosswheel", "uv build", "pip wheel", "build"];

fn main() -> Result<()> {
    let options = Options::parse();
    let directory = tempfile::tempdir()?;
    let bench = Bench::prepare(directory.path(), &options.python)?;
    println!("median of {} rounds in milliseconds (minimum in brackets)\n", options.rounds);
    println!("| sdist | {} | over the floor | uv / crosswheel |", TOOLS.join(" | "));
    println!("|---|{}", "---|".repeat(TOOLS.len() + 2));
    let mut ratios = Vec::new();
    for row in ROWS {
        if !options.rows.is_empty() && !options.rows.iter().any(|name| row.starts_with(&format!("{name}==")))
        {
            continue;
        }
        let subject = bench.subject(row)?;
        let mut times: [Vec<Duration>; TOOLS.len()] = Default::default();
        for round in 0..=options.rounds {
            for (tool, times) in times.iter_mut().enumerate() {
                let elapsed =
                    bench.time(tool, &subject, round).with_context(|| format!("{} on {row}", TOOLS[tool]))?;
                if round > 0 {
                    times.push(elapsed);
                }
            }
        }
        let medians = times.each_mut().map(|times| median(times));
        let minimum = |times: &Vec<Duration>| times.iter().min().map_or(0.0, |time| milliseconds(*time));
        let cells: Vec<_> = medians
            .iter()
            .zip(&times)
            .map(|(median, all)| format!("{median:.0} ({:.0})", minimum(all)))
            .collect();
        let ratio = medians[2] / medians[1];
        ratios.push(ratio);
        println!("| {row} | {} | {:.0} | {ratio:.2} |", cells.join(" | "), medians[1] - medians[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian of uv / crosswheel: {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| milliseconds(*time))
}

struct Bench {
    directory: PathBuf,
    python: PathBuf,
    /// A venv with pip and build.
    tools: PathBuf,
    uv: PathBuf,
}

/// One sdist, ready for every tool.
struct Subject {
    sdist: PathBuf,
    /// Unpacked, for the tools that cannot read an archive.
    tree: PathBuf,
    backend: String,
    backend_path: Vec<String>,
    /// A venv with what the build requires.
    venv: PathBuf,
    constraints: PathBuf,
}

impl Bench {
    fn prepare(directory: &Path, python: &str) -> Result<Self> {
        let facts = crosswheel::packaging::interpreter::Interpreter::find(python, directory)?;
        let tools = directory.join("tools");
        succeed(Command::new(&facts.executable).args(["-m", "venv"]).arg(&tools))?;
        let pip = tools.join("bin/pip");
        succeed(Command::new(pip).args(["install", "--quiet", "--upgrade", "pip", "build", "uv"]))?;
        let uv = tools.join("bin/uv");
        Ok(Self { directory: directory.to_owned(), python: facts.executable, tools, uv })
    }

    fn crosswheel(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.env("CROSSWHEEL_CACHE_DIR", self.directory.join("cache"));
        command
    }

    fn uv(&self) -> Command {
        let mut command = Command::new(&self.uv);
        command.env("UV_CACHE_DIR", self.directory.join("uv-cache"));
        command
    }

    fn subject(&self, row: &str) -> Result<Subject> {
        let directory = self.directory.join(row);
        let (name, _) = row.split_once("==").context("rows are name==version")?;
        fs_err::create_dir_all(&directory)?;
        let fetched = succeed(
            self.crosswheel()
                .args(["build", row, "--json", "--python"])
                .arg(&self.python)
                .arg("--out")
                .arg(directory.join("first")),
        )?;
        let document: Value = serde_json::from_slice(&fetched.stdout)?;
        let report = &document["results"][0]["report"];
        let sdist = self.find_sdist(report["sdist_sha256"].as_str().context("no digest of the sdist")?)?;
        let requirements: Vec<String> = report["build_requirements"]
            .as_array()
            .context("no build requirements")?
            .iter()
            .map(|used| format!("{}=={}", text(&used["name"]), text(&used["version"])))
            .collect();
        let constraints = directory.join("constraints.txt");
        fs_err::write(&constraints, requirements.join("\n") + "\n")?;
        let venv = directory.join("venv");
        succeed(self.uv().args(["venv", "--quiet", "--python"]).arg(&self.python).arg(&venv))?;
        if !requirements.is_empty() {
            succeed(
                self.uv()
                    .args(["pip", "install", "--quiet", "--compile-bytecode", "--python"])
                    .arg(venv.join("bin/python"))
                    .args(&requirements),
            )?;
        }
        let tree = directory.join("tree");
        fs_err::create_dir_all(&tree)?;
        let limits = crosswheel::contract::ArchiveLimits::default();
        let source = crosswheel::archive::unpack(&sdist, &tree.join("unpacked"), &limits)?;
        let pyproject = fs_err::read(source.root.join("pyproject.toml")).ok();
        let system = crosswheel::step::source::project::BuildSystem::parse(pyproject.as_deref())?;
        ensure!(sdist.exists(), "{name} has no sdist");
        Ok(Subject {
            sdist,
            tree: source.root,
            backend: system.backend,
            backend_path: system.backend_path.iter().map(|path| path.display().to_string()).collect(),
            venv,
            constraints,
        })
    }

    /// The sdist crosswheel has fetched into its cache.
    fn find_sdist(&self, sha256: &str) -> Result<PathBuf> {
        let directory = self.directory.join("cache/downloads").join(sha256);
        let mut files = fs_err::read_dir(&directory)?;
        let file = files.next().context("the cache has no such sdist")??;
        Ok(file.path())
    }

    fn time(&self, tool: usize, subject: &Subject, round: usize) -> Result<Duration> {
        // Nothing is removed until the end: ext4 without a journal takes long to make files while it avoids
        // the inodes of those that were just removed.
        let directory = subject.venv.with_file_name(format!("round-{round}-{tool}"));
        let (out, tree) = (directory.join("out"), directory.join("tree"));
        fs_err::create_dir_all(&out)?;
        succeed(Command::new("cp").arg("-a").arg(&subject.tree).arg(&tree))?;
        let offline: &[&str] = if round == 0 { &[] } else { &["--offline"] };
        let mut command = match TOOLS[tool] {
            "floor" => {
                let mut command = Command::new(subject.venv.join("bin/python"));
                let backend_path: Vec<_> =
                    subject.backend_path.iter().map(|path| tree.join(path).display().to_string()).collect();
                command.args(["-c", FLOOR, &subject.backend]).arg(&out).current_dir(&tree);
                command.env("BACKEND_PATH", backend_path.join(":")).env("PYTHONDONTWRITEBYTECODE", "1");
                command.env("SOURCE_DATE_EPOCH", "315532800");
                command
            }
            "crosswheel" => {
                let mut command = self.crosswheel();
                command.arg("build").arg(&subject.sdist).arg("--python").arg(&self.python);
                command.args(["--rebuild", "--out"]).arg(&out).args(offline);
                command
            }
            "uv build" => {
                let mut command = self.uv();
                command.args(["build", "--wheel", "--quiet"]).arg(&subject.sdist).args(offline);
                command.arg("--python").arg(&self.python).arg("--out-dir").arg(&out);
                command.arg("--build-constraints").arg(&subject.constraints);
                command
            }
            "pip wheel" => {
                let mut command = Command::new(self.tools.join("bin/pip"));
                command.args(["wheel", "--no-deps", "--quiet", "--no-cache-dir"]).arg(&subject.sdist);
                command.arg("--wheel-dir").arg(&out).arg("--find-links").arg(self.wheelhouse(subject)?);
                command.args(["--no-index", "--build-constraint"]).arg(&subject.constraints);
                command
            }
            _ => {
                let mut command = Command::new(self.tools.join("bin/python"));
                command.args(["-m", "build", "--wheel"]).arg("--outdir").arg(&out).arg(&tree);
                command.env("PIP_FIND_LINKS", self.wheelhouse(subject)?).env("PIP_NO_INDEX", "1");
                command.env("PIP_CONSTRAINT", &subject.constraints);
                command
            }
        };
        let started = Instant::now();
        succeed(&mut command)?;
        let elapsed = started.elapsed();
        let built = fs_err::read_dir(&out)?.flatten();
        let wheels = built.filter(|entry| entry.path().extension().is_some_and(|suffix| suffix == "whl"));
        ensure!(wheels.count() == 1, "no wheel came out");
        Ok(elapsed)
    }

    /// The requirements' wheels in one directory, so that pip need not ask an index.
    fn wheelhouse(&self, subject: &Subject) -> Result<PathBuf> {
        let directory = subject.constraints.with_file_name("wheelhouse");
        if !directory.exists() {
            fs_err::create_dir(&directory)?;
            if !fs_err::read_to_string(&subject.constraints)?.trim().is_empty() {
                let mut pip = Command::new(self.tools.join("bin/pip"));
                pip.args(["download", "--quiet", "--no-deps", "--requirement"]).arg(&subject.constraints);
                succeed(pip.arg("--dest").arg(&directory))?;
            }
        }
        Ok(directory)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
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

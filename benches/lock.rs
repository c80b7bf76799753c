//! Times what is done with a lock: reading it, choosing what of it is wanted, closing over the graph, choosing files.
//!
//! `cargo bench --bench lock [-- DIRECTORY [--rounds 50] [--extra E]]`. The directory is a project's with a uv.lock; lerobot's condensed
//! one if none is given. Each round does all anew, and both targets as one command would.

#[path = "../tests/locks/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use crosswheel::lock::{Closure, Conditions, FilePreferences, Graph, Plan, Project, Selection};
use crosswheel::packaging::compatible_tags::CompatibleTags;
use crosswheel::platform::Target;
use pep508_rs::ExtraName;

/// Time what is done with a lock.
#[derive(Parser)]
struct Options {
    /// A project's directory
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/locks/data/lerobot"))]
    directory: PathBuf,
    /// Counted rounds
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// An extra of the project that is wanted, too
    #[arg(long = "extra")]
    extras: Vec<ExtraName>,
    /// `cargo bench` gives it
    #[arg(long, hide = true)]
    bench: bool,
}

/// The times of one round.
#[derive(Default)]
struct Times {
    steps: Vec<(&'static str, Vec<Duration>)>,
}

impl Times {
    fn take<T>(&mut self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(work());
        self.add(step, start.elapsed());
        result
    }

    fn add(&mut self, step: &'static str, taken: Duration) {
        match self.steps.iter_mut().find(|(name, _)| *name == step) {
            Some((_, times)) => times.push(taken),
            None => self.steps.push((step, vec![taken])),
        }
    }

    #[allow(clippy::print_stdout)]
    fn print(mut self) {
        println!("{:<28} {:>9} {:>9}", "", "median ms", "least ms");
        for (step, times) in &mut self.steps {
            times.sort();
            let shown = |time: Duration| time.as_secs_f64() * 1e3;
            println!("{step:<28} {:>9.3} {:>9.3}", shown(times[times.len() / 2]), shown(times[0]));
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut times = Times::default();
    for _ in 0..=options.rounds {
        round(&options, &mut times)?;
    }
    times.print();
    Ok(())
}

fn round(options: &Options, times: &mut Times) -> Result<()> {
    let start = Instant::now();
    let project = times.take("read", || Project::open(&options.directory))?;
    let selection = Selection { extras: options.extras.clone(), ..Selection::default() };
    let configuration = times.take("configuration", || project.configuration(&selection))?;
    for target in ["linux_amd64", "linux_arm64"] {
        let target: Target = target.parse()?;
        let environment = scene::environment(target, 12);
        let tags = CompatibleTags::new((3, 12), "", target, "2.36".parse().ok());
        let closure =
            times.take("close", || Closure::of(&Graph::of(project.lock()), &configuration, &environment))?;
        let preferences = FilePreferences::of(project.settings());
        times.take("plan", || Plan::of(project.lock(), &closure, &tags, &preferences))?;
    }
    times.add("all of that, two targets", start.elapsed());
    times.take("conditions", || Conditions::of(&Graph::of(project.lock()), &configuration))?;
    Ok(())
}

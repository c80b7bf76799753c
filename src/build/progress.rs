//! What the user sees while things happen, on standard error: bars on a terminal, lines elsewhere.
//! Knows nothing of results; those are printed by whoever called us.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The display of one run.
#[derive(Debug)]
pub struct Progress {
    /// None where there is no terminal to draw on.
    bars: Option<MultiProgress>,
    verbose: bool,
}

/// One source on the display; it leaves when dropped.
#[derive(Debug)]
pub struct Task<'a> {
    progress: &'a Progress,
    label: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A display on standard error; `verbose` shows the backends' output, too.
    pub fn on_stderr(verbose: bool) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, verbose }
    }

    /// Adds a task named `label`.
    pub fn task(&self, label: impl Into<String>) -> Task<'_> {
        let label = label.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length());
            let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}  ({elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style);
            bar.set_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Task { progress: self, label, bar }
    }

    /// Prints `line` above the display.
    pub fn line(&self, line: &str) {
        // A terminal that has gone away must not end a build.
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            None => drop(writeln!(std::io::stderr().lock(), "{line}")),
        }
    }

    /// Runs `print` with the display out of the way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

impl Task<'_> {
    /// What is being done now.
    pub fn stage(&self, stage: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(stage.to_owned()),
            None => self.progress.line(&format!("{}: {stage}", self.label)),
        }
    }

    /// How far a transfer has come. Shown on a terminal only.
    pub fn bytes(&self, file_name: &str, received: u64, total: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let of = total.map(|total| format!(" of {:.1}", mebibytes(total))).unwrap_or_default();
        bar.set_message(format!("fetching {file_name}: {:.1}{of} MiB", mebibytes(received)));
    }

    /// A line of a backend's output. Shown if the user asked for it.
    pub fn output(&self, line: &str) {
        if self.progress.verbose {
            self.progress.line(&format!("{} | {line}", self.label));
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! What the user sees while things happen, on standard error: bars on a terminal, lines elsewhere.
//! Knows nothing of results; those are printed by whoever called us.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use parking_lot::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The display of one run.
#[derive(Debug)]
pub struct Progress {
    /// None where there is no terminal to draw on.
    bars: Option<MultiProgress>,
    verbose: bool,
}

/// Bytes of output that are kept of a task, from its end.
const MOST_LOG: usize = 4 << 20;

/// One source on the display; it leaves when dropped.
#[derive(Debug)]
pub struct Task<'a> {
    progress: &'a Progress,
    label: String,
    bar: Option<ProgressBar>,
    log: Option<Mutex<TaskLog>>,
}

/// The output of a task.
#[derive(Debug, Default)]
struct TaskLog {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: usize,
}

/// How far all has come, on the display; it leaves when dropped.
#[derive(Debug)]
pub struct Summary(Option<ProgressBar>);

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
        Task { progress: self, label, bar, log: None }
    }

    /// Adds a task that keeps what it puts out, for [`Task::log`].
    pub fn logged_task(&self, label: impl Into<String>) -> Task<'_> {
        let mut task = self.task(label);
        task.log = Some(Mutex::default());
        task
    }

    /// Adds a line that says how far all has come.
    pub fn summary(&self) -> Summary {
        Summary(self.bars.as_ref().map(|bars| {
            let bar = bars.insert(0, ProgressBar::no_length());
            bar.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        }))
    }

    /// Prints `line` where there is no terminal, which shows by itself what is going on.
    pub fn event(&self, line: &str) {
        if self.bars.is_none() {
            self.line(line);
        }
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
        if let Some(log) = &self.log {
            log.lock().add(line);
        }
        if self.progress.verbose {
            self.progress.line(&format!("{} | {line}", self.label));
        }
    }
}

impl Task<'_> {
    /// Whether it keeps what it puts out.
    pub fn keeps_log(&self) -> bool {
        self.log.is_some()
    }

    /// What it has put out, from the end if that was much; empty if it keeps nothing.
    pub fn log(&self) -> String {
        self.log.as_ref().map(|log| log.lock().text()).unwrap_or_default()
    }
}

impl TaskLog {
    fn add(&mut self, line: &str) {
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.bytes > MOST_LOG {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= first.len();
            self.dropped += 1;
        }
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes + self.lines.len());
        if self.dropped > 0 {
            text.push_str(&format!("({} earlier lines were not kept)\n", self.dropped));
        }
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Summary {
    /// Says how far that is.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Summary {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_keeps_the_end_of_its_output() {
        let progress = Progress { bars: None, verbose: false };
        let task = progress.logged_task("lib");
        let line = "x".repeat(1 << 20);
        for _ in 0..6 {
            task.output(&line);
        }
        task.output("the end");
        let log = task.log();
        assert!(log.starts_with("(3 earlier lines were not kept)\n"), "{}", &log[..60]);
        assert!(log.ends_with("x\nthe end\n"));
        assert!(!progress.task("lib").keeps_log());
    }
}

//! Where the time of a build goes, stage by stage. Knows nothing of what the stages do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Wall-clock seconds per stage.
pub struct Stopwatch {
    started: Instant,
    last: Instant,
    seconds: BTreeMap<String, f64>,
}

impl Stopwatch {
    /// Starts the clock of the first stage.
    pub fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last: now, seconds: BTreeMap::new() }
    }

    /// Books the time since the last lap on `stage`.
    pub fn lap(&mut self, stage: &str) {
        let elapsed = self.last.elapsed();
        self.add(stage, elapsed);
        self.lap_silently();
    }

    /// Forgets the time since the last lap: it is booked elsewhere.
    pub fn lap_silently(&mut self) {
        self.last = Instant::now();
    }

    /// Books `duration` on `stage`.
    pub fn add(&mut self, stage: &str, duration: Duration) {
        self.seconds.insert(stage.to_owned(), duration.as_secs_f64());
    }

    /// The seconds of every stage, and of all of it as `total`.
    pub fn finish(mut self) -> BTreeMap<String, f64> {
        let total = self.started.elapsed();
        self.add("total", total);
        self.seconds
    }
}

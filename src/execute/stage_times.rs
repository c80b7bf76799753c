//! When an action reached which of its stages, and how long each took. The clocks are read once, where a stage begins
//! or the action ends; whoever wants to know is told. Knows nothing of what is done in a stage.

use std::time::{Duration, Instant, SystemTime};

use crate::reapi::{ExecutedActionMetadata, timestamp};

/// What an action is doing: fetching inputs → running → uploading outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    FetchingInputs,
    Running,
    UploadingOutputs,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 3] = [Self::FetchingInputs, Self::Running, Self::UploadingOutputs];
}

/// Both clocks at one moment: the one that people read, and the one that is never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub monotonic: Instant,
    pub wall: SystemTime,
}

impl Moment {
    /// Reads the clocks.
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

/// When the stages were reached that have been so far. One that is reached again counts from then on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageStarts([Option<SystemTime>; 3]);

impl StageStarts {
    /// Notes that a stage was reached.
    pub fn set(&mut self, stage: Stage, at: SystemTime) {
        self.0[stage as usize] = Some(at);
    }

    /// Fills in the fields for what began, and so for what ended with that.
    pub fn write_to(&self, metadata: &mut ExecutedActionMetadata) {
        let [fetching, running, uploading] = self.0.map(|at| at.map(timestamp));
        metadata.input_fetch_start_timestamp = fetching;
        metadata.input_fetch_completed_timestamp = running;
        metadata.execution_start_timestamp = running;
        metadata.execution_completed_timestamp = uploading;
        metadata.output_upload_start_timestamp = uploading;
    }
}

/// The times of an action that has ended, however.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTimes {
    started: Moment,
    starts: StageStarts,
    took: [Option<Duration>; 3],
    ended: Moment,
}

impl StageTimes {
    /// How long it was in a stage, all together; none if it never came to it.
    pub fn took(&self, stage: Stage) -> Option<Duration> {
        self.took[stage as usize]
    }

    /// How long all of it took.
    pub fn total(&self) -> Duration {
        self.ended.monotonic.saturating_duration_since(self.started.monotonic)
    }

    /// Fills in the fields for the worker and its stages.
    pub fn write_to(&self, metadata: &mut ExecutedActionMetadata) {
        self.starts.write_to(metadata);
        let completed = timestamp(self.ended.wall);
        metadata.worker_start_timestamp = Some(timestamp(self.started.wall));
        metadata.output_upload_completed_timestamp =
            metadata.output_upload_start_timestamp.map(|_| completed);
        metadata.worker_completed_timestamp = Some(completed);
    }
}

/// The times of an action that runs.
#[derive(Debug)]
pub(super) struct RunningTimes {
    started: Moment,
    current: Option<(Stage, Instant)>,
    starts: StageStarts,
    took: [Option<Duration>; 3],
}

impl RunningTimes {
    pub(super) fn start(at: Moment) -> Self {
        Self { started: at, current: None, starts: StageStarts::default(), took: [None; 3] }
    }

    pub(super) fn reach(&mut self, stage: Stage, at: Moment) {
        self.leave_stage(at);
        self.starts.set(stage, at.wall);
        self.current = Some((stage, at.monotonic));
    }

    pub(super) fn end(mut self, at: Moment) -> StageTimes {
        self.leave_stage(at);
        let Self { started, starts, took, .. } = self;
        StageTimes { started, starts, took, ended: at }
    }

    fn leave_stage(&mut self, at: Moment) {
        if let Some((stage, since)) = self.current.take() {
            let took = self.took[stage as usize].get_or_insert_default();
            *took = took.saturating_add(at.monotonic.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Moment, seconds: u64) -> Moment {
        let passed = Duration::from_secs(seconds);
        Moment { monotonic: start.monotonic + passed, wall: start.wall + passed }
    }

    #[test]
    fn a_stage_that_is_reached_again_takes_both_times_and_starts_at_the_second() {
        let start = Moment::now();
        let mut times = RunningTimes::start(start);
        let stages = [(Stage::FetchingInputs, 1), (Stage::Running, 3), (Stage::Running, 4)];
        for (stage, second) in stages {
            times.reach(stage, after(start, second));
        }
        let times = times.end(after(start, 10));
        assert_eq!(times.took(Stage::FetchingInputs), Some(Duration::from_secs(2)));
        assert_eq!(times.took(Stage::Running), Some(Duration::from_secs(7)));
        assert_eq!(times.took(Stage::UploadingOutputs), None);
        assert_eq!(times.total(), Duration::from_secs(10));

        let mut metadata = ExecutedActionMetadata::default();
        times.write_to(&mut metadata);
        let at = |second| Some(timestamp(after(start, second).wall));
        assert_eq!(metadata.worker_start_timestamp, at(0));
        assert_eq!(metadata.input_fetch_start_timestamp, at(1));
        assert_eq!(metadata.execution_start_timestamp, at(4));
        assert_eq!(metadata.output_upload_completed_timestamp, None, "it never came to that");
        assert_eq!(metadata.worker_completed_timestamp, at(10));
    }
}

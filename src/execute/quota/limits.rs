//! The limits of a pool's actions, and those of one action, which may ask for less. Knows nothing of how they are kept.

use std::time::Duration;

use super::bound::{Bound, COLLECT_TIMEOUT, PIDS};
use super::exceeded::Exceeded;
use crate::execute::error::ExecuteError;
use crate::platform::canonical_property_name;
use crate::reapi::platform::Property;
use crate::reapi::{Action, Command};
use crate::sandbox::{MetLimit, ResourceLimits};
use crate::size::size;

const GIBIBYTE: u64 = 1 << 30;

/// What each action of a pool may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionLimits {
    /// Bytes on the disk below the directories that are its own.
    pub scratch: u64,
    /// Bytes of all outputs together, as long as they say they are.
    pub output: u64,
    /// Files, directories and symlinks among outputs, with all that is in directories: they are all in memory at a time.
    pub output_entries: u64,
    /// Bytes of standard output and standard error together.
    pub log: u64,
    /// Bytes of memory, with what lies in directories in memory; what the sandbox thinks fit if `None`.
    pub memory: Option<u64>,
    /// Processes and threads; likewise.
    pub pids: Option<u64>,
    /// How long it may take to put outputs into the store. It is no part of the action's timeout, which is for its
    /// command only (REAPI `Action.timeout`).
    pub collect_timeout: Duration,
}

impl Default for ActionLimits {
    /// More than anything honest takes: what keeps the disk from filling up is `min-free-bytes`.
    fn default() -> Self {
        Self {
            scratch: 64 * GIBIBYTE,
            output: 32 * GIBIBYTE,
            output_entries: 500_000,
            log: GIBIBYTE / 4,
            memory: None,
            pids: None,
            collect_timeout: Duration::from_secs(15 * 60),
        }
    }
}

const SCRATCH: &str = "scratch";
const OUTPUT: &str = "output";
const LOG: &str = "log";
const MEMORY: &str = "memory";

/// The platform properties by which an action asks for less than its pool has. They say nothing of who can run it.
const PROPERTIES: [&str; 5] = [SCRATCH, OUTPUT, LOG, MEMORY, PIDS];

/// Whether a platform property is a limit, and so nothing that a worker must offer.
pub fn is_limit(property: &str) -> bool {
    PROPERTIES.contains(&&*canonical_property_name(property))
}

/// The platform properties of an action: its own, or those of its command if it has none (REAPI: servers should prefer
/// those of the action; buck2 and Pants set those of the command only).
pub fn platform_properties<'a>(action: &'a Action, command: &'a Command) -> &'a [Property] {
    // `Command.platform` is deprecated, and in use.
    #[allow(deprecated)]
    let of_command = command.platform.as_ref();
    let of_action = action.platform.as_ref().filter(|platform| !platform.properties.is_empty());
    of_action.or(of_command).map(|platform| platform.properties.as_slice()).unwrap_or_default()
}

/// The limits of one action.
#[derive(Debug, Clone, Copy)]
pub(in crate::execute) struct Limits {
    pub scratch: Bound,
    pub output: Bound,
    pub output_entries: u64,
    pub log: Bound,
    memory: Option<Bound>,
    pids: Option<Bound>,
    pub collect_timeout: Bound,
}

impl Limits {
    /// Those of the pool, or less if the platform `properties` ask for that; more is nobody's to ask for.
    ///
    /// # Errors
    /// [`ExecuteError::Invalid`] for a property that is no size.
    pub fn of(pool: &ActionLimits, properties: &[Property]) -> Result<Self, ExecuteError> {
        let bound = |name, most| Bound { name, most, asked: false };
        let mut limits = Self {
            scratch: bound(SCRATCH, pool.scratch),
            output: bound(OUTPUT, pool.output),
            output_entries: pool.output_entries,
            log: bound(LOG, pool.log),
            memory: pool.memory.map(|most| bound(MEMORY, most)),
            pids: pool.pids.map(|most| bound(PIDS, most)),
            collect_timeout: bound(COLLECT_TIMEOUT, pool.collect_timeout.as_secs()),
        };
        for Property { name, value } in properties {
            let invalid = |problem| ExecuteError::invalid("action.platform", format!("{name}: {problem}"));
            let read = || size(value).map_err(invalid);
            let count = || value.trim().parse().map_err(|_| invalid(format!("`{value}` is no number")));
            match &*canonical_property_name(name) {
                SCRATCH => limits.scratch.lower(read()?),
                OUTPUT => limits.output.lower(read()?),
                LOG => limits.log.lower(read()?),
                MEMORY => limits.memory = Some(Bound::lowered(limits.memory, MEMORY, read()?)),
                PIDS => limits.pids = Some(Bound::lowered(limits.pids, PIDS, count()?)),
                _ => {}
            }
        }
        Ok(limits)
    }

    /// What the sandbox is to hold the command to.
    pub fn resources(&self) -> ResourceLimits {
        let most = |bound: Option<Bound>| bound.map(|bound| bound.most);
        ResourceLimits { memory: most(self.memory), processes: most(self.pids) }
    }

    /// That the sandbox has ended the command for one of those.
    pub fn met(&self, met: MetLimit) -> Exceeded {
        match met {
            MetLimit::Memory(most) => {
                let bound = self.memory.unwrap_or(Bound { name: MEMORY, most, asked: false });
                Exceeded::new(&bound, "took more memory than it may")
            }
            MetLimit::Processes(most) => {
                let bound = self.pids.unwrap_or(Bound { name: PIDS, most, asked: false });
                Exceeded::new(&bound, "had more processes and threads at a time than it may")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(properties: &[(&str, &str)]) -> Result<Limits, ExecuteError> {
        let pool = ActionLimits { scratch: 1000, output: 1000, log: 1000, ..ActionLimits::default() };
        let properties = properties
            .iter()
            .map(|(name, value)| Property { name: (*name).to_owned(), value: (*value).to_owned() });
        Limits::of(&pool, &properties.collect::<Vec<_>>())
    }

    #[test]
    fn an_action_may_ask_for_less_and_never_gets_more() {
        let limits = asked(&[("Scratch", "10"), ("output", "1GiB"), ("Arch", "amd64")]).unwrap();
        assert_eq!((limits.scratch.most, limits.scratch.asked), (10, true));
        assert_eq!((limits.output.most, limits.output.asked), (1000, false));
        let error = asked(&[("log", "much")]).unwrap_err();
        assert!(error.to_string().contains("`much` is no size"), "{error}");
        let error = asked(&[("pids", "1GiB")]).unwrap_err();
        assert!(error.to_string().contains("`1GiB` is no number"), "{error}");
    }

    #[test]
    fn what_the_sandbox_holds_is_named_as_it_is_set() {
        let limits = asked(&[("Memory", "1GiB"), ("pids", "50")]).unwrap();
        assert_eq!(limits.resources(), ResourceLimits { memory: Some(1 << 30), processes: Some(50) });
        let exceeded = limits.met(MetLimit::Processes(50));
        assert_eq!(exceeded.limit, "pids");
        assert!(
            exceeded.to_string().ends_with("its limit is 50 (`pids` of the action's platform)"),
            "{exceeded}"
        );
        let exceeded = asked(&[]).unwrap().met(MetLimit::Memory(1 << 30));
        assert!(exceeded.to_string().ends_with("its limit is 1GiB (`memory` of the pool)"), "{exceeded}");
    }
}

//! How long an action asks to run. Knows nothing of how long it may.

use std::time::Duration;

use super::error::ExecuteError;
use crate::reapi::Action;

/// How long `action` asks to run, if it asks for anything. No time at all is what clients send that have no timeout to
/// send.
///
/// # Errors
/// [`ExecuteError::Invalid`] for a time that cannot pass.
pub fn action_timeout(action: &Action) -> Result<Option<Duration>, ExecuteError> {
    let Some(asked) = &action.timeout else { return Ok(None) };
    let seconds = u64::try_from(asked.seconds);
    let nanos = u32::try_from(asked.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Ok(0), Some(0)) => Ok(None),
        (Ok(seconds), Some(nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(ExecuteError::invalid(
            "action.timeout",
            format!("{} s and {} ns are no time an action can run for", asked.seconds, asked.nanos),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reapi::protobuf;

    fn read(seconds: i64, nanos: i32) -> Result<Option<Duration>, ExecuteError> {
        let timeout = Some(protobuf::Duration { seconds, nanos });
        action_timeout(&Action { timeout, ..Action::default() })
    }

    #[test]
    fn only_times_that_can_pass_are_timeouts() {
        assert_eq!(action_timeout(&Action::default()).unwrap(), None);
        assert_eq!(read(0, 0).unwrap(), None);
        assert_eq!(read(1, 500_000_000).unwrap(), Some(Duration::from_millis(1500)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            let refusal = read(seconds, nanos).unwrap_err();
            assert!(
                matches!(&refusal, ExecuteError::Invalid { field, .. } if field == "action.timeout"),
                "{refusal}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_timeout_makes_the_reader_panic(seconds: i64, nanos: i32) {
            let _ = read(seconds, nanos);
        }
    }
}

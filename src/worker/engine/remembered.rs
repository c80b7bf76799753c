//! Results that nobody may have been given: a scheduler that starts again knows nothing of what it was told, and hands
//! the same action out once more. Knows nothing of schedulers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use prost::Message;

use super::assignment::{ActionKey, Assignment, Completion};

/// A client that asks again does so within minutes.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
/// Results of late, and the largest that is kept.
const MOST: usize = 64;
const LARGEST: usize = 1 << 20;

/// The last results of all slots of a worker.
#[derive(Debug, Default)]
pub struct RememberedResults(Mutex<Vec<Remembered>>);

#[derive(Debug)]
struct Remembered {
    key: ActionKey,
    /// What the scheduler called it, and since when it was wanted.
    handed_out_as: (String, SystemTime),
    completion: Arc<Completion>,
    /// The scheduler was out of reach while the action ran or its result was to be delivered.
    unsure: bool,
    since: Instant,
}

impl RememberedResults {
    /// Keeps a result for a while.
    pub fn keep(&self, assignment: &Assignment, completion: Arc<Completion>, unsure: bool) {
        let Some(key) = assignment.key() else { return };
        let ran = completion.response.result.is_some();
        if !ran || completion.response.encoded_len() > LARGEST {
            return;
        }
        let mut all = self.0.lock();
        all.retain(|other| other.key != key && other.since.elapsed() < KEPT_FOR);
        if all.len() == MOST {
            all.remove(0);
        }
        let handed_out_as = (assignment.id.clone(), assignment.queued_at);
        all.push(Remembered { key, handed_out_as, completion, unsure, since: Instant::now() });
    }

    /// The result of an assignment whose action has run: if it is the very same, which a scheduler hands out again that has
    /// not got the result; if nobody was given the result for sure; or if it was wanted already when the result came, which
    /// is why it does for both. It is forgotten then, unless it is good for all.
    pub fn take(&self, assignment: &Assignment) -> Option<Arc<Completion>> {
        let key = assignment.key()?;
        let mut all = self.0.lock();
        let index = all.iter().position(|other| other.key == key && other.since.elapsed() < KEPT_FOR)?;
        let Remembered { handed_out_as: (id, queued_at), completion, unsure, .. } = &all[index];
        let is_same = *id == assignment.id && *queued_at == assignment.queued_at;
        // By the scheduler's clock alone: less time lay between the two than the first one ran.
        let later = assignment.queued_at.duration_since(*queued_at);
        let waited = completion.is_for_all() && later.is_ok_and(|later| later < completion.ran_for);
        if waited {
            return Some(Arc::clone(completion));
        }
        if *unsure || is_same { Some(all.remove(index).completion) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;
    use crate::reapi::{ActionResult, ExecuteResponse};
    use crate::worker::engine::assignment::WantedAction;

    fn assignment(name: &[u8], queued_at: SystemTime) -> Assignment {
        let digest = DigestFunction::Sha256.digest(name);
        Assignment {
            id: "1".into(),
            instance_name: "main".into(),
            wanted: Ok(WantedAction { digest, message: None }),
            queued_at,
            auxiliary_metadata: Vec::new(),
            request_metadata: None,
        }
    }

    const RAN_FOR: Duration = Duration::from_secs(10);

    fn completion(exit_code: i32, do_not_cache: bool) -> Arc<Completion> {
        let result = Some(ActionResult { exit_code, ..ActionResult::default() });
        let response = ExecuteResponse { result, ..ExecuteResponse::default() };
        Arc::new(Completion { response, do_not_cache, ran_for: RAN_FOR })
    }

    #[test]
    fn who_waited_already_gets_what_is_good_for_all() {
        let queued = SystemTime::now();
        let (while_it_ran, after) = (queued + RAN_FOR / 2, queued + RAN_FOR);
        let results = RememberedResults::default();
        results.keep(&assignment(b"a", queued), completion(0, false), false);
        assert!(results.take(&assignment(b"b", while_it_ran)).is_none());
        for wanted_anew in [after, queued - Duration::from_secs(1)] {
            let mut other = assignment(b"a", wanted_anew);
            other.id = "2".into();
            assert!(results.take(&other).is_none(), "to be run");
        }
        assert!(results.take(&assignment(b"a", while_it_ran)).is_some());
        assert!(results.take(&assignment(b"a", while_it_ran)).is_some());
        for (exit_code, do_not_cache) in [(1, false), (0, true)] {
            results.keep(&assignment(b"c", queued), completion(exit_code, do_not_cache), false);
            let mut other = assignment(b"c", while_it_ran);
            other.id = "2".into();
            assert!(results.take(&other).is_none());
        }
    }

    #[test]
    fn the_very_same_assignment_has_one_result() {
        let now = SystemTime::now();
        let results = RememberedResults::default();
        results.keep(&assignment(b"a", now), completion(1, true), false);
        assert!(results.take(&assignment(b"a", now + Duration::from_secs(1))).is_none(), "wanted anew");
        assert!(results.take(&assignment(b"a", now)).is_some());
        assert!(results.take(&assignment(b"a", now)).is_none(), "it is given once");
    }

    #[test]
    fn what_nobody_may_have_got_is_given_once() {
        let now = SystemTime::now();
        let later = now + Duration::from_secs(1);
        let results = RememberedResults::default();
        results.keep(&assignment(b"a", now), completion(1, true), true);
        let mut elsewhere = assignment(b"a", later);
        elsewhere.instance_name = "other".into();
        assert!(results.take(&elsewhere).is_none());
        assert!(results.take(&assignment(b"a", later)).is_some());
        assert!(results.take(&assignment(b"a", later)).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let now = SystemTime::now();
        let results = RememberedResults::default();
        for number in 0..200_u8 {
            results.keep(&assignment(&[number], now), completion(0, false), true);
        }
        assert_eq!(results.0.lock().len(), MOST);
        let mut large = Completion::clone(&completion(0, false));
        large.response.message = "x".repeat(LARGEST);
        results.keep(&assignment(b"large", now), Arc::new(large), true);
        assert!(results.take(&assignment(b"large", now)).is_none());
    }
}

//! What an action used, in the result's `ExecutedActionMetadata.auxiliary_metadata`. Knows nothing of how it was
//! measured.
//!
//! It is a `google.protobuf.Struct`, as every client can show that one: some print nothing at all of a result with
//! a message in it that they do not know.
//!
//! ```text
//! {"crosswheel": {"peak_memory_bytes": 4194304, "user_seconds": 0.25, "system_seconds": 0.01}}
//! ```

use std::time::Duration;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::reapi::protobuf;
use crate::sandbox::Exit;

/// What the whole process tree of an action used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourceUsage {
    /// Peak of the memory of the whole tree, in bytes: the sum of the resident sets of its processes, sampled, and
    /// never less than its largest process had. Pages that processes share are counted for each of them.
    pub peak_memory_bytes: u64,
    /// Processor time in user mode of all processes that somebody waited for.
    pub user_time: Duration,
    /// Processor time in the kernel, likewise.
    pub system_time: Duration,
}

/// How `google.protobuf.Any` names a `Struct`.
const TYPE_URL: &str = "type.googleapis.com/google.protobuf.Struct";

/// Tells ours from what others may put there.
const OURS: &str = "crosswheel";

const PEAK_MEMORY: &str = "peak_memory_bytes";
const USER_TIME: &str = "user_seconds";
const SYSTEM_TIME: &str = "system_seconds";

impl ResourceUsage {
    pub(super) fn of(exit: &Exit) -> Self {
        Self {
            peak_memory_bytes: exit.peak_memory_bytes,
            user_time: exit.user_time,
            system_time: exit.system_time,
        }
    }

    /// As in `auxiliary_metadata`.
    pub fn to_any(&self) -> protobuf::Any {
        // Numbers of a Struct are floating point: exact up to 2^53, more bytes than any machine has.
        let fields = [
            (PEAK_MEMORY, self.peak_memory_bytes as f64),
            (USER_TIME, self.user_time.as_secs_f64()),
            (SYSTEM_TIME, self.system_time.as_secs_f64()),
        ];
        let number = |(name, number): (&str, f64)| (name.to_owned(), value(Kind::NumberValue(number)));
        let usage = Struct { fields: fields.into_iter().map(number).collect() };
        let whole = Struct { fields: [(OURS.to_owned(), value(Kind::StructValue(usage)))].into() };
        protobuf::Any { type_url: TYPE_URL.to_owned(), value: whole.encode_to_vec() }
    }

    /// The one in `auxiliary_metadata`, if one of ours is in there.
    pub fn find(auxiliary_metadata: &[protobuf::Any]) -> Option<Self> {
        let structs = auxiliary_metadata.iter().filter(|any| any.type_url == TYPE_URL);
        structs.filter_map(|any| Struct::decode(&any.value[..]).ok()).find_map(|mut whole| {
            let Some(Kind::StructValue(usage)) = whole.fields.remove(OURS)?.kind else { return None };
            let number = |name| match usage.fields.get(name)?.kind {
                Some(Kind::NumberValue(number)) => Some(number),
                _ => None,
            };
            Some(Self {
                peak_memory_bytes: number(PEAK_MEMORY)? as u64,
                user_time: Duration::try_from_secs_f64(number(USER_TIME)?).ok()?,
                system_time: Duration::try_from_secs_f64(number(SYSTEM_TIME)?).ok()?,
            })
        })
    }

    /// Processor time, in the kernel and in user mode.
    pub fn processor_time(&self) -> Duration {
        self.user_time.saturating_add(self.system_time)
    }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

pub(super) fn duration(duration: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_among_others() {
        let usage = ResourceUsage {
            peak_memory_bytes: 5 << 30,
            user_time: Duration::from_millis(1500),
            system_time: Duration::ZERO,
        };
        let theirs = Struct { fields: [("other".to_owned(), value(Kind::BoolValue(true)))].into() };
        let others = [
            protobuf::Any { type_url: "type.example/other".into(), ..Default::default() },
            protobuf::Any { type_url: TYPE_URL.into(), value: vec![0xff] },
            protobuf::Any { type_url: TYPE_URL.into(), value: theirs.encode_to_vec() },
        ];
        assert_eq!(ResourceUsage::find(&others), None);
        let found = ResourceUsage::find(&[others.as_slice(), &[usage.to_any()]].concat()).unwrap();
        assert_eq!(found, usage);
        assert_eq!(found.processor_time(), Duration::from_millis(1500));
    }
}

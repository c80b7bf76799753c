//! What an action used, in the result's `ExecutedActionMetadata.auxiliary_metadata`: the message of
//! `protos/crosswheel/v1/resource_usage.proto`. Knows nothing of how it was measured.

use std::time::Duration;

use prost::Message;

use crate::reapi::protobuf;
use crate::sandbox::Exit;

/// What the whole process tree of an action used.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceUsage {
    /// Peak of the memory of the whole tree, in bytes: the sum of its resident sets, sampled.
    #[prost(uint64, tag = "1")]
    pub peak_memory_bytes: u64,
    /// Processor time in user mode.
    #[prost(message, optional, tag = "2")]
    pub user_time: Option<protobuf::Duration>,
    /// Processor time in the kernel.
    #[prost(message, optional, tag = "3")]
    pub system_time: Option<protobuf::Duration>,
}

/// How `google.protobuf.Any` names the message.
const TYPE_URL: &str = "type.googleapis.com/crosswheel.v1.ResourceUsage";

impl ResourceUsage {
    pub(super) fn of(exit: &Exit) -> Self {
        Self {
            peak_memory_bytes: exit.peak_memory_bytes,
            user_time: Some(duration(exit.user_time)),
            system_time: Some(duration(exit.system_time)),
        }
    }

    /// As in `auxiliary_metadata`.
    pub fn to_any(&self) -> protobuf::Any {
        protobuf::Any { type_url: TYPE_URL.to_owned(), value: self.encode_to_vec() }
    }

    /// The one in `auxiliary_metadata`, if one of ours is in there.
    pub fn find(auxiliary_metadata: &[protobuf::Any]) -> Option<Self> {
        let any = auxiliary_metadata.iter().find(|any| any.type_url == TYPE_URL)?;
        Self::decode(&any.value[..]).ok()
    }

    /// Processor time, in the kernel and in user mode.
    pub fn processor_time(&self) -> Duration {
        let sum = |time: &Option<protobuf::Duration>| {
            let Some(time) = time else { return Duration::ZERO };
            let [seconds, nanos] =
                [time.seconds, time.nanos.into()].map(|part| u64::try_from(part).unwrap_or(0));
            Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
        };
        sum(&self.user_time) + sum(&self.system_time)
    }
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
            peak_memory_bytes: 5,
            user_time: Some(duration(Duration::from_millis(1500))),
            system_time: None,
        };
        let other = protobuf::Any { type_url: "type.example/other".into(), ..Default::default() };
        let any = usage.to_any();
        let found = ResourceUsage::find(&[other, any]).unwrap();
        assert_eq!(found, usage);
        assert_eq!(found.processor_time(), Duration::from_millis(1500));
    }

    /// Tag numbers and types as the published definition has them.
    #[test]
    fn the_bytes_are_those_of_the_published_definition() {
        let usage = ResourceUsage {
            peak_memory_bytes: 300,
            user_time: Some(duration(Duration::from_secs(1))),
            system_time: Some(duration(Duration::ZERO)),
        };
        assert_eq!(usage.encode_to_vec(), [0x08, 0xac, 0x02, 0x12, 0x02, 0x08, 0x01, 0x1a, 0x00]);
    }
}

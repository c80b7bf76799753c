//! What running actions write, as streams that clients read with `ByteStream.Read` (REAPI
//! `ExecuteOperationMetadata.stdout_stream_name`). Knows nothing of the actions.
//!
//! The `ByteStream` service asks [`LogStreams::read`] before it looks for a blob. Names are
//! `INSTANCE/logstreams/ID.stdout`, as the Log Stream API has them; nobody can guess one.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::Status;
use uuid::Uuid;

use crate::execute::OutputStream;
use crate::queue::{OutputReader, Queue};
use crate::reapi::bytestream::{ReadRequest, ReadResponse};
use crate::status;

/// Most bytes in one message.
const PIECE_BYTES: usize = 64 << 10;

/// The streams of all actions of a queue.
#[derive(Debug, Clone)]
pub struct LogStreams {
    queue: Arc<Queue>,
}

/// One stream of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StreamName {
    id: Uuid,
    stream: OutputStream,
}

/// The resource name of a stream of an action.
pub(crate) fn stream_name(instance_name: &str, id: Uuid, stream: OutputStream) -> String {
    let separator = if instance_name.is_empty() { "" } else { "/" };
    format!("{instance_name}{separator}logstreams/{}.{}", id.simple(), suffix(stream))
}

impl LogStreams {
    /// The streams of what `queue` runs.
    pub fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Reads a stream: what there is at once, and the rest as it is written, until the action ends. `None` if the
    /// resource is no such stream but something else.
    ///
    /// The stream yields an error if its reader falls so far behind that bytes are no longer in memory.
    #[allow(clippy::type_complexity)]
    pub fn read(
        &self,
        request: &ReadRequest,
    ) -> Option<Result<BoxStream<'static, Result<ReadResponse, Status>>, Status>> {
        let name = StreamName::parse(&request.resource_name)?;
        Some(self.reader(&name, request).map(|(reader, limit)| pieces(reader, limit).boxed()))
    }

    fn reader(
        &self,
        name: &StreamName,
        request: &ReadRequest,
    ) -> Result<(OutputReader, Option<u64>), Status> {
        let offset = u64::try_from(request.read_offset)
            .map_err(|_| status::out_of_range("read_offset", "is negative"))?;
        let limit = match request.read_limit {
            0 => None,
            limit => Some(u64::try_from(limit).map_err(|_| status::invalid("read_limit", "is negative"))?),
        };
        let output = self.queue.output(name.id).ok_or_else(|| {
            Status::not_found(
                "there is no such stream, or its action ended a while ago; its output is in the result of \
                 the action",
            )
        })?;
        Ok((output.read(name.stream, offset), limit))
    }
}

fn pieces(
    reader: OutputReader,
    limit: Option<u64>,
) -> impl futures_util::Stream<Item = Result<ReadResponse, Status>> {
    stream::unfold(Some((reader, limit)), |state| async move {
        let (mut reader, limit) = state?;
        let most = limit.map_or(PIECE_BYTES, |limit| {
            usize::try_from(limit).map_or(PIECE_BYTES, |limit| limit.min(PIECE_BYTES))
        });
        if most == 0 {
            return None;
        }
        match reader.next(most).await {
            Ok(Some(data)) => {
                let limit = limit.map(|limit| limit - data.len() as u64);
                Some((Ok(ReadResponse { data: data.into() }), Some((reader, limit))))
            }
            Ok(None) => None,
            Err(gone) => Some((Err(status::out_of_range("read_offset", gone.to_string())), None)),
        }
    })
}

impl StreamName {
    fn parse(resource_name: &str) -> Option<Self> {
        let (parent, last) = resource_name.rsplit_once('/')?;
        if parent != "logstreams" && !parent.ends_with("/logstreams") {
            return None;
        }
        let (id, suffix_of) = last.split_once('.')?;
        let stream = [OutputStream::Stdout, OutputStream::Stderr]
            .into_iter()
            .find(|stream| suffix(*stream) == suffix_of)?;
        Some(Self { id: Uuid::try_parse(id).ok()?, stream })
    }
}

fn suffix(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let id = Uuid::new_v4();
        for instance_name in ["", "main", "a/b"] {
            for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                let name = stream_name(instance_name, id, stream);
                assert_eq!(StreamName::parse(&name), Some(StreamName { id, stream }), "{name}");
            }
        }
        for other in ["", "logstreams", "blobs/ab/1", "logstreams/x.stdout"] {
            assert_eq!(StreamName::parse(other), None, "{other}");
        }
        assert_eq!(StreamName::parse(&format!("xlogstreams/{id}.stdout")), None);
        assert_eq!(StreamName::parse(&format!("logstreams/{id}.stdin")), None);
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(text: String) {
            let _ = StreamName::parse(&text);
        }
    }
}

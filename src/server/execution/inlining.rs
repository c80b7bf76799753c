//! Contents of small outputs inside of the response (REAPI `ExecuteRequest.inline_stdout` and its like), which saves
//! the client some calls. They are no part of the cached result. Knows nothing of operations.

use std::sync::Arc;

use crate::cas::BlobStore;
use crate::digest::{Digest, DigestFunction};
use crate::queue::Outcome;
use crate::reapi::{ActionResult, ExecuteRequest};

/// Most bytes of contents in one response, which must stay below the 4 MiB that clients take in one message.
const MAX_INLINED_BYTES: usize = 2 << 20;

/// Most bytes of the paths of files that a client wants inlined, which are held until the action has ended: what comes
/// after is read by the client itself. The API leaves it to servers what they inline.
const MAX_PATHS_BYTES: usize = 64 << 10;

/// What a client wants inlined.
#[derive(Clone)]
pub(super) struct Inlining {
    blobs: Arc<dyn BlobStore>,
    function: DigestFunction,
    stdout: bool,
    stderr: bool,
    /// Sorted.
    files: Vec<String>,
}

impl Inlining {
    /// `None` if it wants nothing.
    pub(super) fn asked_for(request: ExecuteRequest, blobs: Arc<dyn BlobStore>) -> Option<Self> {
        let function = DigestFunction::from_wire(request.digest_function).ok()?;
        let (stdout, stderr) = (request.inline_stdout, request.inline_stderr);
        let mut room = MAX_PATHS_BYTES;
        let mut fits = |path: &str| {
            let left = room.checked_sub(size_of::<String>() + path.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let mut files = request.inline_output_files;
        let count = files.iter().take_while(|path| fits(path)).count();
        files.truncate(count);
        files.shrink_to_fit();
        files.sort_unstable();
        (stdout || stderr || !files.is_empty()).then_some(Self { blobs, function, stdout, stderr, files })
    }

    /// The result with what is wanted in it. Reads blobs on another thread.
    pub(super) async fn inline(self, outcome: Arc<Outcome>) -> Option<ActionResult> {
        tokio::task::spawn_blocking(move || outcome.result().cloned().map(|result| self.fill(result)))
            .await
            // The client reads what it misses.
            .ok()?
    }

    fn fill(&self, mut result: ActionResult) -> ActionResult {
        let mut room = MAX_INLINED_BYTES;
        if self.stdout {
            self.contents(&mut result.stdout_raw, result.stdout_digest.as_ref(), &mut room);
        }
        if self.stderr {
            self.contents(&mut result.stderr_raw, result.stderr_digest.as_ref(), &mut room);
        }
        for file in &mut result.output_files {
            if self.files.binary_search(&file.path).is_ok() {
                self.contents(&mut file.contents, file.digest.as_ref(), &mut room);
            }
        }
        result
    }

    fn contents(&self, contents: &mut Vec<u8>, digest: Option<&crate::reapi::Digest>, room: &mut usize) {
        let digest = Digest::from_field(self.function, digest).ok();
        let fits = |digest: &Digest| usize::try_from(digest.size_bytes).is_ok_and(|size| size <= *room);
        let read = digest.filter(fits).and_then(|digest| self.blobs.read(&digest).ok());
        if contents.is_empty()
            && let Some(bytes) = read
        {
            *room -= bytes.len();
            *contents = bytes.into();
        }
    }
}

//! Results of actions: the REAPI `ActionCache` service. Knows nothing of how they came about.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::settings::{MAX_BATCH_BYTES, StorageSettings};
use crate::cas::{BlobStore, CompleteActionCache, CompleteResult, IncompleteResult};
use crate::digest::{Digest, DigestFunction};
use crate::reapi::{ActionResult, UpdateActionResultRequest};
use crate::server::transport::wire::{
    self, Fields, HttpRequest, HttpResponse, Malformed, WireDigest, WireService,
};
use crate::status;

/// The `ActionCache` service.
#[derive(Clone)]
pub struct ActionCacheService {
    inner: Arc<Inner>,
}

struct Inner {
    results: Arc<CompleteActionCache>,
    blobs: Arc<dyn BlobStore>,
    update_action_results: bool,
}

/// Most bytes of a response with contents in it; what does not fit is left for the client to read.
const MAX_INLINED_RESPONSE: usize = MAX_BATCH_BYTES as usize;

impl ActionCacheService {
    /// The results in `results`, whose outputs are in `blobs`. Whoever else writes results has to do it through the
    /// same `results`.
    pub fn new(
        results: Arc<CompleteActionCache>,
        blobs: Arc<dyn BlobStore>,
        settings: &StorageSettings,
    ) -> Self {
        let update_action_results = settings.update_action_results;
        Self { inner: Arc::new(Inner { results, blobs, update_action_results }) }
    }
}

impl Inner {
    async fn get(self: Arc<Self>, request: Bytes) -> Result<Bytes, Status> {
        let request = GetRequest::read(&request)?;
        // Of results in use everything is in memory, down to which blobs exist, so most calls never leave this
        // thread; a hop to another one and back would cost more than all the rest.
        if let Some(result) = self.results.from_memory(&request.instance_name, &request.action)?
            && !request.wants_contents(&result.result)
        {
            return Ok(result.encoded.clone());
        }
        wire::blocking(move || {
            let result = self.results.lookup(&request.instance_name, &request.action)?;
            let result = result.ok_or_else(|| {
                Status::not_found(format!(
                    "there is no result of action {}, or outputs of it are gone",
                    request.action
                ))
            })?;
            Ok(if request.wants_contents(&result.result) {
                self.inlined(&result, &request)
            } else {
                result.encoded.clone()
            })
        })
        .await
    }

    /// The result with those contents that the client wants, as long as they fit.
    fn inlined(&self, result: &CompleteResult, request: &GetRequest) -> Bytes {
        let mut room = MAX_INLINED_RESPONSE.saturating_sub(result.encoded.len());
        let mut contents = |digest: &Option<crate::reapi::Digest>| {
            let digest = Digest::from_field(request.action.function, digest.as_ref()).ok()?;
            let length = usize::try_from(digest.size_bytes).ok().filter(|length| *length <= room)?;
            // Gone since a moment ago: the client finds out when it asks for it.
            let bytes = self.blobs.read(&digest).ok()?;
            room -= length;
            Some(bytes)
        };
        let mut encoded = Vec::with_capacity(result.encoded.len());
        if request.inline_output_files.is_empty() {
            encoded.extend_from_slice(&result.encoded);
        } else {
            let mut whole =
                ActionResult::decode(&result.encoded[..]).unwrap_or_else(|_| result.result.clone());
            for file in &mut whole.output_files {
                if request.inline_output_files.contains(&file.path)
                    && let Some(bytes) = contents(&file.digest)
                {
                    file.contents = bytes.into();
                }
            }
            whole.encode(&mut encoded).expect("a vector grows as needed");
        }
        // Fields may follow in any order, so these are just appended.
        for (wanted, tag, digest) in [
            (request.inline_stdout, 5, &result.result.stdout_digest),
            (request.inline_stderr, 7, &result.result.stderr_digest),
        ] {
            if wanted && let Some(bytes) = contents(digest) {
                wire::put_bytes(&mut encoded, tag, &bytes);
            }
        }
        encoded.into()
    }

    async fn update(self: Arc<Self>, request: Bytes) -> Result<Bytes, Status> {
        if !self.update_action_results {
            return Err(Status::permission_denied(
                "this server takes action results from its own workers only, not from clients, unless it is started \
                 with update-action-result on; run without uploading results \
                 (Bazel: --noremote_upload_local_results)",
            ));
        }
        let request: UpdateActionResultRequest = wire::decode("UpdateActionResultRequest", request)?;
        let function = DigestFunction::from_wire(request.digest_function)
            .map_err(|problem| status::invalid_digest("digest_function", &problem))?;
        let action = Digest::from_field(function, request.action_digest.as_ref())
            .map_err(|problem| status::invalid_digest("action_digest", &problem))?;
        let result = request.action_result.ok_or_else(|| status::invalid("action_result", "is missing"))?;
        wire::blocking(move || {
            let result = self.outlined(function, result)?;
            let stored = self.results.put_complete(&request.instance_name, &action, result);
            Ok(stored.map_err(Status::from)?.encoded.clone())
        })
        .await
    }

    /// The result with contents moved into the store, where their digests must be.
    fn outlined(&self, function: DigestFunction, mut result: ActionResult) -> Result<ActionResult, Status> {
        let store = |field: &str, contents: Vec<u8>, digest: &mut Option<crate::reapi::Digest>| {
            if contents.is_empty() {
                return Ok(());
            }
            let actual = function.digest(&contents);
            match digest {
                Some(stated) if *stated != actual.to_message() => {
                    return Err(status::invalid(
                        field,
                        format!("has the digest {actual}, not the one stated"),
                    ));
                }
                _ => *digest = Some(actual.to_message()),
            }
            Ok(self.blobs.write(&actual, contents.into())?)
        };
        for (index, file) in result.output_files.iter_mut().enumerate() {
            if let Some(problem) = path_problem(&file.path) {
                return Err(status::invalid(format!("action_result.output_files[{index}].path"), problem));
            }
            let field = format!("action_result.output_files[{index}].contents");
            store(&field, std::mem::take(&mut file.contents), &mut file.digest)?;
        }
        for (index, directory) in result.output_directories.iter().enumerate() {
            // The working directory itself may be an output: its path is empty.
            if let Some(problem) = path_problem(&directory.path).filter(|_| !directory.path.is_empty()) {
                let field = format!("action_result.output_directories[{index}].path");
                return Err(status::invalid(field, problem));
            }
        }
        let stdout = std::mem::take(&mut result.stdout_raw);
        store("action_result.stdout_raw", stdout, &mut result.stdout_digest)?;
        let stderr = std::mem::take(&mut result.stderr_raw);
        store("action_result.stderr_raw", stderr, &mut result.stderr_digest)?;
        Ok(result)
    }
}

/// What is wrong with a path that should be relative to the working directory.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if path.starts_with('/') {
        Some("is absolute")
    } else if path.contains('\0') {
        Some("contains a null byte")
    } else {
        None
    }
}

impl From<IncompleteResult> for Status {
    fn from(error: IncompleteResult) -> Self {
        match error {
            IncompleteResult::Missing(missing) => status::missing_outputs(&missing),
            IncompleteResult::Invalid { field, problem } => status::invalid(field, problem),
            IncompleteResult::Store(error) => error.into(),
        }
    }
}

/// A `GetActionResultRequest`.
struct GetRequest {
    instance_name: String,
    action: Digest,
    inline_stdout: bool,
    inline_stderr: bool,
    inline_output_files: HashSet<String>,
}

impl GetRequest {
    fn read(request: &[u8]) -> Result<Self, Status> {
        let malformed = |problem: Malformed| status::invalid("GetActionResultRequest", problem.to_string());
        let mut function = 0;
        let mut digest = None;
        let mut read = Self {
            instance_name: String::new(),
            action: Digest::empty(DigestFunction::Sha256),
            inline_stdout: false,
            inline_stderr: false,
            inline_output_files: HashSet::new(),
        };
        let mut field = |tag, value: wire::Value<'_>| -> Result<(), Malformed> {
            match tag {
                1 => read.instance_name = value.text()?.to_owned(),
                3 => read.inline_stdout = value.number()? != 0,
                4 => read.inline_stderr = value.number()? != 0,
                5 => {
                    read.inline_output_files.insert(value.text()?.to_owned());
                }
                6 => function = value.int32()?,
                _ => {}
            }
            Ok(())
        };
        for next in Fields::of(request) {
            let (tag, value) = next.map_err(malformed)?;
            field(tag, value).map_err(malformed)?;
            if tag == 2 {
                let read = value.bytes().and_then(WireDigest::read).map_err(|problem| {
                    status::invalid("GetActionResultRequest.action_digest", problem.to_string())
                })?;
                digest = Some(read);
            }
        }
        let function = DigestFunction::from_wire(function)
            .map_err(|problem| status::invalid_digest("digest_function", &problem))?;
        read.action = digest
            .ok_or(crate::digest::InvalidBlobDigest::Missing)
            .and_then(|digest| digest.resolve(function))
            .map_err(|problem| status::invalid_digest("action_digest", &problem))?;
        Ok(read)
    }

    /// Whether there is anything that the client wants to have inlined. Bazel always wants standard output and
    /// error, which most actions leave empty.
    fn wants_contents(&self, result: &ActionResult) -> bool {
        let not_empty = |digest: &Option<crate::reapi::Digest>| {
            digest.as_ref().is_some_and(|digest| digest.size_bytes > 0)
        };
        (self.inline_stdout && not_empty(&result.stdout_digest))
            || (self.inline_stderr && not_empty(&result.stderr_digest))
            || !self.inline_output_files.is_empty()
    }
}

impl WireService for ActionCacheService {
    const NAME: &'static str = "build.bazel.remote.execution.v2.ActionCache";

    async fn answer(self, request: HttpRequest) -> HttpResponse {
        let inner = self.inner;
        match wire::method(&request) {
            "GetActionResult" => wire::unary(request, |request| inner.get(request.into_inner())).await,
            "UpdateActionResult" => wire::unary(request, |request| inner.update(request.into_inner())).await,
            _ => wire::unimplemented(&request),
        }
    }
}

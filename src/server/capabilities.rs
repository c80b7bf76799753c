//! What this server can do, truthfully: the REAPI `Capabilities` service. Knows nothing of how it is done.

use bytes::Bytes;
use prost::Message;

use super::storage::content_addressable_storage::chunking;
use super::transport::wire::{self, HttpRequest, HttpResponse, WireService};
use crate::digest::DigestFunction;
use crate::reapi::{
    ActionCacheUpdateCapabilities, CacheCapabilities, ExecutionCapabilities, FastCdc2020Params,
    GetCapabilitiesRequest, PriorityCapabilities, ServerCapabilities, compressor, priority_capabilities,
    semver::SemVer, symlink_absolute_path_strategy as absolute_symlinks,
};

/// What differs between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilitiesSettings {
    /// Whether there is an Execution service.
    pub execution: bool,
    /// The priorities that the queue tells apart, the most urgent first.
    pub priorities: std::ops::RangeInclusive<i32>,
    /// Names of node properties that inputs may have and outputs are given.
    pub node_properties: Vec<String>,
    /// As in [`StorageSettings`](super::storage::settings::StorageSettings).
    pub update_action_results: bool,
    /// As in [`StorageSettings`](super::storage::settings::StorageSettings).
    pub max_blob_bytes: Option<u64>,
    /// As in [`StorageSettings`](super::storage::settings::StorageSettings).
    pub max_batch_bytes: u64,
    /// Whether actions may have symbolic links with absolute targets in their inputs and outputs.
    pub absolute_symlinks: bool,
}

/// The `Capabilities` service. All instances have the same.
#[derive(Debug, Clone)]
pub struct CapabilitiesService {
    encoded: Bytes,
}

impl CapabilitiesService {
    /// A service that says that of every instance.
    pub fn new(settings: &CapabilitiesSettings) -> Self {
        Self { encoded: capabilities(settings).encode_to_vec().into() }
    }
}

fn capabilities(settings: &CapabilitiesSettings) -> ServerCapabilities {
    let functions: Vec<i32> = DigestFunction::ALL.into_iter().map(DigestFunction::to_wire).collect();
    let zstd = vec![compressor::Value::Zstd as i32];
    let absolute_symlinks = if settings.absolute_symlinks {
        absolute_symlinks::Value::Allowed
    } else {
        absolute_symlinks::Value::Disallowed
    };
    ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            digest_functions: functions.clone(),
            action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                update_enabled: settings.update_action_results,
            }),
            // Results have no priorities: what was used last is kept.
            cache_priority_capabilities: Some(priorities(0..=0)),
            max_batch_total_size_bytes: i64::try_from(settings.max_batch_bytes).unwrap_or(i64::MAX),
            symlink_absolute_path_strategy: absolute_symlinks as i32,
            supported_compressors: zstd.clone(),
            supported_batch_update_compressors: zstd,
            max_cas_blob_size_bytes: settings
                .max_blob_bytes
                .map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX)),
            split_blob_support: true,
            splice_blob_support: true,
            fast_cdc_2020_params: Some(FastCdc2020Params {
                avg_chunk_size_bytes: chunking().average_bytes(),
                seed: chunking().seed(),
            }),
            rep_max_cdc_params: None,
        }),
        execution_capabilities: settings.execution.then(|| ExecutionCapabilities {
            digest_function: DigestFunction::Sha256.to_wire(),
            exec_enabled: true,
            execution_priority_capabilities: Some(priorities(settings.priorities.clone())),
            supported_node_properties: settings.node_properties.clone(),
            digest_functions: functions,
        }),
        deprecated_api_version: None,
        low_api_version: Some(version(2, 0)),
        // With both the unary calls of 2.12 for chunks and the streams that 2.13 has in their place.
        high_api_version: Some(version(2, 13)),
    }
}

fn priorities(range: std::ops::RangeInclusive<i32>) -> PriorityCapabilities {
    let range =
        priority_capabilities::PriorityRange { min_priority: *range.start(), max_priority: *range.end() };
    PriorityCapabilities { priorities: vec![range] }
}

fn version(major: i32, minor: i32) -> SemVer {
    SemVer { major, minor, patch: 0, prerelease: String::new() }
}

impl WireService for CapabilitiesService {
    const NAME: &'static str = "build.bazel.remote.execution.v2.Capabilities";

    async fn answer(self, request: HttpRequest) -> HttpResponse {
        let encoded = self.encoded;
        match wire::method(&request) {
            "GetCapabilities" => {
                wire::unary(request, |request| async move {
                    wire::decode::<GetCapabilitiesRequest>("GetCapabilitiesRequest", request.into_inner())?;
                    Ok(encoded)
                })
                .await
            }
            _ => wire::unimplemented(&request),
        }
    }
}

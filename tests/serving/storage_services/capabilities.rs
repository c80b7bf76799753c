//! Capabilities are true.

use crosswheel::reapi::{GetCapabilitiesRequest, compressor, digest_function};
use crosswheel::server::{MAX_BATCH_BYTES, StorageSettings};

use super::endpoint::Endpoint;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_without_execution_says_what_it_can_do() {
    let settings = StorageSettings {
        max_blob_bytes: Some(1 << 30),
        update_action_results: false,
        ..StorageSettings::default()
    };
    let endpoint = Endpoint::start_with(settings).await;
    let request = GetCapabilitiesRequest { instance_name: "any/instance".into() };
    let capabilities = endpoint.capabilities().get_capabilities(request).await.unwrap().into_inner();
    assert!(capabilities.execution_capabilities.is_none());
    let (low, high) = (capabilities.low_api_version.unwrap(), capabilities.high_api_version.unwrap());
    assert_eq!((low.major, low.minor, high.major, high.minor), (2, 0, 2, 13));
    let cache = capabilities.cache_capabilities.unwrap();
    let functions = [digest_function::Value::Sha256 as i32, digest_function::Value::Blake3 as i32];
    assert_eq!(cache.digest_functions, functions);
    assert_eq!(cache.supported_compressors, [compressor::Value::Zstd as i32]);
    assert_eq!(cache.supported_batch_update_compressors, [compressor::Value::Zstd as i32]);
    assert_eq!(cache.max_batch_total_size_bytes.unsigned_abs(), MAX_BATCH_BYTES);
    assert_eq!(cache.max_cas_blob_size_bytes, 1 << 30);
    assert!(!cache.action_cache_update_capabilities.unwrap().update_enabled);
    assert!(cache.split_blob_support && cache.splice_blob_support);
    assert_eq!(cache.fast_cdc_2020_params.unwrap().avg_chunk_size_bytes, 512 << 10);
}

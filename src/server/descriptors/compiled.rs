//! What our services and messages look like, for gRPC reflection: compiled from `protos/` when crosswheel is
//! built. Knows nothing of what the services do.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;

/// The Remote Execution API and its relatives.
pub const SERVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.binpb"));

/// The files that describe everything we serve.
pub const FILES: [&[u8]; 4] = [
    SERVICES,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// All methods that can be called, as `SERVICE/METHOD`, by that name.
pub fn methods() -> &'static HashMap<String, &'static str> {
    static METHODS: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        FILES.into_iter().flat_map(method_names).map(|name| (name.clone(), &*name.leak())).collect()
    });
    &METHODS
}

fn method_names(files: &[u8]) -> Vec<String> {
    let set = FileDescriptorSet::decode(files).expect("the build compiled it");
    let mut names = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                names.push(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests;

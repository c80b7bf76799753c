//! Compiles `protos/`: what the server speaks into one descriptor set, so that it can describe its services (gRPC
//! reflection), and what workers of other engines speak into code.

use std::error::Error;
use std::path::{Path, PathBuf};

/// What the server speaks; files that these import come with them.
const SERVICES: [&str; 4] = [
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "build/bazel/remote/logstream/v1/remote_logstream.proto",
    "google/bytestream/bytestream.proto",
    "google/longrunning/operations.proto",
];

/// What engines speak with their workers.
const WORKER_PROTOCOLS: [&str; 3] = [
    "buildbarn/remoteworker/remoteworker.proto",
    "com/github/trace_machina/nativelink/remote_execution/worker_api.proto",
    "google/devtools/remoteworkers/v1test2/bots.proto",
];

/// Messages that we have from another crate, by package.
const ELSEWHERE: [(&str, &str); 3] = [
    (".build.bazel.remote.execution.v2", "::bazel_remote_apis::build::bazel::remote::execution::v2"),
    (".google.protobuf", "::bazel_remote_apis::google::protobuf"),
    (".google.rpc", "::bazel_remote_apis::google::rpc"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let directory = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    describe_services(&directory)?;
    generate_worker_protocols()
}

fn describe_services(directory: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::Compiler::new(["protos"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(SERVICES)?
        .encode_file_descriptor_set();
    fs_err::write(directory.join("services.binpb"), descriptors)?;
    Ok(())
}

fn generate_worker_protocols() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(WORKER_PROTOCOLS, ["protos"])?;
    let builder = tonic_prost_build::configure().compile_well_known_types(true);
    let builder =
        ELSEWHERE.iter().fold(builder, |builder, (package, path)| builder.extern_path(*package, *path));
    builder.compile_fds(descriptors)?;
    Ok(())
}

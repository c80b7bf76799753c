//! Compiles `protos/` into one descriptor set, so that the server can describe its services (gRPC reflection).

use std::error::Error;
use std::path::Path;

/// What the server speaks; files that these import come with them.
const SERVICES: [&str; 4] = [
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "build/bazel/remote/logstream/v1/remote_logstream.proto",
    "google/bytestream/bytestream.proto",
    "google/longrunning/operations.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let descriptors = protox::Compiler::new(["protos"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(SERVICES)?
        .encode_file_descriptor_set();
    let directory = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs_err::write(Path::new(&directory).join("services.binpb"), descriptors)?;
    Ok(())
}

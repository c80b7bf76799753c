//! What a single-host endpoint of the Remote Execution API does per second, ours and a peer's side by side, client
//! included, all on this machine; beside each figure the limit that binds it.
//!
//! ```text
//! cargo bench --bench reapi                                    crosswheel alone
//! cargo bench --bench reapi -- --nativelink PATH/TO/nativelink with the peer in the next column
//! cargo bench --bench reapi -- --before PATH/TO/crosswheel     with one of before a change in the next column
//! cargo bench --bench reapi -- --rows no-op,find --seconds 10
//! cargo bench --bench reapi -- --endpoint NAME=http://127.0.0.1:8980   any server that runs already
//! ```

mod endpoint;
mod first_reads;
mod limits;
mod load;
mod rows;
mod table;
mod trees;
#[path = "../../tests/support/waiting.rs"]
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use endpoint::Endpoint;
use table::Table;

/// Measures REAPI endpoints.
#[derive(Parser)]
struct Arguments {
    /// Cargo's own flag.
    #[arg(long, hide = true)]
    bench: bool,
    /// How long each row is measured.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Only rows whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// A NativeLink binary to measure beside us, with a store of its own on disk.
    #[arg(long)]
    nativelink: Option<PathBuf>,
    /// Another crosswheel, such as that of before a change, to measure beside this one.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Other servers that run already.
    #[arg(long, value_name = "NAME=URL")]
    endpoint: Vec<String>,
    /// Leave crosswheel out.
    #[arg(long)]
    without_crosswheel: bool,
    /// Where the servers keep their stores; a directory on a disk, not in memory.
    #[arg(long)]
    directory: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let scratch = match &arguments.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        // Next to the build's own output: on a disk, as stores are.
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?,
    };
    let mut table = Table::new(limits::measure(scratch.path())?);
    let options = rows::Options { time: Duration::from_secs_f64(arguments.seconds), only: arguments.rows };

    let mut endpoints: Vec<Box<dyn FnOnce() -> anyhow::Result<Endpoint>>> = Vec::new();
    if !arguments.without_crosswheel {
        let store = scratch.path().join("crosswheel");
        let own = PathBuf::from(env!("CARGO_BIN_EXE_crosswheel"));
        endpoints.push(Box::new(move || Endpoint::crosswheel("crosswheel", &own, &store)));
    }
    let before = arguments.before;
    if let Some(binary) = before.clone() {
        let store = scratch.path().join("before");
        endpoints.push(Box::new(move || Endpoint::crosswheel("before", &binary, &store)));
    }
    if let Some(binary) = arguments.nativelink {
        let store = scratch.path().join("nativelink");
        endpoints.push(Box::new(move || Endpoint::nativelink(&binary, &store)));
    }
    for given in arguments.endpoint {
        endpoints.push(Box::new(move || Endpoint::running(&given)));
    }
    let mut restarted: Vec<(&str, PathBuf)> = Vec::new();
    if !arguments.without_crosswheel {
        restarted.push(("crosswheel", PathBuf::from(env!("CARGO_BIN_EXE_crosswheel"))));
    }
    restarted.extend(before.map(|binary| ("before", binary)));
    for start in endpoints {
        let endpoint = start()?;
        eprintln!("measuring {}", endpoint.name);
        runtime.block_on(rows::measure(&endpoint, &options, &mut table))?;
    }
    for (name, binary) in restarted {
        let store = scratch.path().join("restarted").join(name);
        fs_err::create_dir_all(&store)?;
        runtime.block_on(first_reads::measure(name, &binary, &store, &options, &mut table))?;
    }
    table.print();
    Ok(())
}

//! Tries at start what actions of a pool will need: that programs of its root run, that a cross compiler works there.
//! Knows nothing of actions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::deadline;
use crate::emulation::smallest_program_file;
use crate::execute::{CrossCompiler, EXEC_ROOT};
use crate::platform::Arch;
use crate::sandbox::{Bind, Outcome, ResourceLimits, RootFileSystem, Spawner, Spec};

/// Both take milliseconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program for `arch` in `root`; the error says what came of it.
pub(crate) fn run_a_program(spawner: &Spawner, root: &RootFileSystem, arch: Arch) -> Result<(), String> {
    let place = "/.crosswheel/probe";
    let program = smallest_program_file(arch).map_err(|error| format!("cannot write a program: {error}"))?;
    let host = fs_err::canonicalize(&program).map_err(|error| error.to_string())?;
    // And there must be a place for what an action is to find.
    let exec_root = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let binds = vec![
        Bind { host, inside: place.into(), writable: false },
        Bind { host: exec_root.path().into(), inside: EXEC_ROOT.into(), writable: true },
    ];
    run(spawner, root, binds, vec![place.into()], None)
}

/// Compiles and links something in `root`, of C++ as well if the compiler is used for that; the error says what came of
/// it.
pub(crate) fn compile(
    spawner: &Spawner,
    root: &RootFileSystem,
    compiler: &CrossCompiler,
) -> Result<(), String> {
    let c = ("c", compiler.inside(), &b"#include <stdio.h>\nint greet(void) { return puts(\"\"); }\n"[..]);
    let source = &b"#include <iostream>\nvoid greet(int number) { std::cout << number << std::endl; }\n"[..];
    let cxx = compiler.cxx().map(|program| ("c++", program, source));
    for (language, program, source) in std::iter::once(c).chain(cxx) {
        // Whatever is used has to be in the libraries of the root.
        let arguments = ["-x", language, "-fPIC", "-shared", "-Wl,-z,defs", "-o", "/tmp/library.so", "-"];
        let arguments = arguments.map(OsString::from);
        let argv = std::iter::once(program.as_os_str().to_owned()).chain(arguments).collect();
        run(spawner, root, compiler.binds().to_vec(), argv, Some(source))?;
    }
    Ok(())
}

fn run(
    spawner: &Spawner,
    root: &RootFileSystem,
    binds: Vec<Bind>,
    argv: Vec<OsString>,
    input: Option<&[u8]>,
) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let (output, writer) = io::pipe().map_err(words)?;
    let stdin = input.map(in_a_file).transpose().map_err(words)?;
    let spec = Spec {
        argv,
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        working_directory: PathBuf::from("/"),
        root: root.clone(),
        overlays: Vec::new(),
        binds,
        visible_host_paths: Vec::new(),
        stdin: stdin.map(Into::into),
        stdout: writer.into(),
        stderr: None,
        network: false,
        limits: ResourceLimits::default(),
    };
    let tree = spawner.spawn(spec).map_err(|error| error.to_string())?;
    // Ends when nothing of the command is left.
    let said = thread::spawn(move || read(output));
    let exit =
        tree.wait(Some(deadline::after(Instant::now(), PATIENCE))).map_err(|error| error.to_string())?;
    let said = said.join().unwrap_or_default();
    match exit.outcome {
        Outcome::Code(0) => Ok(()),
        _ if exit.timed_out => Err(format!("it was not done after {} s", PATIENCE.as_secs())),
        Outcome::Code(code) => Err(format!("it ended with code {code}: {}", said.trim())),
        Outcome::Signal(signal) => Err(format!("it was ended by signal {signal}: {}", said.trim())),
    }
}

fn in_a_file(input: &[u8]) -> io::Result<std::fs::File> {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// Enough for an error.
fn read(output: PipeReader) -> String {
    const MOST: u64 = 4096;
    let mut said = Vec::new();
    let mut beginning = output.take(MOST);
    // What is lost of it is lost.
    let _ = beginning.read_to_end(&mut said);
    let _ = io::copy(&mut beginning.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

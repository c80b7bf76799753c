//! Interpreters, compilers and the resolver.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::finding::Finding;
use crate::packaging::interpreter::Interpreter;
use crate::scratch::temporary::TemporaryDirectory;

const PYTHON_MINORS: std::ops::RangeInclusive<u8> = 8..=15;

/// Every CPython there is, and whether C extensions can be built for it.
pub(super) fn pythons(cache: &Path) -> Vec<Finding> {
    // Starting an interpreter takes a while, and the shims of version tools take longer still.
    let found: Vec<Finding> = std::thread::scope(|scope| {
        let ask = |minor: u8| move || Interpreter::find(&format!("3.{minor}"), cache).ok();
        let asked: Vec<_> = PYTHON_MINORS.map(|minor| scope.spawn(ask(minor))).collect();
        asked.into_iter().filter_map(|asked| asked.join().ok()?).map(|found| python(&found)).collect()
    });
    if found.is_empty() {
        let mend = "apt-get install python3 python3-dev";
        return vec![Finding::broken("Python", "found no Python on PATH, nor one of pyenv or uv", mend)];
    }
    found
}

fn python(interpreter: &Interpreter) -> Finding {
    let (major, minor, _) = interpreter.version;
    let subject = format!("Python {major}.{minor}");
    let at = format!("{} at {}", interpreter.version_text(), interpreter.executable.display());
    let header = format!("include/python{major}.{minor}{}/Python.h", interpreter.abi_flags);
    if interpreter.base_prefix.join(&header).exists() {
        return Finding::works(&subject, at);
    }
    Finding::limited(
        &subject,
        format!("{at}; without its headers, so C extensions cannot be built for it"),
        format!("apt-get install python{major}.{minor}-dev"),
    )
}

/// C and C++: each compiler compiles and links a real, if small, program.
pub(super) fn compilers() -> Vec<Finding> {
    let c = ("C compiler", "cc", "c", "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n");
    let cxx =
        ("C++ compiler", "c++", "cc", "#include <string>\nint main() { return std::string().size(); }\n");
    let mend = ["apt-get install gcc libc6-dev", "apt-get install g++"];
    [c, cxx].into_iter().zip(mend).map(|(language, mend)| compiler(language, mend)).collect()
}

fn compiler((subject, command, suffix, program): (&str, &str, &str, &str), mend: &str) -> Finding {
    let Ok(path) = which::which(command) else {
        return Finding::limited(subject, format!("there is no `{command}`; pure wheels can be built"), mend);
    };
    match compile(&path, suffix, program) {
        Ok(()) => Finding::works(subject, first_line(&path).unwrap_or_else(|| path.display().to_string())),
        Err(reason) => {
            Finding::limited(subject, format!("`{}` does not compile: {reason}", path.display()), mend)
        }
    }
}

fn compile(compiler: &Path, suffix: &str, program: &str) -> Result<(), String> {
    let directory = TemporaryDirectory::new().map_err(|error| error.to_string())?;
    let source = directory.path().join(format!("program.{suffix}"));
    fs_err::write(&source, program).map_err(|error| error.to_string())?;
    let output = Command::new(compiler)
        .arg(&source)
        .arg("-o")
        .arg(directory.path().join("program"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().find(|line| line.contains("error")).unwrap_or("no message").trim().to_owned())
}

/// Needed by sdists with Rust extensions only.
pub(super) fn rust() -> Finding {
    let mend = "install Rust from https://rustup.rs, if you build sdists with Rust extensions";
    match which::which("cargo") {
        Err(_) => Finding::limited("Rust", "there is no `cargo`", mend),
        Ok(cargo) => match first_line(&cargo) {
            Some(version) => Finding::works("Rust", version),
            None => Finding::limited("Rust", format!("`{} --version` fails", cargo.display()), mend),
        },
    }
}

/// Resolves build requirements; installed into the cache when needed.
pub(super) fn uv(cache: &Path) -> Finding {
    if let Some(version) = which::which("uv").ok().as_deref().and_then(first_line) {
        return Finding::works("uv", version);
    }
    let installed = fs_err::read_dir(cache.join("uv")).into_iter().flatten().flatten().next();
    match installed {
        Some(entry) => Finding::works("uv", format!("installed by crosswheel: {}", entry.path().display())),
        None => {
            Finding::works("uv", "not on PATH; `crosswheel build` will fetch a pinned one from PyPI, once")
        }
    }
}

fn first_line(program: impl AsRef<OsStr>) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    output.status.success().then_some(text)
}

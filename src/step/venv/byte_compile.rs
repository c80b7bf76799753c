//! Byte-compiles Python files ahead of time, so that a fresh venv starts as fast as a used one.
//! The files are marked as not to be checked against their sources (PEP 552, unchecked hash), which
//! keeps them valid wherever and whenever they are hard-linked. Knows nothing of wheels.

use std::io;
use std::path::Path;

use crate::packaging::interpreter::Interpreter;
use crate::step::helper::{Helper, Helpers};

const SCRIPT: &str = include_str!("byte_compile.py");
/// Fewer files than this are not worth another process.
const FILES_PER_PROCESS: usize = 64;

/// Why nothing could be compiled. Files that are not valid Python are no error.
#[derive(Debug, thiserror::Error)]
pub enum ByteCompileError {
    /// The interpreter does not start, or does not read.
    #[error("cannot run `{python}` to byte-compile files: {source}")]
    Run {
        /// The interpreter.
        python: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The interpreter failed.
    #[error("`{python}` failed to byte-compile files ({status}): {message}")]
    Failed {
        /// The interpreter.
        python: String,
        /// How it ended.
        status: String,
        /// The last line it printed.
        message: String,
    },
}

/// The path `interpreter` loads the compiled form of `source` from (PEP 3147).
pub fn compiled_path(source: &str, interpreter: &Interpreter) -> Option<String> {
    let (directory, file) = source.rsplit_once('/').map_or(("", source), |(above, file)| (above, file));
    let stem = file.strip_suffix(".py")?;
    let separator = if directory.is_empty() { "" } else { "/" };
    Some(format!("{directory}{separator}__pycache__/{stem}.{}.pyc", interpreter.cache_tag))
}

/// Compiles `sources`, relative to `root`, with as many processes as there are processors. The same
/// sources give the same bytes, whatever `root` is.
pub fn byte_compile(
    root: &Path,
    sources: &[&str],
    interpreter: &Interpreter,
    helpers: &Helpers,
) -> Result<(), ByteCompileError> {
    let run_error =
        |source| ByteCompileError::Run { python: interpreter.executable.display().to_string(), source };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processes = sources.len().div_ceil(FILES_PER_PROCESS).min(processors);
    // All are waited for before any failure is reported, so that none is left behind.
    let outputs = std::thread::scope(|scope| {
        let running: Vec<_> = (0..processes)
            .map(|index| {
                let names: Vec<&str> = sources.iter().skip(index).step_by(processes).copied().collect();
                scope.spawn(move || helpers.run(compiler(root, &names, interpreter)))
            })
            .collect();
        let panicked = |_| Err(io::Error::other("the thread that waits for it has panicked"));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect::<Vec<_>>()
    });
    for output in outputs {
        let output = output.map_err(run_error)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let message = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
            return Err(ByteCompileError::Failed {
                python: interpreter.executable.display().to_string(),
                status: output.status.to_string(),
                message: message.trim().to_owned(),
            });
        }
    }
    Ok(())
}

fn compiler<'a>(root: &'a Path, names: &[&str], interpreter: &'a Interpreter) -> Helper<'a> {
    let libraries =
        std::env::var_os("LD_LIBRARY_PATH").map(|libraries| ("LD_LIBRARY_PATH".into(), libraries));
    // -I would be stricter, but makes Python ignore the hash seed, on which sets in the output depend.
    let environment =
        [("PYTHONHASHSEED".into(), "0".into()), ("SOURCE_DATE_EPOCH".into(), "315532800".into())];
    let visible = interpreter.executable.parent().map(Path::to_owned);
    Helper {
        program: &interpreter.executable,
        arguments: ["-s", "-S", "-c", SCRIPT].map(Into::into).to_vec(),
        environment: environment.into_iter().chain(libraries).collect(),
        directory: Some(root),
        input: names.join("\0").into_bytes(),
        visible: visible.into_iter().chain([interpreter.base_prefix.clone()]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter() -> Interpreter {
        Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap()
    }

    #[test]
    fn valid_files_are_compiled_to_the_same_bytes_anywhere_and_others_passed_over() {
        let python = interpreter();
        let sources = ["pkg/__init__.py", "pkg/é.py", "template.py"];
        let compile = || {
            let root = tempfile::tempdir().unwrap();
            fs_err::create_dir(root.path().join("pkg")).unwrap();
            fs_err::write(
                root.path().join(sources[0]),
                "x = {'a', 'b', 'c'}\nf = lambda: 'x' in {'p', 'q', 'r'}\n",
            )
            .unwrap();
            fs_err::write(root.path().join(sources[1]), "import pkg\n").unwrap();
            fs_err::write(root.path().join(sources[2]), "print 'two'\n").unwrap();
            // A module of this name in the tree must not be imported by the compiler.
            fs_err::write(root.path().join("py_compile.py"), "raise SystemExit(9)\n").unwrap();
            byte_compile(root.path(), &sources, &python, &Helpers::default()).unwrap();
            sources.map(|source| fs_err::read(root.path().join(compiled_path(source, &python).unwrap())).ok())
        };
        let first = compile();
        assert!(first[0].is_some() && first[1].is_some() && first[2].is_none());
        // Bit 0 of the flags: validated by hash; bit 1, clear: never checked (PEP 552).
        assert_eq!(first[0].as_ref().unwrap()[4..8], [1, 0, 0, 0]);
        assert_eq!(first, compile());
    }

    #[test]
    fn an_interpreter_that_fails_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let absent = Interpreter { executable: "/absent/python".into(), ..interpreter() };
        let error =
            byte_compile(root.path(), &["a.py"], &absent, &Helpers::default()).unwrap_err().to_string();
        assert!(error.contains("cannot run `/absent/python`"), "{error}");
        let failing = Interpreter { executable: "/bin/false".into(), ..interpreter() };
        let error =
            byte_compile(root.path(), &["a.py"], &failing, &Helpers::default()).unwrap_err().to_string();
        assert!(error.contains("exit status: 1"), "{error}");
    }
}

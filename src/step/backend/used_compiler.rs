//! Which C compiler a build has used, as far as that can be told from outside. Knows nothing of what it compiled.

use std::path::{Path, PathBuf};

use super::cross_compiler::check_executable;
use crate::contract::{CompilerKind, CompilerReport};
use crate::digest::Sha256;
use crate::packaging::interpreter::{keep, machine_of, stamp};
use crate::platform::{Arch, SYSTEM_PATH};
use crate::step::helper::{Helper, Helpers};
use crate::step::request::BackendRequest;

/// The compiler that the build `request` describes has used, as far as it can be told from outside.
pub(crate) fn used_compiler(request: &BackendRequest) -> Option<CompilerReport> {
    let (interpreter, user) = (&request.interpreter, &request.environment);
    let of_user = user.get("CC");
    if let (Some(cross), None) = (&request.cross_compiler, of_user) {
        let version = version(cross.program(), &request.cache, &request.helpers);
        return Some(CompilerReport { kind: CompilerKind::Cross, program: text(cross.program()), version });
    }
    let command = of_user.map_or(interpreter.cc.as_str(), String::as_str);
    let name = shlex::split(command)?.into_iter().next()?;
    let program = find(&name, request)?;
    let emulated = interpreter.is_emulated();
    // Scripts are run by a shell of the same root file system as Python.
    let kind = match machine_of(&program).map_or(emulated, |machine| machine != Arch::host()) {
        true => CompilerKind::Emulated,
        false if emulated => CompilerKind::Cross,
        false => CompilerKind::Native,
    };
    // Outside of the sandbox nothing is run that whoever asked for this build could have chosen.
    let safe = of_user.is_none() && !user.contains_key("PATH") && request.tool_directories.is_empty();
    let version = if safe { version(&program, &request.cache, &request.helpers) } else { None };
    Some(CompilerReport { kind, program: text(&program), version })
}

fn text(program: &Path) -> String {
    program.display().to_string()
}

/// What the build finds by `name`.
fn find(name: &str, request: &BackendRequest) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![name.into()]
    } else {
        let path = request.environment.get("PATH").map_or(SYSTEM_PATH, String::as_str);
        let directories = request.tool_directories.iter().cloned().chain(std::env::split_paths(path));
        directories.map(|directory| directory.join(name)).collect()
    };
    candidates.into_iter().find(|path| path.is_absolute() && check_executable(path).is_ok())
}

/// The first line that `program --version` prints, asked once for each file: emulated, it takes a while.
fn version(program: &Path, cache: &Path, helpers: &Helpers) -> Option<String> {
    let real = fs_err::canonicalize(program).ok()?;
    let key = Sha256::of(format!("{}\0{}", program.display(), stamp(&real).ok()?).as_bytes());
    let entry = cache.join("compilers").join(key.to_string());
    if let Ok(known) = fs_err::read_to_string(&entry) {
        return Some(known);
    }
    let helper = Helper {
        program,
        arguments: vec!["--version".into()],
        environment: vec![("LC_ALL".into(), "C.UTF-8".into())],
        directory: None,
        input: Vec::new(),
        visible: program.parent().map(Path::to_owned).into_iter().collect(),
    };
    let output = helpers.run(helper).ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    if !output.status.success() || line.is_empty() {
        return None;
    }
    // A cache that cannot be written costs time, not correctness.
    let _ = keep(&entry, line.as_bytes());
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::waiting::InTime as _;

    #[test]
    fn a_version_is_asked_for_once_for_each_file() {
        let (directory, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = directory.path().join("cc");
        let write = |version: &str| {
            // Not by ourselves: while another test starts a process, that would have the file open for writing.
            let script =
                format!("#!/bin/sh\necho asked >> {}/log\necho {version}\n", directory.path().display());
            let mut shell = Command::new("sh");
            shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"", "sh", &script]).arg(&program);
            assert!(shell.status_in_time().success());
        };
        write("cc 12");
        for _ in 0..2 {
            assert_eq!(version(&program, cache.path(), &Helpers::default()).as_deref(), Some("cc 12"));
        }
        write("cc 12.1");
        assert_eq!(version(&program, cache.path(), &Helpers::default()).as_deref(), Some("cc 12.1"));
        let log = fs_err::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(log.lines().count(), 2);
    }
}

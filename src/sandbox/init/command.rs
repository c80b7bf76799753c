//! The last steps of a process before it becomes the command. Knows nothing of mounts.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, chdir, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
    setsid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::set_no_new_privs;

use super::step::Step;
use super::supervise::Realm;
use super::system::{self, Strings};
use crate::sandbox::error::ProgramFault;
use crate::sandbox::message::{Command, Report};
use crate::sandbox::set_up::{SetUpCause, SetUpFailure, SetUpStep, StandardStream};
use crate::sandbox::text::Text;

/// What a new process needs to become the command. All memory that takes is held here, as the process shares it
/// with its supervisor and cannot free any.
pub(super) struct Start {
    realm: Realm,
    /// As it was given.
    program: Text,
    /// The files that may be meant.
    candidates: Vec<CString>,
    argv: Strings,
    env: Strings,
    working_directory: CString,
}

impl Start {
    pub(super) fn new(command: Command, realm: Realm) -> Result<Self, Report> {
        let program = command.argv.first().cloned().unwrap_or(Text("".into()));
        Self::collect(command, realm, program.clone())
            .map_err(|fault| Report::ProgramRefused { program, fault })
    }

    fn collect(command: Command, realm: Realm, program: Text) -> Result<Self, ProgramFault> {
        let path = command.env.iter().find(|(name, _)| name.0 == "PATH").map(|(_, value)| &*value.0);
        let candidates = candidates(&program.0, path);
        let candidates = candidates.into_iter().map(|file| c_string(file.into_os_string()));
        let candidates = candidates.collect::<Result<_, _>>()?;
        let env = command.env.into_iter().map(|(name, value)| {
            let mut variable = name.0;
            variable.push("=");
            variable.push(value.0);
            c_string(variable)
        });
        let env = Strings::new(env.collect::<Result<_, _>>()?);
        let argv = command.argv.into_iter().map(|argument| c_string(argument.0));
        let argv = Strings::new(argv.collect::<Result<_, _>>()?);
        let working_directory = c_string(command.working_directory.0)?;
        Ok(Self { realm, program, candidates, argv, env, working_directory })
    }

    /// Becomes the command; returns only if that fails. `supervisor` is the process that made this one, as that
    /// process sees itself.
    pub(super) fn execute(&self, streams: &[OwnedFd; 3], supervisor: Pid) -> Report {
        match self.prepare(streams, supervisor) {
            Ok(()) => Report::ProgramRefused { program: self.program.clone(), fault: self.become_command() },
            Err(failure) => failure.into(),
        }
    }

    fn prepare(&self, [stdin, stdout, stderr]: &[OwnedFd; 3], supervisor: Pid) -> Result<(), SetUpFailure> {
        setsid().step(SetUpStep::StartSession)?;
        if self.realm == Realm::Descendants {
            set_parent_process_death_signal(Some(Signal::KILL)).step(SetUpStep::TieCommand)?;
        }
        // A supervisor that ended before it could be tied to has left us to somebody else. Process 1 cannot:
        // we would be dead. What getpid() says in it is what getppid() says here.
        if getppid() != Some(supervisor) {
            let (step, cause) = (SetUpStep::StayWithSupervisor, SetUpCause::SupervisorGone);
            return Err(SetUpFailure { step, cause });
        }
        dup2_stdin(stdin).step(SetUpStep::SetStream { stream: StandardStream::Input })?;
        dup2_stdout(stdout).step(SetUpStep::SetStream { stream: StandardStream::Output })?;
        dup2_stderr(stderr).step(SetUpStep::SetStream { stream: StandardStream::Error })?;
        let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
        setrlimit(Resource::Core, none).step(SetUpStep::ForbidCoreFiles)?;
        set_no_new_privs(true).step(SetUpStep::ForbidNewPrivileges)?;
        if self.realm == Realm::PidNamespace {
            system::drop_capabilities().step(SetUpStep::DropCapabilities)?;
        }
        let directory = self.working_directory.as_c_str();
        chdir(directory).step_with(|| SetUpStep::ChangeDirectory {
            inside: OsStr::from_bytes(directory.to_bytes()).into(),
        })?;
        system::reset_signals().step(SetUpStep::ResetSignals)
    }

    /// As execvp(3) does, but for what it does when the kernel does not know the format: it runs the file as a shell
    /// script, and a program for another machine ends in the shell's complaints about its syntax.
    fn become_command(&self) -> ProgramFault {
        let mut fault = ProgramFault::NotFound;
        for candidate in &self.candidates {
            let error = system::execute(candidate, &self.argv, &self.env);
            match explain(error, Path::new(OsStr::from_bytes(candidate.to_bytes()))) {
                ProgramFault::NotFound => {}
                ProgramFault::NotExecutable => fault = ProgramFault::NotExecutable,
                decided => return decided,
            }
        }
        fault
    }
}

/// The files that `program` may mean.
fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    path.map(|path| std::env::split_paths(path).map(|directory| directory.join(program)).collect())
        .unwrap_or_default()
}

fn explain(error: Errno, file: &Path) -> ProgramFault {
    match error {
        // The kernel says the same of a file and of the interpreter it names.
        Errno::NOENT if file.exists() => ProgramFault::InterpreterMissing,
        Errno::NOENT | Errno::NOTDIR => ProgramFault::NotFound,
        Errno::ACCESS => explain_denial(file),
        Errno::NOEXEC => ProgramFault::WrongFormat,
        other => ProgramFault::Errno(other.raw_os_error()),
    }
}

/// "Permission denied" may also mean a directory on the way, or an interpreter.
fn explain_denial(file: &Path) -> ProgramFault {
    match fs_err::metadata(file) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
            ProgramFault::PermissionDenied
        }
        _ => ProgramFault::NotExecutable,
    }
}

fn c_string(string: OsString) -> Result<CString, ProgramFault> {
    CString::new(string.into_vec()).map_err(|_| ProgramFault::NulByte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_names_are_looked_up() {
        let path = Some(OsStr::new("/usr/bin:/bin"));
        assert_eq!(candidates(OsStr::new("sh"), path), [Path::new("/usr/bin/sh"), Path::new("/bin/sh")]);
        assert_eq!(candidates(OsStr::new("./sh"), path), [Path::new("./sh")]);
        assert_eq!(candidates(OsStr::new("sh"), None), Vec::<PathBuf>::new());
    }
}

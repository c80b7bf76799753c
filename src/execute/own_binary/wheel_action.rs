//! Actions that run crosswheel itself (`PySdistBuild`, `PySdist`, `PyWheelsCheck`): what a worker does with them that it does not do with others, and
//! which of them it trusts with its cache. What they say is the [`contract`](crate::contract)'s to know. Knows nothing of
//! what `crosswheel wheel` does inside.
//!
//! **What such an action looks like.** `Command.arguments[0]` is exactly `crosswheel` ([`PROGRAM`]): a worker runs
//! the binary that it is itself, so that nothing has to be installed or uploaded. `environment_variables` must set
//! [`CONTRACT_VARIABLE`] to the number of a contract that this worker takes ([`asked_contract`], which see), whatever
//! its release; else it refuses ([`ExecuteError::Refused`]: FAILED_PRECONDITION) and says which side to upgrade.
//!
//! **What it sees.** The binary is at [`INSIDE`] (argv\[0\] is replaced by that), read-only; the exec root is at
//! [`EXEC_ROOT`](crate::execute::work::EXEC_ROOT) as for every action. Without namespaces the binary is where it is.
//!
//! **In a root file system of its own**, whose architecture may be another than ours and whose C library another than
//! the binary's, it is started through its own loader ([`OwnLoader`], which see): that and its libraries are at
//! [`LIBRARIES_INSIDE`], read-only, and the command is `LOADER --library-path` [`LIBRARIES_INSIDE`] [`INSIDE`] and
//! the action's arguments. So `crosswheel wheel` itself is always native; only the programs of the root that it
//! starts are emulated. It starts itself again as [`OwnExecutable::running`](crate::sandbox::OwnExecutable) says. A
//! statically linked binary needs none of this, and gets none.
//!
//! **With a cross compiler** ([`CrossCompiler`], which see) the host's `/usr` is at [`NATIVE_USR`] below
//! [`NATIVE_INSIDE`], and the loader and the libraries of its programs are where they expect them.
//! [`CROSS_CC_VARIABLE`](crate::contract::CROSS_CC_VARIABLE) names the compiler, unless Command sets it. It compiles
//! and links with the headers and libraries of the root: those are mounted over the ones it would find beside itself,
//! so that it needs no `--sysroot`, and a wheel needs no newer glibc than one that the root's own compiler has made.
//! Other actions see nothing of it.
//!
//! **The shared cache.** Unpacked wheels, byte code, venvs and facts about interpreters are worth keeping between
//! such actions. Beside a default `PATH` this is the one exception to the rule that the environment is what Command says
//! and nothing else: [`CACHE_VARIABLE`](crate::contract::CACHE_VARIABLE) is set to [`CACHE_INSIDE`], a writable directory that the
//! executor keeps. Since whoever could write to it could change the builds of others, an action gets it only if
//! nothing of the client's runs outside of the nested sandbox of `crosswheel wheel`, nor can anything of the client's
//! be written into it:
//!
//! - `arguments[1]` is `wheel`, `sdist` or `check`, and `--sandbox=required` is among the others;
//! - all others are the sdist, the tree or the wheels, or flags in the form `--name=value` whose [class](FlagClass) is none of those that reach
//!   the machine;
//! - the sdist, the tree and the values of the classes [`Input`](FlagClass::Input) and [`Output`](FlagClass::Output) are relative
//!   paths without `..`;
//! - `--build-wheels=FILE#sha256=HEX`, `--pip=` and what `check` is given name a file of the input root that has this very digest (the cache would
//!   take our word for it), so digests need SHA-256 as the digest function; without `#sha256=` any file or
//!   directory will do;
//! - `--python` is a version or a command to be found in `PATH`, or an absolute path;
//! - `--cross-cc` is a program at an absolute path, with flags but no quotes;
//! - such absolute paths, and those of `PATH`, lead to neither the exec root nor `/tmp`, `/var/tmp`, `/run`, `/dev` or
//!   `/proc`, nor to anything in `/.crosswheel` but the host's own programs in [`NATIVE_INSIDE`], as they are written and
//!   as their links lead; of the store there is nothing to be seen;
//! - the only environment variables are [`CONTRACT_VARIABLE`] and `PATH`;
//! - the input root has no symlinks;
//! - the sandbox has namespaces.
//!
//! Each instance has a cache of its own all the same: what comes of whoever finds a way is theirs alone. And with
//! `--sandbox=required` `crosswheel wheel` runs no program outside of a sandbox that sees nothing of the cache but what it
//! is to write: not even the interpreter that it asks what it is.
//!
//! An executor within `crosswheel build`, which runs nobody else's actions, asks for none of this
//! ([`OwnBinarySettings::trusted`]).
//!
//! An action that misses any of this runs all the same, with a cache of its own in `/tmp`
//! ([`PRIVATE_CACHE_INSIDE`]; without namespaces in its scratch directory), or with the one that it names itself.
//! It is then slower, not wrong; the result's message says which point it was.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub use super::inside::{CACHE_INSIDE, INSIDE, LIBRARIES_INSIDE, NATIVE_INSIDE, PRIVATE_CACHE_INSIDE};
use super::loader::OwnLoader;
use super::real_path::real_path;
use crate::contract::{
    Argument, CHECK_SUBCOMMAND, CONTRACT_VARIABLE, ContractRefused, Flag, FlagClass, GivenWheels,
    PATH_VARIABLE, PROGRAM, SDIST_SUBCOMMAND, SUBCOMMAND, SandboxMode, asked_contract,
};
use crate::digest::DigestFunction;
use crate::execute::command::Command;
use crate::execute::cross_compiler::CrossCompiler;
pub use crate::execute::cross_compiler::NATIVE_USR;
use crate::execute::error::ExecuteError;
use crate::execute::input::{Entry, InputDirectory};
use crate::execute::path::ExecPath;
use crate::execute::work::EXEC_ROOT;
use crate::sandbox::RootFileSystem;

/// An action that runs this binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OwnBinary {
    /// It may use the shared cache.
    Shared,
    /// It may not, for this reason.
    Private(String),
}

impl OwnBinary {
    /// Whether `command` is to run this binary, and with which cache.
    ///
    /// # Errors
    /// [`ExecuteError::Refused`] if it goes by a contract that we do not know.
    pub fn recognise(
        command: &Command,
        inputs: &InputDirectory,
        view: View,
    ) -> Result<Option<Self>, ExecuteError> {
        if command.argv[0] != PROGRAM {
            return Ok(None);
        }
        check_contract(&command.environment).map_err(|refused| ExecuteError::Refused(refused.to_string()))?;
        Ok(Some(match check_shared(command, inputs, view) {
            Ok(()) => Self::Shared,
            Err(reason) => Self::Private(reason),
        }))
    }
}

/// What an action sees of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub root: &'a RootFileSystem,
    /// Directories of which it sees nothing, wherever its root would show them; without links.
    pub hidden: &'a [PathBuf],
}

/// Whether the action goes by a contract that we know.
fn check_contract(environment: &BTreeMap<String, String>) -> Result<(), ContractRefused> {
    asked_contract(|name| environment.get(name).cloned())?.map(drop).ok_or(ContractRefused::Unsaid)
}

/// Whether nothing of the client's could get into the shared cache; else why.
fn check_shared(command: &Command, inputs: &InputDirectory, view: View) -> Result<(), String> {
    if inputs.totals.symlinks > 0 {
        return Err("the input root has symlinks".into());
    }
    for (name, value) in &command.environment {
        match name.as_str() {
            CONTRACT_VARIABLE => {}
            PATH_VARIABLE => {
                value.split(':').try_for_each(|directory| check_directory(Path::new(directory), view))?
            }
            _ => return Err(format!("the environment variable {name} is set")),
        }
    }
    let is_of_step: fn(Flag) -> bool = match command.argv.get(1).map(String::as_str) {
        Some(SUBCOMMAND) => Flag::is_of_wheel,
        Some(SDIST_SUBCOMMAND) => Flag::is_of_sdist,
        Some(CHECK_SUBCOMMAND) => Flag::is_of_check,
        _ => return Err("it is none of the steps of crosswheel".into()),
    };
    let sandboxed = [Flag::Sandbox.name(), "required"].join("=");
    for argument in &command.argv[2..] {
        check_argument(argument, is_of_step, command, inputs, view)?;
    }
    if command.argv[2..].iter().any(|argument| argument.strip_prefix("--") == Some(&sandboxed)) {
        Ok(())
    } else {
        Err(format!("`--{sandboxed}` is not among its arguments"))
    }
}

fn check_argument(
    argument: &str,
    is_of_step: fn(Flag) -> bool,
    command: &Command,
    inputs: &InputDirectory,
    view: View,
) -> Result<(), String> {
    let (class, value) = match Argument::read(argument) {
        // The wheels of a check.
        Argument::Source(path) if command.argv[1] == CHECK_SUBCOMMAND => (FlagClass::Wheels, path),
        Argument::Source(path) => (FlagClass::Input, path),
        Argument::Flag(flag, value) if is_of_step(flag) => (flag.class(), value),
        Argument::Flag(..) | Argument::Other => (FlagClass::Machine, ""),
    };
    match class {
        FlagClass::Value => Ok(()),
        FlagClass::Input | FlagClass::Output => check_own(value),
        FlagClass::Wheels => check_wheels(value, command, inputs),
        FlagClass::Python if value.contains('/') => check_program(Path::new(value), view),
        FlagClass::Python => Ok(()),
        FlagClass::Compiler => check_compiler(value, view),
        FlagClass::Isolation if value == SandboxMode::Required.to_string() => Ok(()),
        FlagClass::Isolation | FlagClass::Machine => {
            Err(format!("its argument `{argument}` is not among the options for that"))
        }
    }
}

/// A path of the exec root.
fn check_own(path: &str) -> Result<(), String> {
    ExecPath::parse(path).map(drop)
}

/// A program of the worker's, wherever links lead.
fn check_program(path: &Path, view: View) -> Result<(), String> {
    check_foreign(path)?;
    // There are no links in what only actions see.
    if path.starts_with(NATIVE_INSIDE) {
        return Ok(());
    }
    let real =
        real_path(view.root, path).map_err(|error| format!("{path:?} cannot be found here: {error}"))?;
    check_real(&real, view)
}

/// A directory of the worker's programs; one that does not exist has none.
fn check_directory(path: &Path, view: View) -> Result<(), String> {
    check_foreign(path)?;
    match real_path(view.root, path) {
        Ok(real) => check_real(&real, view),
        Err(_) => Ok(()),
    }
}

fn check_real(path: &Path, view: View) -> Result<(), String> {
    check_foreign(path)?;
    if view.hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return Err(format!("{path:?} is not for actions to see"));
    }
    Ok(())
}

/// A path of the worker's, at which nobody but its operator puts programs: what is a client's, or an action's own, does
/// not lie there, and its store cannot be seen.
fn check_foreign(path: &Path) -> Result<(), String> {
    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    // `/proc/self/cwd` leads to the exec root, too.
    let clients = [EXEC_ROOT, "/tmp", "/var/tmp", "/run", "/dev", "/proc", "/.crosswheel"];
    let of_clients = clients.iter().any(|directory| path.starts_with(directory));
    if plain && (!of_clients || path.starts_with(NATIVE_INSIDE)) {
        Ok(())
    } else {
        Err(format!("{path:?} is not a place for the worker's own programs"))
    }
}

/// A compiler of the worker's. Its flags only matter inside the nested sandbox.
fn check_compiler(command: &str, view: View) -> Result<(), String> {
    if command.contains(['\'', '"', '\\']) {
        return Err(format!("`{command}` has quotes, which leave open what is the program"));
    }
    check_program(Path::new(command.split_whitespace().next().unwrap_or_default()), view)
}

fn check_wheels(value: &str, command: &Command, inputs: &InputDirectory) -> Result<(), String> {
    let (path, Some(claimed)) = GivenWheels::split(value) else { return check_own(value) };
    let path = command.working_directory.join(ExecPath::parse(path)?.as_str());
    match inputs.find(&path) {
        Some(Entry::File(file))
            if file.digest.function == DigestFunction::Sha256 && hex::encode(file.digest.hash) == claimed =>
        {
            Ok(())
        }
        _ => Err(format!("`{path}` is not an input file with the digest that its argument claims")),
    }
}

/// This executable, and the directory of the shared cache.
#[derive(Debug, Clone)]
pub struct OwnBinarySettings {
    /// The running executable, found when the process started (it may be replaced on disk meanwhile).
    pub executable: PathBuf,
    /// What the executable needs to start in a root file system other than the host's; none if it is statically
    /// linked, or if there is no such root.
    pub loader: Option<OwnLoader>,
    /// The compiler that such actions are to use.
    pub cross_compiler: Option<CrossCompiler>,
    /// A directory of this executor's; interpreters are remembered by path in it, so that pools with different
    /// root file systems need different ones. Unless all actions are trusted, each instance has one of its own in it.
    /// None: there is no shared cache.
    pub cache: Option<PathBuf>,
    /// All actions come from this process, as `crosswheel build` makes them: each gets the shared cache, whatever
    /// its arguments, and also without namespaces.
    pub trusted: bool,
    /// Directories of the host that such actions see even where others have private ones (`/tmp`): tools that a
    /// user has there. Only for executors whose actions are trusted.
    pub visible_host_paths: Vec<PathBuf>,
}

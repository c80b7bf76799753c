//! The native cross compiler that a build for another architecture is told to use. Knows nothing of what is compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{Access, access};

use super::environment::quoted;
use crate::packaging::interpreter::Interpreter;

/// A compiler that runs natively and compiles for the architecture of an interpreter that may run emulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossCompiler {
    /// Absolute path. Links are left as they are: compilers find their own files by the name they are called by.
    program: PathBuf,
    /// What it is always given.
    flags: Vec<String>,
}

/// Why there is no such compiler.
#[derive(Debug, thiserror::Error)]
pub enum CrossCompilerError {
    /// There is no program in it.
    #[error("`{0}` names no compiler; it is a program, with flags perhaps, quoted as for a shell")]
    Malformed(String),
    /// No directory of PATH has it.
    #[error("the cross compiler `{0}` is in no directory of PATH; install it, or give its path")]
    NotFound(String),
    /// There is nothing, or nothing that can be run.
    #[error("the cross compiler `{}` cannot be run: {reason}", .program.display())]
    NotExecutable {
        /// Where it should be.
        program: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl FromStr for CrossCompiler {
    type Err = CrossCompilerError;

    /// `PROGRAM FLAGS…`, quoted as for a shell; a program without a slash is looked for in PATH.
    fn from_str(text: &str) -> Result<Self, CrossCompilerError> {
        let mut words = shlex::split(text).ok_or_else(|| CrossCompilerError::Malformed(text.to_owned()))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(CrossCompilerError::Malformed(text.to_owned()));
        }
        let name = words.remove(0);
        let program = if name.contains('/') {
            std::path::absolute(&name).unwrap_or_else(|_| PathBuf::from(&name))
        } else {
            which::which(&name).map_err(|_| CrossCompilerError::NotFound(name))?
        };
        check_executable(&program)?;
        Ok(Self { program, flags: words })
    }
}

/// That there is a program at the path, and that we may run it.
pub(super) fn check_executable(program: &Path) -> Result<(), CrossCompilerError> {
    let refuse = |reason: String| CrossCompilerError::NotExecutable { program: program.to_owned(), reason };
    // Not fs_err: the message names the path already.
    let metadata = program.metadata().map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("it is no file".into()));
    }
    access(program, Access::EXEC_OK).map_err(|error| refuse(error.kind().to_string()))
}

impl CrossCompiler {
    /// Its path, absolute.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The directory of the program, which a build has to see.
    pub fn directory(&self) -> Option<PathBuf> {
        self.program.parent().map(Path::to_owned)
    }

    /// The environment variables that make build systems use it, and the tools beside it. What they run of the
    /// results runs emulated, so that to them it is a native compiler like any other.
    ///
    /// Setuptools makes the linker's command from these itself: it replaces the interpreter's compiler at the
    /// beginning of the interpreter's LDSHARED by CC.
    pub fn variables(&self, interpreter: &Interpreter) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
        set("CC", self.command_line(&self.program, interpreter));
        if let Some(program) = self.sibling(["gcc", "clang", "cc"], ["g++", "clang++", "c++"]) {
            set("CXX", self.command_line(&program, interpreter));
        }
        for (name, tool) in [("AR", "ar"), ("RANLIB", "ranlib"), ("STRIP", "strip")] {
            if let Some(program) = self.tool(tool) {
                set(name, quoted(program.display().to_string()));
            }
        }
        // Cargo splits the flags at white space, and the linker must be a program alone.
        if self.flags.iter().all(|flag| !flag.contains(char::is_whitespace)) {
            let machine = interpreter.target().arch.machine().to_ascii_uppercase();
            let target = format!("CARGO_TARGET_{machine}_UNKNOWN_LINUX_GNU");
            set(&format!("{target}_LINKER"), self.program.display().to_string());
            if !self.flags.is_empty() {
                let flags: Vec<_> = self.flags.iter().map(|flag| format!("-Clink-arg={flag}")).collect();
                set(&format!("{target}_RUSTFLAGS"), flags.join(" "));
            }
        }
        variables
    }

    /// `program` with our flags, and with what the interpreter's compiler is always given and that must be the same
    /// for all code that runs in one process.
    fn command_line(&self, program: &Path, interpreter: &Interpreter) -> String {
        let threads = interpreter.cc.split_whitespace().filter(|word| *word == "-pthread").take(1);
        let flags = self.flags.iter().cloned().chain(threads.map(str::to_owned)).map(quoted);
        std::iter::once(quoted(program.display().to_string())).chain(flags).collect::<Vec<_>>().join(" ")
    }

    /// The program beside it whose name has one of `others` in place of the same one of `names`.
    fn sibling(&self, names: [&str; 3], others: [&str; 3]) -> Option<PathBuf> {
        let own = self.program.file_name()?.to_str()?;
        let (at, name, other) =
            names.into_iter().zip(others).find_map(|(name, other)| Some((own.rfind(name)?, name, other)))?;
        let sibling = format!("{}{other}{}", &own[..at], &own[at + name.len()..]);
        self.beside(&sibling)
    }

    /// A tool of the same target: `aarch64-linux-gnu-gcc-12` is accompanied by `aarch64-linux-gnu-ar`.
    fn tool(&self, tool: &str) -> Option<PathBuf> {
        let own = self.program.file_name()?.to_str()?;
        let prefix = ["gcc", "clang", "cc"].iter().find_map(|name| Some(&own[..own.rfind(name)?]))?;
        self.beside(&format!("{prefix}{tool}"))
    }

    fn beside(&self, name: &str) -> Option<PathBuf> {
        let path = self.program.with_file_name(name);
        check_executable(&path).is_ok().then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::platform::Arch;

    /// A directory with a program of each of these names.
    fn tools(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            let path = directory.path().join(name);
            fs_err::write(&path, "#!/bin/sh\n").unwrap();
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        directory
    }

    fn interpreter(cc: &str) -> Interpreter {
        let cache = tempfile::tempdir().unwrap();
        Interpreter { cc: cc.into(), ..Interpreter::find("3", cache.path()).unwrap() }
    }

    #[test]
    fn the_tools_beside_a_cross_compiler_belong_to_it() {
        let names = ["aarch64-linux-gnu-gcc-12", "aarch64-linux-gnu-g++-12", "aarch64-linux-gnu-ar", "strip"];
        let directory = tools(&names);
        let at = |name: &str| directory.path().join(name).display().to_string();
        let compiler: CrossCompiler = format!("{} --sysroot=/", at(names[0])).parse().unwrap();
        let variables = compiler.variables(&interpreter("gcc -pthread"));
        assert_eq!(variables["CC"], format!("{} --sysroot=/ -pthread", at(names[0])));
        assert_eq!(variables["CXX"], format!("{} --sysroot=/ -pthread", at(names[1])));
        assert_eq!(variables["AR"], at("aarch64-linux-gnu-ar"));
        // The strip of another target.
        assert!(!variables.contains_key("STRIP"));
        let cargo = |what: &str| {
            let target = Arch::host().machine().to_ascii_uppercase();
            &variables[&format!("CARGO_TARGET_{target}_UNKNOWN_LINUX_GNU_{what}")]
        };
        assert_eq!((cargo("LINKER"), cargo("RUSTFLAGS").as_str()), (&at(names[0]), "-Clink-arg=--sysroot=/"));
    }

    #[test]
    fn a_compiler_without_a_sibling_for_cplusplus_leaves_that_to_the_build() {
        let directory = tools(&["clang", "mycompiler"]);
        let variables = |name: &str| {
            let compiler: CrossCompiler = directory.path().join(name).to_str().unwrap().parse().unwrap();
            compiler.variables(&interpreter("gcc"))
        };
        assert!(!variables("clang").contains_key("CXX"));
        assert!(!variables("mycompiler").contains_key("AR"));
        assert!(!variables("clang")["CC"].contains("-pthread"));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_reason() {
        let directory = tools(&[]);
        fs_err::write(directory.path().join("plain"), "").unwrap();
        let refused = |text: &str| text.parse::<CrossCompiler>().unwrap_err().to_string();
        let in_directory = |name: &str| refused(directory.path().join(name).to_str().unwrap());
        assert!(
            in_directory("none").contains("none` cannot be run: No such file"),
            "{}",
            in_directory("none")
        );
        assert!(in_directory("plain").contains("permission denied"), "{}", in_directory("plain"));
        assert!(in_directory("").contains("it is no file"));
        assert!(refused("no-such-compiler-here").contains("is in no directory of PATH"));
        for malformed in ["", "  ", "''", "'gcc", "gcc \\"] {
            assert!(refused(malformed).contains("names no compiler"), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_stays_one_word(words in prop::collection::vec("\\PC+", 1..4)) {
            let line = words.iter().cloned().map(quoted).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(shlex::split(&line), Some(words));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<CrossCompiler>();
        }
    }
}

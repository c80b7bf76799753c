//! The environment variables a build sees: built from nothing, so that neither the user's shell
//! nor the machine shows in the wheel. Knows nothing of how the process is started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::platform::SYSTEM_PATH;
use crate::step::source::project::Project;

/// 1980-01-01T00:00:00Z: the earliest time a zip archive can hold (facts of backends: 0 is clamped
/// to 1980 by most and to 2016 by one).
pub const DEFAULT_SOURCE_DATE_EPOCH: u64 = 315_532_800;

/// Where the paths of the workspace seem to be in debug information, whatever they really are.
/// With namespaces this is also where they are.
pub const FIXED_DIRECTORY: &str = "/crosswheel";

/// What the environment of a build is made from. All paths are as the build sees them.
pub struct EnvironmentPlan<'a> {
    /// The directory that holds everything of this build.
    pub workspace: &'a Path,
    /// Programs of the step's own that come before all others on PATH.
    pub first_on_path: Option<&'a Path>,
    /// `bin` of the venv; before everything else on PATH.
    pub venv_bin: &'a Path,
    /// More directories for PATH, after the venv's and before the system's.
    pub tool_directories: &'a [PathBuf],
    /// HOME.
    pub home: &'a Path,
    /// TMPDIR.
    pub temporary: &'a Path,
    /// A directory of vendored crates (`cargo vendor`) is configured in HOME for cargo.
    pub crates: bool,
    /// The interpreter's own compiler flags, if setuptools is in the venv: it takes CFLAGS of the
    /// environment instead of them, not besides them, and would compile without optimisation.
    pub interpreter_cflags: Option<&'a str>,
    /// Variables that name a cross compiler and its tools, if there is one.
    pub cross: BTreeMap<String, String>,
    /// What the user set with `--env`; wins, but for PATH and compiler flags, which are joined.
    pub user: &'a BTreeMap<String, String>,
    /// The project whose version is told to version-control plug-ins; none where they are to find it out.
    pub version_of: Option<&'a Project>,
}

impl EnvironmentPlan<'_> {
    /// The variables, complete: nothing else is inherited.
    pub fn variables(&self) -> BTreeMap<OsString, OsString> {
        let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
        let mut set = |name: &str, value: &OsStr| variables.insert(name.into(), value.into());
        set("HOME", self.home.as_os_str());
        set("TMPDIR", self.temporary.as_os_str());
        set("TEMP", self.temporary.as_os_str());
        set("TMP", self.temporary.as_os_str());
        set("USER", "crosswheel".as_ref());
        set("LOGNAME", "crosswheel".as_ref());
        set("SHELL", "/bin/sh".as_ref());
        set("LC_ALL", "C.UTF-8".as_ref());
        set("LANG", "C.UTF-8".as_ref());
        set("TZ", "UTC".as_ref());
        set("SOURCE_DATE_EPOCH", DEFAULT_SOURCE_DATE_EPOCH.to_string().as_ref());
        set("PYTHONHASHSEED", "0".as_ref());
        // For Rust: the crate const-random makes up the seeds of hash tables while it is compiled.
        set("CONST_RANDOM_SEED", "0".as_ref());
        set("PYTHONUNBUFFERED", "1".as_ref());
        // Byte code written next to the sources could end up in the wheel, with times in it.
        set("PYTHONDONTWRITEBYTECODE", "1".as_ref());
        set("PYTHONNOUSERSITE", "1".as_ref());
        set("VIRTUAL_ENV", self.venv_bin.parent().unwrap_or(self.venv_bin).as_os_str());
        // Nothing may be asked of a terminal, and no update be looked for: there is no network.
        set("PIP_NO_INPUT", "1".as_ref());
        set("PIP_DISABLE_PIP_VERSION_CHECK", "1".as_ref());
        set("GIT_TERMINAL_PROMPT", "0".as_ref());
        if self.crates {
            set("CARGO_NET_OFFLINE", "true".as_ref());
        }
        for (name, value) in self.version_variables() {
            set(&name, value.as_ref());
        }
        for (name, value) in &self.cross {
            set(name, value.as_ref());
        }
        for (name, value) in self.user {
            set(name, value.as_ref());
        }
        for name in ["CFLAGS", "CXXFLAGS"] {
            set(name, self.compiler_flags(name).as_ref());
        }
        set("PATH", &self.path());
        variables
    }

    /// The variable `name` for compilers. Every build system that the backend starts in turn takes them
    /// too, so the interpreter's warnings are left out: some compile with `-Werror` of their own.
    fn compiler_flags(&self, name: &str) -> String {
        let interpreter = self.interpreter_cflags.map(without_warnings);
        let prefix_map = quoted(format!("-ffile-prefix-map={}={FIXED_DIRECTORY}", self.workspace.display()));
        let user = self.user.get(name).cloned();
        [interpreter, Some(prefix_map), user].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn path(&self) -> OsString {
        let mut path = OsString::new();
        if let Some(first) = self.first_on_path {
            path.push(first);
            path.push(":");
        }
        path.push(self.venv_bin);
        for directory in self.tool_directories {
            path.push(":");
            path.push(directory);
        }
        path.push(":");
        path.push(self.user.get("PATH").map_or(SYSTEM_PATH, String::as_str));
        path
    }

    /// An sdist has no repository to ask for the version: setuptools-scm and its kin take it from
    /// the environment, by the general variable and by the one of this project alone.
    fn version_variables(&self) -> Vec<(String, String)> {
        let Some(metadata) = self.version_of.and_then(|project| project.metadata.as_ref()) else {
            return Vec::new();
        };
        let project = metadata.name.to_string().replace('-', "_").to_ascii_uppercase();
        let version = &metadata.version_text;
        vec![
            ("SETUPTOOLS_SCM_PRETEND_VERSION".into(), version.clone()),
            (format!("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{project}"), version.clone()),
        ]
    }
}

/// `flag` so that it stays one word where flags are split as a shell does it: setuptools, Meson and
/// the command lines that CMake and make write.
pub(crate) fn quoted(flag: String) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_=/.+,:@%".contains(character);
    if flag.chars().all(plain) { flag } else { format!("'{}'", flag.replace('\'', r"'\''")) }
}

/// `flags` without those that only make the compiler talk, or fail, more. (The bootloader of
/// PyInstaller 6.6.0 is compiled with `-Werror`, and failed with Python's `-Wall`.)
fn without_warnings(flags: &str) -> String {
    let passed_on = ["-Wl,", "-Wp,", "-Wa,"];
    let changes_code =
        |flag: &&str| !flag.starts_with("-W") || passed_on.iter().any(|prefix| flag.starts_with(prefix));
    flags.split_whitespace().filter(changes_code).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packaging::core_metadata::CoreMetadata;
    use crate::step::source::project::BuildSystem;

    fn variables(user: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables_in("/w", user)
    }

    fn variables_in(workspace: &str, user: &[(&str, &str)]) -> BTreeMap<String, String> {
        let metadata =
            CoreMetadata::parse(b"Metadata-Version: 2.1\nName: Zope.Interface\nVersion: 1.0\n\n").unwrap();
        let project = Project {
            root: PathBuf::from("/w/src"),
            build_system: BuildSystem::parse(None).unwrap(),
            name: Some(metadata.name.clone()),
            version: Some(metadata.version.clone()),
            requires_python: None,
            metadata: Some(metadata),
        };
        let user = user.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let plan = EnvironmentPlan {
            workspace: Path::new(workspace),
            first_on_path: None,
            venv_bin: Path::new("/w/venv/bin"),
            tool_directories: &[PathBuf::from("/rust/bin")],
            home: Path::new("/w/home"),
            temporary: Path::new("/w/tmp"),
            crates: false,
            cross: BTreeMap::from([("CC".into(), "/cross/gcc".into()), ("CXX".into(), "/cross/g++".into())]),
            interpreter_cflags: Some("-Wsign-compare -O3 -g -Wall -Wp,-D_FORTIFY_SOURCE=2"),
            user: &user,
            version_of: Some(&project),
        };
        let text = |value: OsString| value.into_string().unwrap();
        plan.variables().into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn the_version_is_told_in_both_forms() {
        let variables = variables(&[]);
        assert_eq!(variables["SETUPTOOLS_SCM_PRETEND_VERSION"], "1.0");
        assert_eq!(variables["SETUPTOOLS_SCM_PRETEND_VERSION_FOR_ZOPE_INTERFACE"], "1.0");
    }

    #[test]
    fn compiler_flags_and_path_of_the_user_are_joined_and_others_replace() {
        let variables = variables(&[("CFLAGS", "-O1"), ("PATH", "/opt/bin"), ("SOURCE_DATE_EPOCH", "1")]);
        assert_eq!(
            variables["CFLAGS"],
            "-O3 -g -Wp,-D_FORTIFY_SOURCE=2 -ffile-prefix-map=/w=/crosswheel -O1"
        );
        assert_eq!(variables["CXXFLAGS"], "-O3 -g -Wp,-D_FORTIFY_SOURCE=2 -ffile-prefix-map=/w=/crosswheel");
        assert_eq!(variables["PATH"], "/w/venv/bin:/rust/bin:/opt/bin");
        assert_eq!(variables["SOURCE_DATE_EPOCH"], "1");
    }

    #[test]
    fn the_compiler_of_the_user_comes_before_the_cross_compiler() {
        let variables = variables(&[("CC", "clang")]);
        assert_eq!((&*variables["CC"], &*variables["CXX"]), ("clang", "/cross/g++"));
    }

    #[test]
    fn a_workspace_with_spaces_in_its_path_stays_one_word_of_the_flags() {
        let variables = variables_in("/home/Jo O'Neil/w", &[]);
        let expected = r"'-ffile-prefix-map=/home/Jo O'\''Neil/w=/crosswheel'";
        assert_eq!(variables["CXXFLAGS"].rsplit_once("=2 ").unwrap().1, expected);
    }

    #[test]
    fn nothing_of_our_own_environment_is_inherited() {
        let variables = variables(&[]);
        assert!(variables.keys().all(|name| name != "CARGO" && name != "CARGO_MANIFEST_DIR"));
    }
}

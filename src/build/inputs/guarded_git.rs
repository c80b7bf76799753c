//! Asking git of a repository that may be anybody's: no program that its settings name is run, nor those of repositories
//! in it, and none of another user's is asked at all unless `safe.directory` of this user says so. Knows nothing of what
//! is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::git_process::Git;
use crate::build::interrupt::Interrupt;
use crate::contract::Failure;

/// Bytes of standard error that are kept.
const MOST_COMPLAINTS: usize = 64 << 10;
/// Bytes of a list of settings, or of the files in an index.
const MOST_LISTED: usize = 256 << 20;
/// Settings that name programs, and repositories within one; nobody has as many.
const MOST_SETTINGS: usize = 2048;
const MOST_REPOSITORIES: usize = 1024;

/// What git ends with if it does not do what it is asked.
pub(super) const FATAL: u8 = 128;
/// A variable that is empty, as what programs are called instead.
const NOTHING: &str = "CROSSWHEEL_NO_PROGRAM";
/// Settings that, unlike those of the environment, git also gives to the gits that it runs in submodules.
const ALWAYS: [&str; 10] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.sshCommand=false",
    "log.showSignature=false",
    "gpg.program=false",
    "gpg.openpgp.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=false",
    // A directory of the tree that looks like a repository is none.
    "safe.bareRepository=explicit",
    "status.submoduleSummary=false",
];

/// A git that runs nothing that a repository names.
pub(super) struct GuardedGit {
    git: Git,
    /// By where it is asked, and with which options for that: the options that name nothing instead of programs.
    known: Mutex<BTreeMap<Asked, Vec<String>>>,
}

/// A directory, and the options that say where from there.
type Asked = (PathBuf, Vec<String>);

/// An exit code, and what git complained of.
type Ending = (u8, String);

impl GuardedGit {
    pub fn new(git: Git) -> Self {
        Self { git, known: Mutex::default() }
    }

    /// Runs git in `directory`, of whose arguments those that say where come before the subcommand.
    pub fn run(
        &self,
        directory: &Path,
        arguments: &[String],
        stdin: Option<String>,
        out: &mut impl Write,
        interrupt: &Interrupt,
    ) -> Result<Ending, Failure> {
        let key = (directory.to_owned(), places(arguments));
        let known = self.known.lock().get(&key).cloned();
        let overridden = match known {
            Some(known) => known,
            None => match self.overridden(directory, &key.1, interrupt)? {
                Ok(found) => self.known.lock().entry(key).or_insert(found).clone(),
                Err(ending) => return Ok(ending),
            },
        };
        self.run_with(directory, &overridden, arguments, stdin, out, interrupt)
    }

    fn run_with(
        &self,
        directory: &Path,
        overridden: &[String],
        arguments: &[String],
        stdin: Option<String>,
        out: &mut impl Write,
        interrupt: &Interrupt,
    ) -> Result<Ending, Failure> {
        let mut command = self.git.command(directory, &[]);
        // As in the sandbox; and no index is refreshed on disk, nor anything fetched.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("TZ", "UTC");
        command.env("GIT_ALLOW_PROTOCOL", "none").env(NOTHING, "");
        command.args(overridden).args(ALWAYS.iter().flat_map(|setting| ["-c", setting])).args(arguments);
        if let Some(text) = stdin {
            let mut file = tempfile::tempfile()?;
            file.write_all(text.as_bytes())?;
            file.rewind()?;
            command.stdin(file);
        }
        let mut complaints = String::new();
        let status = interrupt.run_to(&mut command, out, |line| {
            if complaints.len() < MOST_COMPLAINTS {
                complaints.push_str(line);
                complaints.push('\n');
            }
        })?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok((code.unwrap_or(FATAL), complaints))
    }

    /// Options against all programs that are named by the settings of the repository asked, and of those within it, as
    /// git itself looks into those.
    fn overridden(
        &self,
        directory: &Path,
        places: &[String],
        interrupt: &Interrupt,
    ) -> Result<Result<Vec<String>, Ending>, Failure> {
        let mut keys = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut left = vec![(directory.to_owned(), places.to_owned())];
        while let Some((directory, places)) = left.pop() {
            let ask = |asked: &[&str]| {
                let arguments = places.iter().cloned().chain(asked.iter().map(|text| (*text).to_owned()));
                let arguments: Vec<String> = arguments.collect();
                let mut out = Listed::default();
                let ending = self.run_with(&directory, &[], &arguments, None, &mut out, interrupt)?;
                Ok::<_, Failure>((ending, out.0))
            };
            let (ending, settings) = ask(&["config", "--list", "--show-scope", "--name-only", "-z"])?;
            if ending.0 != 0 {
                return Ok(Err(ending));
            }
            keys.extend(programs(&settings));
            let (ending, top) = ask(&["rev-parse", "--show-toplevel"])?;
            let top = PathBuf::from(String::from_utf8_lossy(&top).trim_end_matches('\n'));
            if ending.0 != 0 || top.as_os_str().is_empty() {
                continue;
            }
            let (_, files) = ask(&["ls-files", "--stage", "-z", "--full-name", "--", ":/"])?;
            for link in gitlinks(&files) {
                // Git follows whatever is there.
                let Ok(within) = std::fs::canonicalize(top.join(link)) else { continue };
                if within.join(".git").exists() && seen.insert(within.clone()) {
                    left.push((within, vec!["--git-dir=.git".to_owned()]));
                }
            }
            if keys.len() > MOST_SETTINGS || seen.len() > MOST_REPOSITORIES {
                let message = format!(
                    "fatal: more than {MOST_SETTINGS} settings that name programs, or {MOST_REPOSITORIES} submodules\n"
                );
                return Ok(Err((FATAL, message)));
            }
        }
        Ok(Ok(keys.into_iter().map(|key| format!("--config-env={key}={NOTHING}")).collect()))
    }
}

/// Those of `arguments`, before the subcommand, that say which repository is asked.
fn places(arguments: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = arguments.iter();
    while let Some(argument) = left.next().filter(|argument| argument.starts_with('-')) {
        let value = if ["-C", "-c"].contains(&&**argument) { left.next() } else { None };
        if argument == "-C" || argument.starts_with("--git-dir=") || argument.starts_with("--work-tree=") {
            found.push(argument.clone());
            found.extend(value.cloned());
        }
    }
    found
}

/// The keys that name programs, of scopes and keys that end with NUL each, as far as they are the repository's.
fn programs(listed: &[u8]) -> impl Iterator<Item = String> {
    let mut parts = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
        .filter(|(scope, key)| ["local", "worktree"].contains(&&**scope) && names_a_program(key))
        .map(|(_, key)| key.into_owned())
}

/// Whether git, or a program that comes with it, would run what the setting `key` says.
fn names_a_program(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    let variable = key.rsplit('.').next().unwrap_or_default();
    match section {
        "filter" => ["clean", "smudge", "process", "required"].contains(&variable),
        "diff" => ["command", "textconv", "external"].contains(&variable),
        "core" => ["gitproxy", "pager", "editor", "askpass", "alternaterefscommand"].contains(&variable),
        "remote" => ["uploadpack", "receivepack"].contains(&variable),
        "credential" => variable == "helper",
        "tar" | "trailer" => ["command", "cmd"].contains(&variable),
        "gpg" => variable == "defaultkeycommand",
        "merge" => variable == "driver",
        "interactive" => variable == "difffilter",
        "pager" => true,
        _ => false,
    }
}

/// Where other repositories are, in what `ls-files --stage -z` lists.
fn gitlinks(listed: &[u8]) -> impl Iterator<Item = &Path> {
    use std::os::unix::ffi::OsStrExt;
    let links = listed.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
    links.filter_map(|entry| {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        Some(Path::new(std::ffi::OsStr::from_bytes(&entry[tab + 1..])))
    })
}

/// What git lists, up to a limit.
#[derive(Default)]
struct Listed(Vec<u8>);

impl Write for Listed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_LISTED {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_repository_are_found_and_not_those_of_the_user() {
        let listed = b"global\0filter.lfs.clean\0local\0filter.a=b.c.clean\0local\0core.bare\0worktree\0diff.x.textconv\0";
        assert_eq!(programs(listed).collect::<Vec<_>>(), ["filter.a=b.c.clean", "diff.x.textconv"]);
        for key in ["diff.external", "filter.x.process", "pager.log", "core.gitproxy", "tar.tgz.command"] {
            assert!(names_a_program(key), "{key}");
        }
    }

    #[test]
    fn where_git_is_asked_is_before_the_subcommand() {
        let arguments = ["-c", "a.b=c", "-C", "x", "--git-dir=x/.git", "--no-pager", "log", "-C", "y"];
        assert_eq!(places(&arguments.map(str::to_owned)), ["-C", "x", "--git-dir=x/.git"]);
    }

    #[test]
    fn repositories_in_an_index_are_found() {
        let listed = b"100644 aa 0\ta\x00160000 bb 0\tvendor/x\ty\0";
        assert_eq!(gitlinks(listed).collect::<Vec<_>>(), [Path::new("vendor/x\ty")]);
    }
}

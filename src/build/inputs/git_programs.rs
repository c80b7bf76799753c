//! Programs that the configuration of a repository would have git run. Whoever made the repository made that, too, so git
//! is told of something harmless instead. Knows nothing of what git is asked.

use std::path::{Path, PathBuf};

use super::git_process::Git;
use crate::build::interrupt::Interrupt;
use crate::contract::{Failure, FailureClass};

/// Repositories in repositories that are looked into.
const MOST_REPOSITORIES: usize = 1000;

/// How keys end whose values are programs, and what they are set to: nothing where git then runs none, or else a program
/// that does nothing.
const PROGRAMS: [(&str, &str); 22] = [
    (".clean", ""),
    (".smudge", ""),
    (".process", ""),
    (".helper", ""),
    (".required", "false"),
    (".fsmonitor", "false"),
    (".hookspath", "/dev/null"),
    (".textconv", "true"),
    (".external", "true"),
    (".command", "true"),
    (".cmd", "true"),
    (".driver", "true"),
    (".program", "false"),
    (".defaultkeycommand", "false"),
    (".sshcommand", "false"),
    (".gitproxy", "false"),
    (".alternaterefscommand", "true"),
    (".packobjectshook", "false"),
    (".askpass", "false"),
    (".editor", "false"),
    (".pager", "cat"),
    (".vcs", "none"),
];

/// Settings that go before those by which the repository at `top` would have programs run.
///
/// # Errors
/// If a repository inside of it names some: git looks after these by itself, and passes no settings on.
pub(super) fn harmless_settings(
    git: &Git,
    top: &Path,
    interrupt: &Interrupt,
) -> Result<Vec<(String, String)>, Failure> {
    let settings = programs_of(git, top, top, interrupt)?;
    let mut left = inner_repositories(git, top, top, interrupt)?;
    let mut looked_at = 0;
    while let Some(inner) = left.pop() {
        looked_at += 1;
        if looked_at > MOST_REPOSITORIES {
            return Err(refused(format!("{} has more than {MOST_REPOSITORIES} submodules", top.display())));
        }
        if let Some((key, _)) = programs_of(git, top, &inner, interrupt)?.first() {
            let message = format!("the submodule {} has git run a program ({key})", inner.display());
            return Err(refused(message)
                .with_hint("remove the setting from its configuration, if you trust the rest"));
        }
        left.extend(inner_repositories(git, top, &inner, interrupt)?);
    }
    Ok(settings)
}

/// The settings of a repository's own that name programs, with what goes before them.
fn programs_of(
    git: &Git,
    top: &Path,
    directory: &Path,
    interrupt: &Interrupt,
) -> Result<Vec<(String, String)>, Failure> {
    let listed =
        asked(git, top, directory, &["config", "--list", "-z", "--show-scope", "--name-only"], interrupt)?;
    let mut texts = listed.split(|byte| *byte == 0);
    let mut found: Vec<(String, String)> = Vec::new();
    while let (Some(scope), Some(key)) = (texts.next(), texts.next()) {
        let (scope, key) = (String::from_utf8_lossy(scope), String::from_utf8_lossy(key));
        if !matches!(&*scope, "local" | "worktree") || found.iter().any(|(known, _)| *known == key) {
            continue;
        }
        let lower = key.to_ascii_lowercase();
        if let Some((_, harmless)) = PROGRAMS.iter().find(|(end, _)| lower.ends_with(end)) {
            found.push((key.into_owned(), (*harmless).to_owned()));
        }
    }
    Ok(found)
}

/// The submodules of the repository at `directory` that are there.
fn inner_repositories(
    git: &Git,
    top: &Path,
    directory: &Path,
    interrupt: &Interrupt,
) -> Result<Vec<PathBuf>, Failure> {
    let listed = asked(git, top, directory, &["ls-files", "-z", "-s"], interrupt)?;
    let links = listed.split(|byte| *byte == 0).filter(|line| line.starts_with(b"160000 "));
    let paths = links.filter_map(|line| {
        let path = line.iter().position(|byte| *byte == b'\t').map(|tab| &line[tab + 1..])?;
        Some(directory.join(std::str::from_utf8(path).ok()?))
    });
    Ok(paths.filter(|path| path.join(".git").exists()).collect())
}

/// What git says; nothing if it does not want to, and so would run nothing either.
fn asked(
    git: &Git,
    top: &Path,
    directory: &Path,
    arguments: &[&str],
    interrupt: &Interrupt,
) -> Result<Vec<u8>, Failure> {
    let safe = top.to_string_lossy();
    let mut command = git.command(directory, &[("safe.directory", &*safe)]);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").args(arguments);
    let mut said = Vec::new();
    let status = interrupt.run_to(&mut command, &mut said, |_| ())?;
    Ok(if status.success() { said } else { Vec::new() })
}

fn refused(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

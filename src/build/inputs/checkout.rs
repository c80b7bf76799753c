//! Checkouts of git repositories, made with the user's own git, so that logins, proxies and `url.*.insteadOf` are as they
//! are everywhere. Everything is kept in the cache: of each repository what was fetched, and one working tree for each
//! commit. Knows nothing of what is built of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use url::Url;

use super::directory::TreeSource;
use super::git_process::Git;
use super::git_source::GitSource;
use super::tree_place::TreePlace;
use crate::build::cache::KeyBuilder;
use crate::build::index::credentials::redact_urls;
use crate::build::progress::Task;
use crate::build::run::Run;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::lock::is_whole_commit;

/// Lines of what git complained of that are shown.
const TAIL: usize = 10;

/// Where the default branch, and what was asked for by name, are kept in the repository of the cache.
const DEFAULT: &str = "refs/crosswheel/default";
const ASKED: &str = "refs/crosswheel/asked";

/// A working tree in the cache.
#[derive(Debug)]
pub(super) struct Checkout {
    project: PathBuf,
    commit: String,
}

impl Checkout {
    /// It as a source tree.
    pub fn tree(&self, source: &GitSource) -> TreeSource<'_> {
        let anywhere = GitSource { reference: None, ..source.clone() };
        let exactly = GitSource { reference: Some(self.commit.clone()), ..source.clone() };
        let place = TreePlace { tree: anywhere.to_string(), commit: Some(self.commit.clone()) };
        TreeSource { project: &self.project, shown: exactly.to_string(), place: Some(place), top: None }
    }
}

impl Run {
    /// The working tree that `source` names, with its submodules.
    ///
    /// # Errors
    /// [`FailureClass::FetchFailed`] if there is no git, no such repository, branch, tag or commit, or no permission.
    pub(super) fn checkout(&self, source: &GitSource, task: &Task) -> Result<Checkout, Failure> {
        let repository = Repository::of(self, source)?;
        let key = KeyBuilder::default().part("checkout", repository.key.to_string()).finish();
        self.cache.exclusively(key, || {
            let _lock = repository.lock()?;
            let commit = repository.commit(source.reference.as_deref(), task)?;
            let tree = repository.working_tree(&commit, task)?;
            let project = match &source.subdirectory {
                Some(subdirectory) => tree.join(subdirectory),
                None => tree.clone(),
            };
            // Links of the repository may lead anywhere.
            let real = std::fs::canonicalize(&project).ok();
            let real = real.filter(|real| real.is_dir() && real.starts_with(&tree));
            let project = real.ok_or_else(|| {
                let subdirectory = source.subdirectory.as_deref().unwrap_or_default();
                failed(format!("{} has no directory {subdirectory} at {commit}", repository.shown))
            })?;
            Ok(Checkout { project, commit })
        })
    }
}

/// A repository of somebody's, and what is in the cache of it.
struct Repository<'a> {
    run: &'a Run,
    git: Git,
    /// Without a login.
    url: Url,
    /// A setting that adds the login, if there is one: only our own processes see it, and nothing writes it down.
    login: Option<(String, String)>,
    shown: String,
    key: Sha256,
    directory: PathBuf,
}

impl<'a> Repository<'a> {
    fn of(run: &'a Run, source: &GitSource) -> Result<Self, Failure> {
        let plain = GitSource { reference: None, subdirectory: None, ..source.clone() };
        let git = Git::needed_for(&source.to_string())?;
        let (url, login) = without_login(&run.http.credentials().with_login(&source.repository));
        let key = KeyBuilder::default().part("repository", url.as_str()).finish();
        let directory = run.cache.repository(key);
        Ok(Self { run, git, url, login, shown: plain.to_string(), key, directory })
    }

    /// Keeps other processes away while something is fetched or checked out.
    fn lock(&self) -> Result<fs_err::File, Failure> {
        let place = self.directory.with_extension("lock");
        fs_err::create_dir_all(place.parent().unwrap_or(&place))?;
        let file = fs_err::File::create(place)?;
        // Where file systems have no locks, git has its own.
        let _ = file.file().lock();
        Ok(file)
    }

    /// The commit that `reference` is, fetched. A whole commit that is here needs no network.
    fn commit(&self, reference: Option<&str>, task: &Task) -> Result<String, Failure> {
        let known = self.directory.is_dir();
        if known
            && let Some(commit) = reference.filter(|reference| is_whole_commit(reference))
            && self.resolve(commit)?.is_some()
        {
            return Ok(commit.to_ascii_lowercase());
        }
        let shown = reference.unwrap_or("its default branch");
        if self.run.settings.offline {
            let found = if known { self.find(reference)? } else { None };
            return found.ok_or_else(|| {
                failed(format!("{shown} of {} is not in the cache", self.shown))
                    .with_hint("the network is off (--offline); run once without it")
            });
        }
        self.fetch(reference, task)?;
        self.find(reference)?.ok_or_else(|| {
            failed(format!("{} has no branch, tag or commit {shown}", self.shown))
                .with_hint("a short commit must be on a branch or below a tag; is it spelled right?")
        })
    }

    /// Branches come before tags, as pip and uv have it, and both before commits.
    fn find(&self, reference: Option<&str>) -> Result<Option<String>, Failure> {
        let Some(reference) = reference else { return self.resolve(DEFAULT) };
        for candidate in [format!("refs/heads/{reference}"), format!("refs/tags/{reference}")] {
            if let Some(commit) = self.resolve(&candidate)? {
                return Ok(Some(commit));
            }
        }
        let is_hexadecimal = reference.len() >= 4 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_hexadecimal {
            true => self.resolve(reference),
            false => self.resolve(ASKED).map(|found| found.filter(|_| is_full_name(reference))),
        }
    }

    fn resolve(&self, name: &str) -> Result<Option<String>, Failure> {
        let mut command = self.command(&self.directory);
        command.args(["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
        let finished = self.run.interrupt.run(&mut command, |_| ())?;
        let commit = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        Ok(Some(commit).filter(|commit| finished.status.success() && is_whole_commit(commit)))
    }

    /// Fetches all branches and tags, as versions are told by them, and `reference` if it is none of these.
    fn fetch(&self, reference: Option<&str>, task: &Task) -> Result<(), Failure> {
        task.stage(&format!("fetching {}", self.shown));
        if !self.directory.is_dir() {
            let made = self.run.cache.temporary_directory()?;
            self.run_git(made.path(), &["init", "--quiet", "--bare", "repository"], task)?;
            self.run.cache.publish_directory(&made.path().join("repository"), &self.directory)?;
        }
        let fetch = |names: &[&str]| {
            let url = self.url.as_str();
            let arguments = [&["fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head"], names];
            let [options, names] = arguments;
            let arguments = [options, &["--", url], names].concat();
            self.run_git(&self.directory, &arguments, task)
        };
        let head = format!("+HEAD:{DEFAULT}");
        // A repository may have no branch that its HEAD is on.
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let prune = || self.run_git(&self.directory, &["update-ref", "-d", ASKED], task);
        prune()?;
        fetch(&all)?;
        let default = fetch(&[&head]);
        match reference {
            None => default,
            // Not every server gives out what is on no branch: then it is not found.
            Some(name) if is_whole_commit(name) || is_full_name(name) => {
                if is_full_name(name) || self.find(reference)?.is_none() {
                    let _ = fetch(&[&format!("+{name}:{ASKED}")]);
                    self.run.interrupt.check()?;
                }
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// The working tree of `commit`: made once.
    fn working_tree(&self, commit: &str, task: &Task) -> Result<PathBuf, Failure> {
        let place = self.run.cache.checkout(self.key, commit);
        let name = directory_name(&self.url);
        if !place.join(&name).is_dir() {
            task.stage(&format!("checking out {commit}"));
            let made = self.run.cache.temporary_directory()?;
            let below = made.path().join("checkout");
            fs_err::create_dir(&below)?;
            let from = self.directory.to_str().unwrap_or_default();
            // Its configuration names no place in the cache, and has nothing of a login.
            self.run_git(&below, &["clone", "--quiet", "--no-checkout", "--", from, &name], task)?;
            let tree = below.join(&name);
            self.run_git(&tree, &["remote", "set-url", "origin", self.url.as_str()], task)?;
            self.run_git(&tree, &["checkout", "--quiet", "--detach", commit], task)?;
            if tree.join(".gitmodules").is_file() {
                task.stage("fetching submodules");
                if self.run.settings.offline {
                    return Err(failed(format!("the submodules of {} are not in the cache", self.shown))
                        .with_hint("the network is off (--offline); run once without it"));
                }
                self.run_git(&tree, &["submodule", "--quiet", "update", "--init", "--recursive"], task)?;
            }
            self.run.cache.publish_directory(&below, &place)?;
        }
        Ok(fs_err::canonicalize(place.join(name))?)
    }

    fn command(&self, directory: &Path) -> Command {
        let login = self.login.as_ref().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: Vec<_> = login.into_iter().collect();
        let mut command = self.git.command(directory, &settings);
        // Large files are not sources; uv leaves them out as well.
        command.env("GIT_LFS_SKIP_SMUDGE", "1");
        if self.url.scheme() == "ssh" && self.git.asks_by_ssh(directory, &self.run.interrupt) {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        command
    }

    fn run_git(&self, directory: &Path, arguments: &[&str], task: &Task) -> Result<(), Failure> {
        let mut command = self.command(directory);
        command.args(arguments);
        let mut log = Vec::new();
        let finished = self.run.interrupt.run(&mut command, |line| {
            let line = redact_urls(line);
            task.output(&line);
            log.push(line);
        })?;
        if finished.status.success() {
            return Ok(());
        }
        let attempt = match arguments.first() {
            Some(&"fetch") => "cannot be fetched",
            Some(&"submodule") => "has submodules that cannot be fetched",
            _ => "cannot be checked out",
        };
        let failure = failed(format!("{} {attempt}", self.shown));
        let hint = hint(&log);
        log.retain(|line| !line.trim().is_empty());
        let evidence = log.split_off(log.len().saturating_sub(TAIL));
        Err(Failure { evidence, hint: hint.map(str::to_owned), ..failure })
    }
}

/// What to do about what git complains of.
fn hint(log: &[String]) -> Option<&'static str> {
    let says = |texts: &[&str]| log.iter().any(|line| texts.iter().any(|text| line.contains(text)));
    if says(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "terminal prompts disabled",
    ]) {
        return Some(
            "nobody is asked for a login here: let a credential helper of git's know it, or ~/.netrc",
        );
    }
    if says(&["Permission denied (publickey", "Host key verification failed"]) {
        return Some("nobody is asked anything here: add the key to an SSH agent, and connect once by hand");
    }
    if says(&["transport 'file' not allowed"]) {
        return Some(
            "git wants to be told that submodules may lie on this machine: `git config --global protocol.file.allow always`",
        );
    }
    None
}

/// `url` without its login, and a setting that puts it back for git.
fn without_login(url: &Url) -> (Url, Option<(String, String)>) {
    let mut plain = url.clone();
    let is_login =
        matches!(url.scheme(), "http" | "https") && (!url.username().is_empty() || url.password().is_some());
    if !is_login || plain.set_username("").and_then(|()| plain.set_password(None)).is_err() {
        return (url.clone(), None);
    }
    let (mut with, mut without) = (url.clone(), plain.clone());
    for place in [&mut with, &mut without] {
        place.set_path("/");
        place.set_query(None);
    }
    let setting = (format!("url.{with}.insteadOf"), without.to_string());
    (plain, Some(setting))
}

/// What git would call the working tree.
fn directory_name(url: &Url) -> String {
    let name = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".git").unwrap_or(name);
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let usable = !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain);
    if usable { name.to_owned() } else { "repository".to_owned() }
}

/// Such as `refs/pull/1/head`.
fn is_full_name(text: &str) -> bool {
    text.starts_with("refs/")
}

fn failed(message: String) -> Failure {
    Failure::new(FailureClass::FetchFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_setting_and_no_part_of_the_url() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (plain, setting) = without_login(&url("https://me:hunter22@x.example:8443/a/b.git"));
        assert_eq!(plain.as_str(), "https://x.example:8443/a/b.git");
        let expected = ("url.https://me:hunter22@x.example:8443/.insteadOf", "https://x.example:8443/");
        assert_eq!(setting.as_ref().map(|(key, value)| (&**key, &**value)), Some(expected));
        for text in ["https://x.example/a", "ssh://git@x.example/a", "file:///srv/a"] {
            assert_eq!(without_login(&url(text)), (url(text), None));
        }
    }

    #[test]
    fn working_trees_are_named_as_git_names_them() {
        for (url, name) in [
            ("https://x.example/a/lib.git", "lib"),
            ("file:///srv/lib/", "lib"),
            ("https://x.example/", "repository"),
            ("https://x.example/a/.git", "repository"),
            ("https://x.example/a%20b", "repository"),
        ] {
            assert_eq!(directory_name(&Url::parse(url).unwrap()), name);
        }
    }
}

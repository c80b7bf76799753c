//! Which of the questions that a build asks git are passed on: those that read the repository and do nothing else. Each
//! subcommand has a list of options; whatever is not on it is refused, also what git would take for a shortened form.
//! Knows nothing of how git is run.

use std::path::{Component, Path};

use super::git_readers::{KEYS, LOG, READERS, Reader, SETTINGS};
use crate::contract::{GIT_TOP, GitQuestion};

/// The arguments for git, still with [`GIT_TOP`] where the repository is meant; or why the question is not passed on.
pub(super) fn passed_on(question: &GitQuestion) -> Result<Vec<String>, String> {
    if !is_below(&question.directory) {
        return Err("it is asked outside of the repository".into());
    }
    let mut rest = question.arguments.iter().map(String::as_str);
    let mut passed = Vec::new();
    let subcommand = loop {
        let Some(argument) = rest.next() else { return Err("it has no subcommand".into()) };
        let mut value_of = |name: &str| match argument.strip_prefix(name) {
            Some("") => rest.next(),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        if let Some(directory) = value_of("--git-dir") {
            // Its own, or that of a submodule.
            if Path::new(directory).file_name().is_none_or(|name| name != ".git") {
                return Err(format!("{directory} is another repository"));
            }
            inside(directory)?;
            passed.push(format!("--git-dir={directory}"));
        } else if let Some(directory) = value_of("--work-tree") {
            inside(directory)?;
            passed.push(format!("--work-tree={directory}"));
        } else if let Some(directory) = (argument == "-C").then(|| rest.next()).flatten() {
            inside(directory)?;
            passed.extend(["-C".to_owned(), directory.to_owned()]);
        } else if let Some(setting) = (argument == "-c").then(|| rest.next()).flatten() {
            check_setting(setting)?;
            // Whose repositories are asked is for the user to say.
            if setting.to_ascii_lowercase().starts_with("safe.") {
                continue;
            }
            passed.extend(["-c".to_owned(), setting.to_owned()]);
        } else {
            match argument {
                "--no-pager"
                | "-P"
                | "--no-optional-locks"
                | "--literal-pathspecs"
                | "--no-replace-objects" => {
                    passed.push(argument.to_owned());
                }
                "--version" | "-v" => break "version",
                option if option.starts_with('-') => return Err(format!("{option} is not passed on")),
                subcommand => break subcommand,
            }
        }
    };
    let rest: Vec<&str> = rest.collect();
    let reader = READERS.iter().find(|reader| reader.name == subcommand);
    let reader = reader.ok_or_else(|| format!("`git {subcommand}` is not among what only reads"))?;
    check_shape(subcommand, &rest)?;
    reader.check(&rest)?;
    passed.push(subcommand.to_owned());
    passed.extend(reader.added.iter().map(|added| (*added).to_owned()));
    passed.extend(rest.iter().map(|argument| (*argument).to_owned()));
    Ok(passed)
}

impl Reader {
    fn check(&self, arguments: &[&str]) -> Result<(), String> {
        let mut arguments_left = arguments.iter();
        let (mut options, mut found) = (false, false);
        while let Some(argument) = arguments_left.next() {
            if *argument == "--" {
                break;
            }
            if !argument.starts_with('-') || *argument == "-" {
                continue;
            }
            options = true;
            let (name, value) =
                argument.split_once('=').map_or((*argument, None), |(name, value)| (name, Some(value)));
            let value = if self.with_value.contains(&name) {
                value.or_else(|| arguments_left.next().copied())
            } else if self.options.contains(&name) || self.is_short_number(name) {
                value
            } else {
                return Err(format!("`git {} {name}` is not among what is passed on", self.name));
            };
            // Signatures are looked at by another program.
            if value.is_some_and(|value| value.contains("%G") || value.contains("signature")) {
                return Err("it asks for signatures".into());
            }
            found = found || self.needed.contains(&name);
        }
        // `git tag` and `git branch` list without any, and change something with a mere name.
        let names = arguments.iter().any(|argument| !argument.starts_with('-'));
        if self.needed.is_empty() || found || (!options && !names && ["tag", "branch"].contains(&self.name)) {
            return Ok(());
        }
        Err(format!("`git {}` is passed on with one of {} only", self.name, self.needed.join(", ")))
    }

    /// `-3` and `-n3` of the log.
    fn is_short_number(&self, name: &str) -> bool {
        let digits = name.trim_start_matches("-n").trim_start_matches('-');
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (self.options == LOG || name.starts_with("-n") && self.name == "tag")
    }
}

/// What is particular to single subcommands.
fn check_shape(subcommand: &str, rest: &[&str]) -> Result<(), String> {
    let names = rest.iter().filter(|argument| !argument.starts_with('-')).count();
    let ok = match subcommand {
        // A second name would be written.
        "symbolic-ref" => names == 1,
        "archive" => {
            rest.iter().all(|argument| match argument.strip_prefix("--format=") {
                Some(format) => ["tar", "zip"].contains(&format),
                None => *argument != "--format",
            }) || matches!(rest, ["--format", "tar" | "zip", rest @ ..] if !rest.contains(&"--format"))
        }
        "config" => {
            matches!(rest, ["--get" | "get", key] | [key] if KEYS.contains(&key.to_ascii_lowercase().as_str()))
        }
        "submodule" => matches!(rest, ["status"] | ["status", "--recursive"]),
        "remote" => matches!(rest, [] | ["get-url", "origin"]),
        "help" => rest.is_empty(),
        _ => true,
    };
    match ok {
        true => Ok(()),
        false => Err(format!("`git {subcommand} {}` is not among what is passed on", rest.join(" "))),
    }
}

fn check_setting(setting: &str) -> Result<(), String> {
    let (key, value) = setting.split_once('=').unwrap_or((setting, "true"));
    let key = key.to_ascii_lowercase();
    match SETTINGS.iter().any(|(known, allowed)| *known == key && (*allowed == "*" || *allowed == value)) {
        true => Ok(()),
        false => Err(format!("the setting {key} is not passed on")),
    }
}

/// Fails unless `directory` is in the repository, by its text.
fn inside(directory: &str) -> Result<(), String> {
    let relative = match directory.strip_prefix(GIT_TOP) {
        Some(below) => below.trim_start_matches('/'),
        None => directory,
    };
    match is_below(relative) {
        true => Ok(()),
        false => Err(format!("{directory} is outside of the repository")),
    }
}

/// Whether `directory` is a relative path without a way up.
fn is_below(directory: &str) -> bool {
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    !directory.contains('\0') && Path::new(directory).components().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(arguments: &[&str]) -> Result<Vec<String>, String> {
        passed_on(&GitQuestion::new("sub", arguments))
    }

    #[test]
    fn what_backends_ask_is_passed_on_as_it_is() {
        let own = format!("--git-dir={GIT_TOP}/.git");
        for question in [
            "describe --dirty --tags --long --match *[0-9]*",
            "--git-dir GIT describe --tags",
            "-c log.showSignature=false log -n 1 HEAD --format=%cI",
            "status --porcelain --untracked-files=no",
            "rev-parse --abbrev-ref HEAD",
            "rev-parse --verify --quiet HEAD",
            "rev-list HEAD",
            "rev-list --count HEAD",
            "log -1 --format=%H",
            "show -s --format=%ci HEAD",
            "ls-files --error-unmatch meson.build",
            "branch --show-current",
            "branch --contains",
            "tag --points-at HEAD",
            "tag",
            "symbolic-ref --short HEAD",
            "archive --format tar HEAD",
            "archive HEAD",
            "config --get user.name",
            "submodule status",
            "--no-pager --version",
            "ls-files -z -s -- . :(exclude,attr:export-ignore)",
            "check-attr -z --stdin export-ignore",
        ] {
            let words: Vec<&str> = question
                .split(' ')
                .map(|word| if word == "GIT" { &own["--git-dir=".len()..] } else { word })
                .collect();
            let passed = ask(&words).unwrap_or_else(|reason| panic!("{question}: {reason}"));
            assert!(!passed.is_empty());
        }
        assert_eq!(ask(&["diff", "--quiet"]).unwrap(), ["diff", "--no-ext-diff", "--no-textconv", "--quiet"]);
    }

    #[test]
    fn what_writes_runs_other_programs_or_looks_elsewhere_is_not() {
        for question in [
            "tag v1",
            "tag -d v1",
            "branch new",
            "branch -D main",
            "branch --list --edit-description",
            "symbolic-ref HEAD refs/heads/x",
            "commit -m x",
            "fetch --unshallow",
            "push",
            "log --output=x",
            "log --outp=x",
            "log -p",
            "log --ext-diff",
            "log --format=%G?",
            "log --format %GK",
            "show HEAD",
            "show --textconv -s HEAD",
            "diff",
            "diff --quiet --output=x",
            "archive --output=x HEAD",
            "archive -o x HEAD",
            "archive --remote=x HEAD",
            "archive --format=tar.gz HEAD",
            "archive --format tgz HEAD",
            "archive --exec=x HEAD",
            "config --list",
            "config user.name x",
            "config --get http.extraheader",
            "config core.fsmonitor x",
            "-c core.fsmonitor=x status",
            "-c core.pager=x log",
            "--exec-path=/x status",
            "--git-dir=/x/.git log",
            "--git-dir=../.git log",
            "--git-dir=x log",
            "--git-dir /x log",
            "--work-tree=/x status",
            "-C .. log",
            "-C /x log",
            "--paginate log",
            "submodule foreach x",
            "rev-list --stdin",
            "help log",
            "grep -O x",
            "",
        ] {
            let words: Vec<&str> = question.split(' ').filter(|word| !word.is_empty()).collect();
            assert!(ask(&words).is_err(), "{question}");
        }
        for directory in ["..", "/", "a/../.."] {
            let question = GitQuestion::new(directory, &["version"]);
            assert!(passed_on(&question).is_err(), "{directory}");
        }
    }

    proptest! {
        #[test]
        fn no_question_makes_us_panic(directory: String, arguments: Vec<String>) {
            let _ = passed_on(&GitQuestion { directory, arguments, stdin: None });
        }

        #[test]
        fn nothing_with_an_output_file_is_passed_on(
            before in proptest::sample::subsequence(vec!["log", "-n", "1", "--", "archive", "diff", "--quiet", "HEAD"], 0..6),
            option in proptest::sample::select(vec!["--output=x", "--outpu=x", "-ox", "--ext-diff", "--upload-pack=x"]),
        ) {
            // Behind two dashes it is a path.
            prop_assume!(!before.contains(&"--"));
            prop_assume!(before.last() != Some(&"-n"));
            let words: Vec<&str> = before.into_iter().chain([option]).collect();
            prop_assert!(ask(&words).is_err());
        }
    }
}

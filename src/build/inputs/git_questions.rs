//! Which of the questions that a build asks git are passed on: those that read the repository and do nothing else. Each
//! subcommand has a list of options; whatever is not on it is refused, also what git would take for a shortened form.
//! Knows nothing of how git is run.

use std::path::{Component, Path};

use crate::contract::{GIT_TOP, GitQuestion};

/// A subcommand that only reads, and its options.
struct Reader {
    name: &'static str,
    /// Options without a value, or with one after `=`.
    options: &'static [&'static str],
    /// Options whose value may also be the next argument.
    with_value: &'static [&'static str],
    /// One of these must be among the options, if there are any.
    needed: &'static [&'static str],
    /// Added behind the subcommand's name.
    added: &'static [&'static str],
}

impl Reader {
    const fn of(
        name: &'static str,
        options: &'static [&'static str],
        with_value: &'static [&'static str],
    ) -> Self {
        Self { name, options, with_value, needed: &[], added: &[] }
    }
}

const LOG: &[&str] = &[
    "-s",
    "-z",
    "-1",
    "--no-patch",
    "--oneline",
    "--all",
    "--tags",
    "--branches",
    "--remotes",
    "--first-parent",
    "--merges",
    "--no-merges",
    "--reverse",
    "--topo-order",
    "--date-order",
    "--author-date-order",
    "--simplify-by-decoration",
    "--simplify-merges",
    "--full-history",
    "--follow",
    "--decorate",
    "--no-decorate",
    "--abbrev",
    "--abbrev-commit",
    "--no-abbrev-commit",
    "--no-color",
    "--color",
    "--date",
    "--no-show-signature",
    "--name-only",
    "--name-status",
    "--no-walk",
    "--walk-reflogs",
    "--parents",
    "--children",
    "--count",
    "--max-parents",
    "--min-parents",
    "--boundary",
    "--left-right",
    "--cherry-pick",
    "--ancestry-path",
    "--quiet",
    "--no-ext-diff",
    "--no-textconv",
    "--no-notes",
    "--timestamp",
    "--header",
    "--objects",
];
const LOG_VALUES: &[&str] = &[
    "-n",
    "--max-count",
    "--skip",
    "--format",
    "--pretty",
    "--since",
    "--until",
    "--after",
    "--before",
    "--author",
    "--committer",
    "--grep",
    "--decorate-refs",
    "--decorate-refs-exclude",
    "--exclude",
    "--glob",
];

const READERS: &[Reader] = &[
    Reader::of(
        "describe",
        &[
            "--all",
            "--tags",
            "--contains",
            "--long",
            "--always",
            "--exact-match",
            "--first-parent",
            "--dirty",
            "--no-abbrev",
        ],
        &["--abbrev", "--match", "--exclude", "--candidates"],
    ),
    Reader::of(
        "rev-parse",
        &[
            "--abbrev-ref",
            "--show-toplevel",
            "--show-prefix",
            "--show-cdup",
            "--git-dir",
            "--git-common-dir",
            "--absolute-git-dir",
            "--is-inside-work-tree",
            "--is-inside-git-dir",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--verify",
            "--quiet",
            "-q",
            "--short",
            "--symbolic",
            "--symbolic-full-name",
            "--all",
            "--branches",
            "--tags",
            "--remotes",
            "--show-superproject-working-tree",
            "--revs-only",
            "--no-revs",
            "--flags",
            "--no-flags",
            "--show-object-format",
            "--end-of-options",
        ],
        &["--default", "--git-path", "--path-format"],
    ),
    Reader::of("log", LOG, LOG_VALUES),
    Reader::of("rev-list", LOG, LOG_VALUES),
    Reader { needed: &["-s", "--no-patch", "--quiet"], ..Reader::of("show", LOG, LOG_VALUES) },
    Reader::of(
        "shortlog",
        &["-s", "-n", "-e", "-sn", "-sne", "-se", "--summary", "--numbered", "--email"],
        &["--format"],
    ),
    Reader::of(
        "status",
        &[
            "--porcelain",
            "--short",
            "-s",
            "--branch",
            "-b",
            "-z",
            "--untracked-files",
            "-u",
            "-uno",
            "-unormal",
            "-uall",
            "--ignored",
            "--ignore-submodules",
            "--no-renames",
            "--renames",
            "--ahead-behind",
            "--no-ahead-behind",
            "--null",
        ],
        &[],
    ),
    Reader::of(
        "ls-files",
        &[
            "-c",
            "--cached",
            "-d",
            "--deleted",
            "-m",
            "--modified",
            "-o",
            "--others",
            "-i",
            "--ignored",
            "-s",
            "--stage",
            "-z",
            "--exclude-standard",
            "--full-name",
            "--error-unmatch",
            "--recurse-submodules",
            "--directory",
            "-t",
            "--no-empty-directory",
            "--deduplicate",
            "-u",
            "--unmerged",
            "--eol",
        ],
        &["-x", "--exclude", "--abbrev", "--format"],
    ),
    Reader::of(
        "ls-tree",
        &[
            "-r",
            "-t",
            "-d",
            "-l",
            "-z",
            "--long",
            "--name-only",
            "--name-status",
            "--full-name",
            "--full-tree",
            "--object-only",
        ],
        &["--abbrev", "--format"],
    ),
    Reader::of("symbolic-ref", &["--short", "-q", "--quiet", "--no-recurse"], &[]),
    Reader {
        needed: &[
            "--show-current",
            "--list",
            "-l",
            "-a",
            "--all",
            "-r",
            "--remotes",
            "--contains",
            "--points-at",
            "--merged",
            "-v",
            "-vv",
        ],
        ..Reader::of(
            "branch",
            &[
                "--show-current",
                "--list",
                "-l",
                "-a",
                "--all",
                "-r",
                "--remotes",
                "-v",
                "-vv",
                "--no-color",
                "--color",
                "--no-column",
                "--ignore-case",
            ],
            &["--contains", "--no-contains", "--points-at", "--merged", "--no-merged", "--format", "--sort"],
        )
    },
    Reader {
        needed: &["--list", "-l", "--points-at", "--contains", "--merged", "--no-merged", "--sort", "-n"],
        ..Reader::of(
            "tag",
            &["--list", "-l", "-n", "-n1", "--no-column", "--no-color", "--color", "--ignore-case"],
            &["--points-at", "--contains", "--no-contains", "--merged", "--no-merged", "--format", "--sort"],
        )
    },
    Reader::of(
        "for-each-ref",
        &["--no-color", "--color", "--ignore-case", "--omit-empty"],
        &[
            "--count",
            "--sort",
            "--format",
            "--points-at",
            "--merged",
            "--no-merged",
            "--contains",
            "--no-contains",
        ],
    ),
    Reader::of(
        "show-ref",
        &[
            "--head",
            "--tags",
            "--heads",
            "--branches",
            "-d",
            "--dereference",
            "-s",
            "--hash",
            "--abbrev",
            "--verify",
            "-q",
            "--quiet",
            "--exists",
        ],
        &[],
    ),
    Reader::of(
        "name-rev",
        &["--tags", "--name-only", "--all", "--always", "--no-undefined"],
        &["--refs", "--exclude"],
    ),
    Reader::of(
        "merge-base",
        &["-a", "--all", "--is-ancestor", "--octopus", "--independent", "--fork-point"],
        &[],
    ),
    Reader::of("cat-file", &["-t", "-s", "-e", "-p"], &[]),
    Reader::of("check-attr", &["-z", "-a", "--all", "--stdin", "--cached"], &[]),
    Reader::of(
        "check-ignore",
        &["--stdin", "-q", "--quiet", "-v", "--verbose", "-n", "--non-matching", "--no-index", "-z"],
        &[],
    ),
    Reader::of("check-ref-format", &["--branch", "--normalize"], &[]),
    // Of other formats, the repository's settings could name programs.
    Reader::of("archive", &["--worktree-attributes", "--format"], &["--prefix"]),
    Reader {
        needed: &["--quiet", "--exit-code", "--name-only", "--name-status", "--shortstat"],
        added: &["--no-ext-diff", "--no-textconv"],
        ..Reader::of("diff", DIFF, &[])
    },
    Reader {
        needed: &["--quiet", "--exit-code", "--name-only", "--name-status", "--shortstat"],
        added: &["--no-ext-diff", "--no-textconv"],
        ..Reader::of("diff-index", DIFF, &[])
    },
    Reader {
        needed: &["--quiet", "--exit-code", "--name-only", "--name-status", "--shortstat"],
        added: &["--no-ext-diff", "--no-textconv"],
        ..Reader::of("diff-files", DIFF, &[])
    },
    Reader::of("submodule", &[], &[]),
    Reader::of("config", &["--get"], &[]),
    Reader::of("remote", &[], &[]),
    Reader::of("version", &["--build-options"], &[]),
    Reader::of("help", &[], &[]),
];

const DIFF: &[&str] = &[
    "--quiet",
    "--exit-code",
    "--name-only",
    "--name-status",
    "--shortstat",
    "--cached",
    "--staged",
    "--ignore-submodules",
    "-z",
    "-m",
    "-r",
    "--no-ext-diff",
    "--no-textconv",
    "--diff-filter",
    "--no-renames",
    "--no-color",
];

/// Settings that a question may bring along, and what they may be set to; `*` for anything.
const SETTINGS: &[(&str, &str)] = &[
    ("log.showsignature", "false"),
    ("core.quotepath", "*"),
    ("core.quotepath", "*"),
    ("core.abbrev", "*"),
    ("color.ui", "*"),
    ("color.status", "*"),
    ("color.branch", "*"),
    ("column.ui", "*"),
    ("versionsort.suffix", "*"),
    ("versionsort.prereleasesuffix", "*"),
    ("status.showuntrackedfiles", "*"),
    ("status.relativepaths", "*"),
    ("core.fsmonitor", "false"),
    ("core.pager", "cat"),
    ("core.ignorecase", "*"),
    ("safe.directory", "*"),
];

/// Keys of the configuration that a build may learn. Others may hold secrets.
const KEYS: &[&str] = &[
    "user.name",
    "user.email",
    "remote.origin.url",
    "init.defaultbranch",
    "core.bare",
    "core.ignorecase",
    "core.autocrlf",
    "core.quotepath",
    "core.filemode",
    "core.symlinks",
];

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

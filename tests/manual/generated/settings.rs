//! The page of what an operator can decide, made of the table of settings.

use std::path::Path;

use crosswheel::server::settings::{ENTRIES, Entry, worker_entries};

const HEAD: &str = "\
# Settings

Those of [`crosswheel serve`](#settings-of-crosswheel-serve) and those of [`crosswheel worker`](#settings-of-crosswheel-worker).

## Settings of `crosswheel serve`

Each can be given as a flag (`--max-bytes 50GiB`), in the environment (`CROSSWHEEL_MAX_BYTES=50GiB`) and in the file
of `--config` (`max-bytes = \"50GiB\"`); the first of these wins. Several values are separated by `,` in `CROSSWHEEL_LISTEN` and
by `;` in `CROSSWHEEL_POOL`, and are arrays in the file, where [pools](pools.md) are tables, too. Sizes are written 50GiB, 500MB
or as a number of bytes, times 30s, 5m or 1h 30m, shares 95%.

| setting | default | |
|---|---|---|
";

const MORE: &str = "
Beside the settings there are `--config FILE` (also `CROSSWHEEL_CONFIG`), `--print-config`, which prints what is in force, and
from where, as such a file, and `--json`, which prints one line of JSON that says where it serves, once it does.
[Serving](serve.md) says what they are for.

### As flags

";

const AS_VARIABLES: &str = "
### As variables

";

const AS_A_FILE: &str = "
### As a file

Paths in it are relative to its directory.

";

const WITH_A_FILE: &str = "
With that file, these print what is in force, and serve:

";

const WORKER: &str = "
## Settings of `crosswheel worker`

They are given in the same places and written in the same way. [Working for an engine](worker.md) says what they are for.

| setting | default | |
|---|---|---|
";

const SHARED: &str = "
What it has in common with `crosswheel serve` means the same, with the same default, but that its store is crosswheel/worker in the
user's cache directory: ";

const AS_WORKER_FLAGS: &str = "
A worker must be told whom it works for, and what it works with if that is not the same:

";

/// Where the file of the examples stands, in a directory that has one.
const FILE: &str = "crosswheel-serve.toml";

pub fn page() -> String {
    let rows: String = ENTRIES.iter().map(row).collect();
    let flags =
        ENTRIES.iter().map(|entry| format!("$ crosswheel serve --{} {}\n", entry.name, quoted(entry)));
    let variables =
        ENTRIES.iter().map(|entry| format!("$ {}={} crosswheel serve\n", entry.variable(), quoted(entry)));
    let with_file = format!(
        "$ crosswheel serve --config {FILE} --print-config\n$ crosswheel serve --config {FILE} --json\n"
    );
    [
        HEAD.to_owned(),
        rows,
        MORE.to_owned(),
        block("console", &flags.collect::<String>()),
        AS_VARIABLES.to_owned(),
        block("console", &variables.collect::<String>()),
        AS_A_FILE.to_owned(),
        block("toml", &file()),
        WITH_A_FILE.to_owned(),
        block("console", &with_file),
        of_worker(),
    ]
    .concat()
}

fn of_worker() -> String {
    let is_shared =
        |entry: &&&Entry| ENTRIES.iter().any(|other| other.name == entry.name && other.help == entry.help);
    let entries = worker_entries();
    let rows: String = entries.iter().filter(|entry| !is_shared(entry)).map(|entry| row(entry)).collect();
    let shared: Vec<_> = entries.iter().filter(is_shared).map(|entry| format!("`{}`", entry.name)).collect();
    let given = |name: &str| match name {
        "size-class" => "--engine buildbarn --scheduler grpcs://scheduler:8983 --cas grpcs://storage:8980",
        name if name.starts_with("cas-") => {
            "--engine buildgrid --scheduler grpcs://buildgrid:50051 --cas grpcs://storage:8980"
        }
        _ => "--engine buildgrid --scheduler grpcs://buildgrid:50051",
    };
    let one = |entry: &Entry| format!("--{} {}", entry.name, quoted(entry));
    // A certificate is of no use without its key.
    let certificate = |key: &str| {
        let stem = key.strip_suffix("-key")?;
        entries.iter().find(|other| other.name.strip_suffix("-cert") == Some(stem))
    };
    let flag = |entry: &&Entry| match entry.name {
        "engine" | "scheduler" | "scheduler-cert" | "cas-cert" => None,
        key => {
            let certificate = certificate(key).map(|certificate| one(certificate) + " ").unwrap_or_default();
            Some(format!("$ crosswheel worker {} {certificate}{}\n", given(key), one(entry)))
        }
    };
    let flags: String = entries.iter().filter_map(flag).collect();
    let flags = format!(
        "{flags}$ crosswheel worker --config worker.toml --print-config\n$ crosswheel worker --config worker.toml --json\n"
    );
    [
        WORKER.to_owned(),
        rows,
        SHARED.to_owned(),
        shared.join(", "),
        ".\n".to_owned(),
        AS_WORKER_FLAGS.to_owned(),
        block("console", &flags),
    ]
    .concat()
}

fn block(language: &str, text: &str) -> String {
    format!("```{language}\n{text}```\n")
}

/// The help ends with the default, if there is one.
fn row(entry: &Entry) -> String {
    let (text, default) = match entry.help.split_once(" [default: ") {
        Some((text, default)) => (text, default.trim_end_matches(']')),
        None => (entry.help, ""),
    };
    format!("| `{}` | {} | {} |\n", entry.name, cell(default), cell(&with_code(text)))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The form of a pool is full of signs that Markdown has other ideas about.
fn with_code(text: &str) -> String {
    let is_form = |word: &&str| word.contains('[') || word.contains("NAME");
    text.split(' ')
        .map(|word| if is_form(&word) { coded(word) } else { word.to_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}

fn coded(word: &str) -> String {
    let end = word.trim_end_matches([';', ':', ',']);
    format!("`{end}`{}", &word[end.len()..])
}

/// For a shell.
fn quoted(entry: &Entry) -> String {
    shlex::try_quote(entry.example).unwrap().into_owned()
}

/// All examples as a file: what is printed for it can be read again.
fn file() -> String {
    use crosswheel::server::settings::{Layers, Settings};
    let mut layers = Layers::new();
    for entry in ENTRIES {
        layers.flag(entry.name, vec![entry.example.to_owned()], Path::new("/"));
    }
    let printed = Settings::resolve(&layers, Path::new("/")).unwrap().to_toml();
    let lines = printed.lines().map(|line| line.split("  # ").next().unwrap());
    lines.map(|line| format!("{line}\n")).collect::<String>().trim_end().to_owned() + "\n"
}

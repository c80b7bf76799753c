//! What the manual says `crosswheel` can be told, against what it can.

use std::collections::{BTreeMap, BTreeSet};

use clap::Command as Parser;

use crate::markdown::{Command, Page};
use crate::support::waiting::InTime;

/// Options of other programs, and of every program, that the manual names.
const FOREIGN: &[&str] = &[
    "--bb-worker",
    "--build-arg",
    "--disk_cache",
    "--drawn",
    "--hash",
    "--help",
    "--pre",
    "--prefer-binary",
    "--remote_executor",
    "--require-hashes",
    "--security-opt",
    "--seed",
    "--trusted-host",
    "--version",
];

/// How code of other programs begins.
const OTHERS: &[&str] = &["cargo ", "e2e/", "bazel ", "pip ", "skopeo ", "uv "];

fn commands() -> Vec<Command> {
    Page::all().iter().flat_map(Page::commands).collect()
}

/// The subcommands that do something, by their path (`rootfs create`), with their visible options.
fn options() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    let mut parser = crosswheel::cli::command();
    // Options that hold for several subcommands are then those of each.
    parser.build();
    collect(&parser, "", &mut found);
    found
}

fn collect(parser: &Parser, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let visible = |parser: &&Parser| !parser.is_hide_set() && parser.get_name() != "help";
    for subcommand in parser.get_subcommands().filter(visible) {
        let path = format!("{path} {}", subcommand.get_name());
        collect(subcommand, &path, found);
        if !subcommand.has_subcommands() {
            let options = subcommand.get_arguments().filter(|option| !option.is_hide_set());
            let options = options.filter_map(|option| option.get_long());
            let options = options.filter(|name| !["help", "version"].contains(name));
            found.insert(path.trim().to_owned(), options.map(|name| format!("--{name}")).collect());
        }
    }
}

#[test]
fn every_command_of_the_manual_is_understood() {
    for command in commands() {
        let Some(words) = command.of_crosswheel() else { continue };
        if let Err(error) = crosswheel::cli::command().try_get_matches_from(words) {
            panic!("{}\n{error}", command.place());
        }
    }
}

#[test]
fn every_option_is_used_by_a_command_of_the_manual() {
    let commands: Vec<_> = commands().iter().filter_map(Command::of_crosswheel).collect();
    let mut missing = Vec::new();
    for (subcommand, options) in options() {
        let path: Vec<_> = subcommand.split(' ').collect();
        let of_subcommand =
            || commands.iter().filter(|words| words[1..].iter().zip(&path).all(|(a, b)| a == b));
        for option in options {
            let is_used = of_subcommand().flatten().any(|word| word.split('=').next() == Some(&option));
            if !is_used {
                missing.push(format!("crosswheel {subcommand} {option}"));
            }
        }
    }
    assert!(missing.is_empty(), "the manual has no example of\n{}", missing.join("\n"));
}

#[test]
fn every_option_that_the_manual_names_is_one() {
    let known: BTreeSet<_> = options().into_values().flatten().collect();
    for page in Page::all() {
        let is_ours = |code: &String| !OTHERS.iter().any(|other| code.contains(other));
        for code in page.inline_code().into_iter().filter(is_ours) {
            let words = code.split([' ', '=', ',', ')', '[', '\\']);
            for word in words.filter(|word| word.starts_with("--") && word.len() > 2) {
                let is_known = known.contains(word) || FOREIGN.contains(&word);
                assert!(is_known, "{} names `{word}` in `{code}`, which is no option", page.path);
            }
        }
    }
}

#[test]
fn every_subcommand_is_in_the_table_of_the_readme() {
    let readme = Page::read("README.md");
    let parser = crosswheel::cli::command();
    for subcommand in parser.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let row = format!("| [`crosswheel {}`](", subcommand.get_name());
        assert!(readme.text.contains(&row), "README.md has no row that begins with {row}");
    }
}

#[test]
fn the_files_that_the_manual_shows_can_be_used() {
    let directory = tempfile::tempdir().unwrap();
    for page in Page::all() {
        for block in page.blocks("toml") {
            let text = block.lines.join("\n");
            let file = directory.path().join("file.toml");
            fs_err::write(&file, &text).unwrap();
            let mut crosswheel = std::process::Command::new(env!("CARGO_BIN_EXE_crosswheel"));
            match text.contains("[[platform]]") {
                true => crosswheel.args(["generate", "bazel", "--out", "out", "--model"]).arg(&file),
                false => crosswheel.args(["serve", "--print-config", "--config"]).arg(&file),
            };
            let output = crosswheel.current_dir(directory.path()).output_in_time();
            assert!(output.status.success(), "{}:{}: {output:?}", page.path, block.line);
        }
    }
}

/// The rules of `crosswheel generate bazel` are the same for every model.
#[test]
fn every_attribute_of_the_rules_is_in_the_manual() {
    let (_, rules) =
        include_str!("../../src/starlark/defs.bzl").split_once("py_sdist_wheel = rule(").unwrap();
    let page = Page::read("docs/bazel.md");
    let attributes =
        rules.lines().filter_map(|line| line.strip_prefix("        \"")?.split_once("\": attr."));
    let attributes: Vec<_> = attributes.map(|(name, _)| name).filter(|name| !name.starts_with('_')).collect();
    assert!(attributes.contains(&"build_wheels"), "the rules are written in another way: {attributes:?}");
    for name in attributes {
        assert!(page.inline_code().iter().any(|code| code == name), "docs/bazel.md does not name `{name}`");
    }
}

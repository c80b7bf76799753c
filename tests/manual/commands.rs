//! Runs every command of the manual, page by page.

use std::collections::BTreeSet;

use crate::elsewhere::Elsewhere;
use crate::markdown::{Command, Page};
use crate::scene::{Said, Scene};

/// What is done with a command here.
enum Treatment {
    /// Run to its end.
    Run,
    /// A server: started, and asked to end once it serves.
    Serve,
    /// A server that would take what is not here, a root file system or an address: it prints its settings, so all
    /// values are read.
    PrintConfig,
    /// Not run.
    Nothing,
}

impl Treatment {
    fn of(command: &Command) -> Self {
        if Self::is_a_worker_s_settings(command) {
            return Self::PrintConfig;
        }
        let Some(words) =
            command.of_crosswheel().filter(|words| words.get(1).is_some_and(|word| word == "serve"))
        else {
            return if Elsewhere::of(command).is_some() { Self::Nothing } else { Self::Run };
        };
        let names_a_root = words.iter().any(|word| word.contains("=/srv/") || word.contains("/rootfs/"));
        let is_of_another_machine = command.page == "docs/settings.md";
        match () {
            () if Elsewhere::of(command).is_some() => Self::Nothing,
            () if words.iter().any(|word| word == "--print-config") => Self::Run,
            () if names_a_root || is_of_another_machine => Self::PrintConfig,
            () => Self::Serve,
        }
    }
}

impl Treatment {
    /// A worker needs an engine, but to read its settings; unless they are in files that are not here.
    fn is_a_worker_s_settings(command: &Command) -> bool {
        let words = command.of_crosswheel().unwrap_or_default();
        let is_elsewhere = |word: &String| word.contains("=@") || word == "--config";
        words.get(1).is_some_and(|word| word == "worker") && !words.iter().any(is_elsewhere)
    }
}

/// Each page is a test of its own.
macro_rules! pages {
    ($($test:ident: $page:literal),* $(,)?) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                run_page($page);
            }
        )*
    };
}

pages! {
    readme: "README.md",
    bazel: "docs/bazel.md",
    build: "docs/build.md",
    cache: "docs/cache.md",
    checking: "docs/check.md",
    deploy: "docs/deploy.md",
    development: "docs/development.md",
    doctor: "docs/doctor.md",
    figures: "docs/figures.md",
    pools: "docs/pools.md",
    rootfs: "docs/rootfs.md",
    sandbox: "docs/sandbox.md",
    sdist: "docs/sdist.md",
    serve: "docs/serve.md",
    settings: "docs/settings.md",
    targets: "docs/targets.md",
    wheel: "docs/wheel.md",
    wheelhouse: "docs/wheelhouse.md",
    worker: "docs/worker.md",
}

#[test]
fn every_page_with_commands_is_run() {
    let pages = Page::all();
    let with_commands = pages.iter().filter(|page| !page.commands().is_empty());
    let with_commands: BTreeSet<_> = with_commands.map(|page| page.path.as_str()).collect();
    assert_eq!(with_commands, PAGES.iter().copied().collect());
}

fn run_page(page: &str) {
    let scene = Scene::new();
    for command in Page::read(page).commands() {
        let said = match Treatment::of(&command) {
            Treatment::Run => scene.run(&command),
            Treatment::Serve => scene.serve(&command),
            Treatment::PrintConfig => {
                check(&command, &scene.print_config(&command));
                continue;
            }
            Treatment::Nothing => continue,
        };
        check(&command, &said);
        check_shown(&command, &said);
    }
}

fn check(command: &Command, said: &Said) {
    let Said { status, stdout, stderr } = said;
    assert!(status.success(), "{}\n{status}, and said:\n{stdout}\n{stderr}", command.place());
}

/// Numbers and names differ from machine to machine; what each line begins with does not.
fn check_shown(command: &Command, said: &Said) {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let there: BTreeSet<_> = said.stdout.lines().filter_map(first).collect();
    for line in command.shown.iter().filter(|line| line.trim() != "...") {
        let missing = first(line).filter(|word| !there.contains(word));
        assert!(missing.is_none(), "{} shows `{line}`, and said:\n{}", command.place(), said.stdout);
    }
}

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, Command, FromArgMatches};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::contract::flag::{Argument, FlagClass};
use crate::contract::invocation::PROGRAM;
use crate::digest::Sha256;
use crate::platform::Arch;

/// As `crosswheel wheel` parses it, with no variables set.
fn parse(arguments: &[String]) -> Result<WheelCommand, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    WheelCommand::from_arg_matches(&matches)
}

fn command() -> Command {
    let unset = |argument: Arg| argument.env(None::<&str>);
    WheelCommand::augment_args(Command::new(SUBCOMMAND)).no_binary_name(true).mut_args(unset)
}

fn path() -> impl Strategy<Value = PathBuf> {
    "[^\0#]{1,12}".prop_map(PathBuf::from)
}

fn key_value() -> impl Strategy<Value = KeyValue> {
    ("[^\0=]{1,6}", "[^\0]{0,9}").prop_map(|(key, value)| KeyValue { key, value })
}

fn build_wheels() -> impl Strategy<Value = GivenWheels> {
    let sha256 = option::of(any::<[u8; 8]>().prop_map(|bytes| Sha256::of(&bytes)));
    (path(), sha256).prop_map(|(path, sha256)| GivenWheels { path, sha256 })
}

fn limits() -> impl Strategy<Value = ArchiveLimits> {
    let usual = ArchiveLimits::default();
    let or = |usual: u64| prop_oneof![Just(usual), any::<u64>()];
    (or(usual.bytes), or(usual.members), or(usual.ratio), prop_oneof![Just(usual.depth), any::<usize>()])
        .prop_map(|(bytes, members, ratio, depth)| ArchiveLimits { bytes, members, ratio, depth })
}

prop_compose! {
    fn expectations()(
        target in option::of(select(vec![Target { arch: Arch::Amd64 }, Target { arch: Arch::Arm64 }])),
        glibc in option::of((0..9_u32, 0..99_u32).prop_map(|(major, minor)| Glibc { major, minor })),
        expect in select(vec![Expect::Auto, Expect::Native, Expect::Pure, Expect::Any]),
        expect_name in option::of("[a-z]([a-z0-9-]{0,5}[a-z0-9])?".prop_map(|name| name.parse().unwrap())),
        expect_version in option::of("[0-9]{1,2}(\\.[0-9]){0,2}(rc1|\\.post2|\\.dev3|\\+a\\.1)?".prop_map(|version| version.parse().unwrap())),
        expect_python in option::of(select(vec!["3", "3.11", "3.12.1"]).prop_map(|version| version.parse().unwrap())),
        expect_libc in option::of(select(vec![LibcFamily::Glibc, LibcFamily::Musl])),
    ) -> WheelCommand {
        let plain = WheelCommand::new("", "");
        WheelCommand { target, glibc, expect, expect_name, expect_version, expect_python, expect_libc, ..plain }
    }
}

prop_compose! {
    fn inputs()(
        sdist in path(),
        out in path(),
        python in "[^\0]{0,9}",
        build_wheels in vec(build_wheels(), 0..3),
        patches in vec(path(), 0..3),
        patch_strip in 0..3_usize,
        crates in option::of(path()),
        config_settings in vec(key_value(), 0..3),
        environment in vec(key_value(), 0..3),
        report in option::of(path()),
    )(
        rest in surroundings(),
        sdist in Just(sdist), out in Just(out), python in Just(python), build_wheels in Just(build_wheels),
        patches in Just(patches), patch_strip in Just(patch_strip), crates in Just(crates),
        config_settings in Just(config_settings), environment in Just(environment), report in Just(report),
    ) -> WheelCommand {
        WheelCommand {
            sdist, out, python, build_wheels, patches, patch_strip, crates, config_settings, environment, report, ..rest
        }
    }
}

prop_compose! {
    fn surroundings()(
        expectations in expectations(),
        tool_directories in vec(path(), 0..3),
        cross_cc in option::of("[^\0]{0,9}"),
        timeout in option::of(1..=LONGEST_SECONDS),
        sandbox in select(vec![SandboxMode::Auto, SandboxMode::Required, SandboxMode::Off]),
        limits in limits(),
        cache_dir in option::of(path()),
        work_dir in option::of(path()),
        keep_work in any::<bool>(),
        json in any::<bool>(),
        quiet in any::<bool>(),
    ) -> WheelCommand {
        WheelCommand {
            tool_directories, cross_cc, timeout, sandbox, limits, cache_dir, work_dir, keep_work, json, quiet,
            ..expectations
        }
    }
}

proptest! {
    #[test]
    fn what_is_rendered_is_parsed_as_what_it_was(command in inputs()) {
        let rendered = command.render().unwrap();
        prop_assert_eq!(&rendered[..2], [PROGRAM, SUBCOMMAND]);
        prop_assert_eq!(parse(&rendered[2..]).unwrap(), command);
    }

    /// A worker judges arguments one by one; what it takes for a flag and its value must be what the step takes for it.
    #[test]
    fn whoever_judges_the_arguments_reads_them_as_the_step_does(command in inputs()) {
        let rendered = command.render().unwrap();
        let found = |flag| {
            let value = |argument: &String| match Argument::read(argument) {
                Argument::Flag(other, value) if other == flag => Some(value.to_owned()),
                _ => None,
            };
            rendered[2..].iter().filter_map(value).collect::<Vec<_>>()
        };
        let texts = |paths: &[PathBuf]| paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(found(Flag::Out), texts(std::slice::from_ref(&command.out)));
        prop_assert_eq!(found(Flag::Patch), texts(&command.patches));
        prop_assert_eq!(found(Flag::Path), texts(&command.tool_directories));
        prop_assert_eq!(found(Flag::Sandbox), [command.sandbox.to_string()]);
        let others = rendered[2..].iter().filter(|argument| Argument::read(argument) == Argument::Other);
        let escaped = command.sdist.to_str().unwrap().starts_with('-');
        prop_assert_eq!(others.count() > 0, escaped);
    }
}

/// Both ways: a flag that the command line has and the table has not could not be judged by a worker.
#[test]
fn the_flags_of_the_command_line_are_those_of_the_contract() {
    let command = command();
    let flags: BTreeSet<(String, bool)> = command
        .get_opts()
        .map(|option| {
            (option.get_long().unwrap().to_owned(), !matches!(option.get_action(), ArgAction::SetTrue))
        })
        .collect();
    let known = Flag::ALL.into_iter().filter(|flag| flag.is_of_wheel());
    assert_eq!(flags, known.map(|flag| (flag.name().to_owned(), flag.takes_value())).collect());
}

#[test]
fn what_is_not_said_is_what_the_command_line_takes_for_it() {
    let parsed = parse(&["a-1.tar.gz", "--out=out"].map(str::to_owned)).unwrap();
    assert_eq!(parsed, WheelCommand::new("a-1.tar.gz", "out"));
}

#[test]
fn variables_stand_in_for_flags_of_the_machine_only() {
    for option in WheelCommand::augment_args(Command::new(SUBCOMMAND))
        .get_opts()
        .filter(|option| option.get_env().is_some())
    {
        let class = Flag::named(option.get_long().unwrap()).unwrap().class();
        assert!(matches!(class, FlagClass::Machine | FlagClass::Compiler), "{:?}", option.get_long());
    }
}

#[test]
fn a_path_that_no_action_can_name_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"a\xff"));
    let refused = WheelCommand::new(&path, "out").render().unwrap_err();
    assert_eq!(refused, NotUnicode(path));
}

//! The page of exit codes, made of the classes of failures and of what each subcommand says in its help.

use crosswheel::cli::exit_codes::exit_codes_markdown;

const HEAD: &str = "\
# Exit codes

Of [`crosswheel build`](build.md) (of the first source that failed, in the order given), of
[`crosswheel wheelhouse`](wheelhouse.md) (of the first that failed, by target and name), of
[`crosswheel wheel`](wheel.md), and of the others. The class is what documents say: `results[].failure.class` of `build`,
`distributions[].failure.class` of `wheelhouse`, and
`failed.class` of `wheel` for codes 10 to 20. For 1 and 2 `wheel` has `error.kind` (`host`, `usage`) instead, and when it is
interrupted no document.

";

const TAIL: &str = "
Every failure of `build` and `wheel` comes with the lines of the log that show it and a hint what to do. More is said on the
pages of the subcommands: [serve](serve.md#how-it-ends), [rootfs](rootfs.md#what-a-root-can-do),
[generate](bazel.md#options), [store](cache.md#the-store), [doctor](doctor.md).
";

pub fn page() -> String {
    HEAD.to_owned() + exit_codes_markdown().trim_end() + "\n" + TAIL
}

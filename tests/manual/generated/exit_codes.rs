//! The page of exit codes, made of the classes of failures.

use crosswheel::build::BuildFailureClass;
use crosswheel::step::FailureClass;

const HEAD: &str = "\
# Exit codes

Of [`crosswheel build`](build.md) (of the first source that failed, in the order given) and
[`crosswheel wheel`](wheel.md). The class is what `failed.class` and `results[].failure.class` say in documents.

| code | class | |
|---|---|---|
| 0 | | every wheel was built |
";

const TAIL: &str = "\
| 129, 130, 143 | `interrupted` | ended by SIGHUP, Ctrl-C, or SIGTERM |

Every failure comes with the lines of the log that show it and a hint what to do. The other subcommands end with 0, with 1 if
this machine is at fault, with 2 if the command line makes no sense, and with what their pages say:
[serve](serve.md#how-it-ends), [rootfs](rootfs.md#what-a-root-can-do), [generate](bazel.md#options),
[store](cache.md#the-store), [doctor](doctor.md).
";

pub fn page() -> String {
    use BuildFailureClass::{
        ExecutionFailed, FetchFailed, InvalidSource, LocalIo, LockDrift, RequirementCycle, ResolutionFailed,
        Step,
    };
    let of_the_build = [LocalIo, InvalidSource];
    let later = [FetchFailed, ResolutionFailed, LockDrift, RequirementCycle, ExecutionFailed];
    let of_the_step = FailureClass::ALL.map(Step);
    let classes = of_the_build.into_iter().chain(of_the_step).chain(later);
    HEAD.to_owned() + &classes.map(row).collect::<String>() + TAIL
}

fn row(class: BuildFailureClass) -> String {
    let name = serde_json::to_value(class).unwrap();
    format!("| {} | `{}` | {} |\n", class.exit_code(), name.as_str().unwrap(), meaning(class))
}

fn meaning(class: BuildFailureClass) -> &'static str {
    match class {
        BuildFailureClass::LocalIo => "this machine is at fault: disk, permissions",
        BuildFailureClass::InvalidSource => "the command line makes no sense",
        BuildFailureClass::FetchFailed => "not found, network, or a hash that does not match",
        BuildFailureClass::ResolutionFailed => {
            "no set of wheels satisfies the build requirements; in uv's words"
        }
        BuildFailureClass::LockDrift => "the lock does not fit what is built",
        BuildFailureClass::RequirementCycle => "a build requirement needs itself to build",
        BuildFailureClass::ExecutionFailed => {
            "the executor cannot be reached, has no fitting worker, or could not run the step"
        }
        BuildFailureClass::Interrupted => "ended by a signal",
        BuildFailureClass::Step(class) => match class {
            FailureClass::MissingBuildRequirement => "the build needs a Python package it was not given",
            FailureClass::MissingSystemLibrary => {
                "a header or library of the system is missing; the hint names the Debian package"
            }
            FailureClass::MissingTool => "a compiler or another program is missing",
            FailureClass::NetworkAccess => "the build tried to reach the network",
            FailureClass::InvalidMetadata => {
                "the backend rejects the project: broken metadata, or a backend of another age"
            }
            FailureClass::RequiresNewerPython => {
                "`Requires-Python` excludes the interpreter; said before anything runs"
            }
            FailureClass::Killed => "out of memory, or killed",
            FailureClass::Timeout => "longer than `--timeout`",
            FailureClass::ArchiveRefused => "the sdist breaks a rule",
            FailureClass::WheelRefused => "the wheel is not one that may be handed on",
            FailureClass::BackendError => "anything else the backend did; the end of its log is shown",
        },
    }
}

//! How each subcommand ends: the one table of exit codes, from which help and manual are made.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::contract::FailureClass;
use crate::signals::{OF_PROGRAMS, exit_code};

/// All is well.
pub(super) const SUCCESS: u8 = 0;
/// It did not work, or it found something that is not as it should be.
pub(super) const FAILED: u8 = 1;
/// The command line, or what it names, makes no sense. So does clap end, too.
pub(super) const USAGE: u8 = 2;
/// The store is damaged, or larger than it was to be.
pub(super) const DAMAGE: u8 = 3;

/// A subcommand with exit codes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subcommand {
    Build,
    Wheelhouse,
    Wheel,
    Sdist,
    Check,
    Serve,
    Worker,
    Rootfs,
    Store,
    Generate,
    Doctor,
}

/// An exit code.
struct Row {
    code: u8,
    /// As documents name it.
    class: Option<&'static str>,
    /// In a few words.
    title: &'static str,
    /// As a manual says it.
    meaning: &'static str,
}

impl Row {
    fn plain(code: u8, meaning: &'static str) -> Self {
        Self { code, class: None, title: meaning, meaning }
    }

    fn of_class(class: FailureClass) -> Self {
        let (title, meaning) = (class.title(), class.meaning());
        Self { code: class.exit_code(), class: Some(class.name()), title, meaning }
    }

    /// One for each of `signals`: 128 and its number.
    fn of_signals(signals: &[i32], class: Option<&'static str>) -> impl Iterator<Item = Self> {
        signals.iter().map(move |signal| Self { class, ..Self::plain(exit_code(*signal), ended_by(*signal)) })
    }
}

fn ended_by(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "ended by SIGHUP",
        SIGINT => "ended by Ctrl-C",
        SIGTERM => "ended by SIGTERM",
        _ => "ended by a signal",
    }
}

impl Subcommand {
    const OTHERS: [Self; 7] =
        [Self::Check, Self::Serve, Self::Worker, Self::Rootfs, Self::Store, Self::Generate, Self::Doctor];

    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Wheelhouse => "wheelhouse",
            Self::Wheel => "wheel",
            Self::Sdist => "sdist",
            Self::Check => "check",
            Self::Serve => "serve",
            Self::Worker => "worker",
            Self::Rootfs => "rootfs",
            Self::Store => "store",
            Self::Generate => "generate",
            Self::Doctor => "doctor",
        }
    }

    fn rows(self) -> Vec<Row> {
        let plain = |rows: &[(u8, &'static str)]| -> Vec<Row> {
            rows.iter().map(|(code, meaning)| Row::plain(*code, meaning)).collect()
        };
        match self {
            Self::Build => {
                of_build("every wheel was built", &[FailureClass::Interrupted, FailureClass::CheckFailed])
            }
            Self::Wheelhouse => of_build("every wheel is there", &[FailureClass::Interrupted]),
            Self::Wheel => of_step("a verified wheel was written"),
            Self::Sdist => of_step("an sdist was written"),
            Self::Check => of_check(),
            Self::Serve | Self::Worker => plain(&[
                (SUCCESS, "after SIGTERM or Ctrl-C, once nothing runs any more"),
                (FAILED, "this machine is at fault"),
                (USAGE, "the settings make no sense"),
                (exit_code(SIGINT), "after a second signal, Ctrl-C, which kills what still runs"),
                (exit_code(SIGTERM), "after a second signal, SIGTERM, which kills what still runs"),
            ]),
            Self::Rootfs => plain(&[
                (SUCCESS, "the root was made, and wheels can be built in it"),
                (FAILED, "it could not be made, or not even pure wheels can be built in it"),
                (USAGE, "the command line makes no sense"),
            ])
            .into_iter()
            .chain(Row::of_signals(OF_PROGRAMS, None))
            .collect(),
            Self::Store => plain(&[
                (SUCCESS, "all is well, or has been repaired"),
                (FAILED, "this machine is at fault (no permission, store in use)"),
                (USAGE, "the command line makes no sense"),
                (DAMAGE, "verify found damage; prune could not get the store as small as it was to be"),
            ]),
            Self::Generate => plain(&[
                (SUCCESS, "the files are there, or with --check: are as they would be written"),
                (FAILED, "--check found differences; or something could not be read or written"),
                (
                    USAGE,
                    "the command line or the model makes no sense, or a file that was not generated is in the way",
                ),
            ]),
            Self::Doctor => plain(&[
                (SUCCESS, "wheels can be built (or the emulator is registered)"),
                (FAILED, "something must be mended first"),
                (
                    USAGE,
                    "the command line makes no sense, such as an architecture that crosswheel does not know",
                ),
            ]),
        }
    }

    /// The list at the end of its help.
    pub(super) fn help(self) -> String {
        let head = match self {
            Self::Build => "Exit codes (of the first source that failed, in the order given):",
            Self::Wheelhouse => "Exit codes (of the first that failed, by target and name):",
            _ => "Exit codes:",
        };
        let line = |row: &Row| format!("\n{:>4}  {}", row.code, row.title);
        head.to_owned() + &self.rows().iter().map(line).collect::<String>()
    }
}

fn of_build(success: &'static str, others: &[FailureClass]) -> Vec<Row> {
    let classes = FailureClass::ALL.into_iter().filter(|class| !others.contains(class));
    let interrupted = Some(FailureClass::Interrupted.name());
    std::iter::once(Row::plain(SUCCESS, success))
        .chain(classes.map(Row::of_class))
        .chain(Row::of_signals(OF_PROGRAMS, interrupted))
        .collect()
}

fn of_step(success: &'static str) -> Vec<Row> {
    let classes = FailureClass::ALL.into_iter().filter(|class| class.is_of_the_step());
    [
        Row::plain(SUCCESS, success),
        Row::plain(FAILED, "this machine is at fault (disk full, no permission)"),
        Row::plain(USAGE, "the command line makes no sense"),
    ]
    .into_iter()
    .chain(classes.map(Row::of_class))
    .chain(Row::of_signals(OF_PROGRAMS, None))
    .collect()
}

fn of_check() -> Vec<Row> {
    [
        Row::plain(SUCCESS, "the wheels work together, as far as it was looked at"),
        Row::plain(FAILED, "this machine is at fault (disk full, no permission)"),
        Row::plain(USAGE, "the command line makes no sense"),
        Row::of_class(FailureClass::CheckFailed),
    ]
    .into_iter()
    .chain(Row::of_signals(OF_PROGRAMS, None))
    .collect()
}

/// All exit codes, as a page of the manual in Markdown: a table for `build` and `wheel`, and one for the others.
pub fn exit_codes_markdown() -> String {
    let step: Vec<u8> = Subcommand::Wheel.rows().into_iter().map(|row| row.code).collect();
    let build =
        of_build("every wheel was built, or is there", &[FailureClass::Interrupted]).into_iter().map(|row| {
            let class = row.class.map(|class| format!("`{class}`")).unwrap_or_default();
            let of_wheel = if step.contains(&row.code) { "yes" } else { "" };
            format!("| {} | {class} | {of_wheel} | {} |\n", row.code, row.meaning)
        });
    let others = Subcommand::OTHERS.into_iter().flat_map(|subcommand| {
        let line = move |row: Row| format!("| `{}` | {} | {} |\n", subcommand.name(), row.code, row.meaning);
        subcommand.rows().into_iter().map(line)
    });
    format!(
        "| code | class | `wheel` and `sdist`, too | `crosswheel build`, `crosswheel wheelhouse` |\n|---|---|---|---|\n{}\n\
         | subcommand | code | |\n|---|---|---|\n{}",
        build.collect::<String>(),
        others.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_stands_in_help_and_manual_with_its_code() {
        let (help, manual) = (Subcommand::Build.help(), exit_codes_markdown());
        let others = [FailureClass::Interrupted, FailureClass::CheckFailed];
        for class in FailureClass::ALL.into_iter().filter(|class| !others.contains(class)) {
            let line = format!("{:>4}  {}", class.exit_code(), class.title());
            assert!(help.lines().any(|documented| documented == line), "{line} in:\n{help}");
            let row = format!("| {} | `{}` | ", class.exit_code(), class.name());
            assert!(manual.contains(&row), "{row} in:\n{manual}");
        }
    }

    #[test]
    fn the_help_of_the_step_is_a_list() {
        insta::assert_snapshot!(Subcommand::Wheel.help(), @r"
        Exit codes:
           0  a verified wheel was written
           1  this machine is at fault (disk full, no permission)
           2  the command line makes no sense
          10  missing build requirement
          11  missing system header or library
          12  missing compiler or tool
          13  network access during build
          14  backend drift / invalid metadata
          15  requires newer Python
          16  out of memory or killed
          17  timeout
          18  archive refused
          19  wheel refused
          20  backend error
         129  ended by SIGHUP
         130  ended by Ctrl-C
         143  ended by SIGTERM
        ");
    }

    #[test]
    fn every_row_of_the_manual_has_as_many_cells_as_its_head() {
        let manual = exit_codes_markdown();
        for table in manual.split("\n\n") {
            let cells = |line: &str| line.matches('|').count();
            let head = cells(table.lines().next().unwrap());
            assert!(table.lines().all(|line| cells(line) == head), "{table}");
        }
    }
}

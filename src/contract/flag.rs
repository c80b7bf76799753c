//! The flags of `crosswheel wheel`, `crosswheel sdist` and `crosswheel check`, each with what its value can reach, so that a worker can tell what an action may be
//! trusted with before it runs. Knows nothing of what they are for.

/// A flag of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    Out,
    Report,
    Python,
    BuildWheels,
    Target,
    Glibc,
    Expect,
    ExpectName,
    ExpectVersion,
    ExpectPython,
    ExpectLibc,
    Patch,
    PatchStrip,
    ConfigSetting,
    Env,
    Path,
    CrossCc,
    Crates,
    Timeout,
    Sandbox,
    LimitBytes,
    LimitMembers,
    LimitRatio,
    LimitDepth,
    CacheDir,
    WorkDir,
    KeepWork,
    Json,
    Quiet,
    Subdirectory,
    GitAnswers,
    Import,
    NoImports,
    Pip,
}

/// What a flag of an action can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagClass {
    /// Nothing but the build in its sandbox, and the answer.
    Value,
    /// A file or a directory of the action's own inputs.
    Input,
    /// Wheels of the action's own inputs, whose digest may be claimed.
    Wheels,
    /// A place in the action's own directory that is written to.
    Output,
    /// A Python that is started outside of the sandbox of the backend, to be asked about itself: a version, a command,
    /// or a path.
    Python,
    /// A compiler that is started there as well, with flags.
    Compiler,
    /// How much of a sandbox the backend is put into.
    Isolation,
    /// Directories of the machine, or what stays on it: nothing that a worker could vouch for.
    Machine,
}

impl Flag {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::Out,
        Self::Report,
        Self::Python,
        Self::BuildWheels,
        Self::Target,
        Self::Glibc,
        Self::Expect,
        Self::ExpectName,
        Self::ExpectVersion,
        Self::ExpectPython,
        Self::ExpectLibc,
        Self::Patch,
        Self::PatchStrip,
        Self::ConfigSetting,
        Self::Env,
        Self::Path,
        Self::CrossCc,
        Self::Crates,
        Self::Timeout,
        Self::Sandbox,
        Self::LimitBytes,
        Self::LimitMembers,
        Self::LimitRatio,
        Self::LimitDepth,
        Self::CacheDir,
        Self::WorkDir,
        Self::KeepWork,
        Self::Json,
        Self::Quiet,
        Self::Subdirectory,
        Self::GitAnswers,
        Self::Import,
        Self::NoImports,
        Self::Pip,
    ];

    /// Its name, without the dashes in front.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Report => "report",
            Self::Python => "python",
            Self::BuildWheels => "build-wheels",
            Self::Target => "target",
            Self::Glibc => "glibc",
            Self::Expect => "expect",
            Self::ExpectName => "expect-name",
            Self::ExpectVersion => "expect-version",
            Self::ExpectPython => "expect-python",
            Self::ExpectLibc => "expect-libc",
            Self::Patch => "patch",
            Self::PatchStrip => "patch-strip",
            Self::ConfigSetting => "config-setting",
            Self::Env => "env",
            Self::Path => "path",
            Self::CrossCc => "cross-cc",
            Self::Crates => "crates",
            Self::Timeout => "timeout",
            Self::Sandbox => "sandbox",
            Self::LimitBytes => "limit-bytes",
            Self::LimitMembers => "limit-members",
            Self::LimitRatio => "limit-ratio",
            Self::LimitDepth => "limit-depth",
            Self::CacheDir => "cache-dir",
            Self::WorkDir => "work-dir",
            Self::KeepWork => "keep-work",
            Self::Json => "json",
            Self::Quiet => "quiet",
            Self::Subdirectory => "subdirectory",
            Self::GitAnswers => "git-answers",
            Self::Import => "import",
            Self::NoImports => "no-imports",
            Self::Pip => "pip",
        }
    }

    /// The flag of this name, without dashes.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    /// What it can reach.
    pub const fn class(self) -> FlagClass {
        match self {
            Self::Out | Self::Report => FlagClass::Output,
            Self::Patch | Self::Crates | Self::Subdirectory | Self::GitAnswers => FlagClass::Input,
            Self::BuildWheels | Self::Pip => FlagClass::Wheels,
            Self::Python => FlagClass::Python,
            Self::CrossCc => FlagClass::Compiler,
            Self::Sandbox => FlagClass::Isolation,
            Self::Path | Self::CacheDir | Self::WorkDir | Self::KeepWork => FlagClass::Machine,
            Self::Target
            | Self::Glibc
            | Self::Expect
            | Self::ExpectName
            | Self::ExpectVersion
            | Self::ExpectPython
            | Self::ExpectLibc
            | Self::PatchStrip
            | Self::ConfigSetting
            | Self::Env
            | Self::Timeout
            | Self::LimitBytes
            | Self::LimitMembers
            | Self::LimitRatio
            | Self::LimitDepth
            | Self::Json
            | Self::Quiet
            | Self::Import
            | Self::NoImports => FlagClass::Value,
        }
    }

    /// Whether a value belongs to it; the others are switches.
    pub const fn takes_value(self) -> bool {
        !matches!(self, Self::KeepWork | Self::Json | Self::Quiet | Self::NoImports)
    }

    /// Whether `crosswheel wheel` has it.
    pub const fn is_of_wheel(self) -> bool {
        !matches!(self, Self::Import | Self::NoImports | Self::Pip | Self::Subdirectory | Self::GitAnswers)
    }

    /// Whether `crosswheel check` has it.
    pub const fn is_of_check(self) -> bool {
        matches!(
            self,
            Self::Python
                | Self::Target
                | Self::Import
                | Self::NoImports
                | Self::Pip
                | Self::Timeout
                | Self::Sandbox
                | Self::CacheDir
                | Self::WorkDir
                | Self::Json
        )
    }

    /// Whether `crosswheel sdist` has it.
    pub const fn is_of_sdist(self) -> bool {
        matches!(
            self,
            Self::Out
                | Self::Report
                | Self::Python
                | Self::BuildWheels
                | Self::ConfigSetting
                | Self::Env
                | Self::Path
                | Self::Crates
                | Self::Timeout
                | Self::Sandbox
                | Self::CacheDir
                | Self::WorkDir
                | Self::KeepWork
                | Self::Json
                | Self::Quiet
                | Self::Subdirectory
                | Self::GitAnswers
        )
    }

    /// Whether the rules of `crosswheel generate bazel` have a use for it.
    pub const fn is_for_rules(self) -> bool {
        // Reports are files there, tools and compilers the worker's, and so are all of its directories.
        self.is_of_wheel()
            && !matches!(self, Self::Json | Self::CrossCc)
            && !matches!(self.class(), FlagClass::Machine)
    }
}

/// One argument of an action behind the subcommand, in the form in which they are rendered: `--name=value`. What
/// stands in another form may mean the same to the step; nobody who has to judge it needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// The sdist or the tree: whatever does not begin with a dash.
    Source(&'a str),
    /// A flag and its value, which is empty for switches.
    Flag(Flag, &'a str),
    /// Anything else.
    Other,
}

impl<'a> Argument<'a> {
    /// Reads an argument.
    pub fn read(text: &'a str) -> Self {
        let Some(option) = text.strip_prefix("--") else {
            return if text.starts_with('-') { Self::Other } else { Self::Source(text) };
        };
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        match Flag::named(name) {
            Some(flag) if flag.takes_value() == value.is_some() => {
                Self::Flag(flag, value.unwrap_or_default())
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_a_flag_only_in_the_form_that_is_rendered() {
        assert_eq!(Argument::read("--out=a=b"), Argument::Flag(Flag::Out, "a=b"));
        assert_eq!(Argument::read("--env="), Argument::Flag(Flag::Env, ""));
        assert_eq!(Argument::read("--json"), Argument::Flag(Flag::Json, ""));
        assert_eq!(Argument::read("in/a-1.tar.gz"), Argument::Source("in/a-1.tar.gz"));
        for other in [
            "--out",
            "--json=yes",
            "-q",
            "--",
            "-",
            "--unheard-of=1",
            "--Out=a",
            "--pat=a",
            "--=",
            "---out=a",
        ] {
            assert_eq!(Argument::read(other), Argument::Other, "{other}");
        }
    }
}

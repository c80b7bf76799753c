//! What is to be generated: platforms, and the Bazels that are to understand it. Knows nothing of Starlark.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::platform::{InvalidLibc, InvalidTarget, Libc, RequestedTarget, Target};

/// A Bazel package with platforms and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BazelModel {
    /// The package's path in its workspace, such as `platforms` or `build/platforms`; empty for the root.
    pub package: String,
    /// The Bazels for which there are registration files.
    pub versions: BTreeSet<BazelVersion>,
    /// The platforms, in the order in which they are registered.
    pub platforms: Vec<PlatformModel>,
}

/// A platform that wheels are built for, and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformModel {
    /// The name of the target; of several, one per Python, where several are asked for.
    pub name: String,
    pub target: Target,
    /// The C library that both sides must have. None: that is left open.
    pub libc: Option<Libc>,
    /// Whether workers are asked for `libc`, as an execution property.
    pub libc_property: bool,
    /// Each makes a platform of its own. None: that is left open.
    pub pythons: Vec<PythonVersion>,
    /// Whether workers are asked for `python`, as an execution property.
    pub python_property: bool,
    /// Execution properties (REAPI `Platform.Property`) beside `Arch` and `OSFamily`, or instead of them.
    pub properties: Vec<(String, String)>,
}

/// A version of Bazel, as far as it matters to what is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BazelVersion {
    /// 4.2: WORKSPACE, and exec groups behind a flag.
    V4_2,
    V7,
    V8,
    V9,
}

/// A minor version of Python 3, written `3.11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PythonVersion {
    pub minor: u8,
}

/// Why a text or a table is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    #[error(transparent)]
    Libc(#[from] InvalidLibc),
    #[error("the target's name says {named}, and libc says {libc}")]
    TwoLibcs { named: Libc, libc: Libc },
    #[error("`{0}` is no version of Python such as 3.11")]
    Python(String),
    #[error("`{0}` is no version of Bazel that is generated for; there are 4.2, 7, 8 and 9")]
    Bazel(String),
    #[error("there is no version of Bazel to generate for")]
    NoBazel,
    #[error("`{0}` is not of the form KEY=VALUE")]
    NoKeyValue(String),
    #[error("{key}: `{value}` is neither `on` nor `off`")]
    Switch { key: &'static str, value: String },
    #[error("there is no platform to generate")]
    NoPlatform,
    #[error(
        "`{0}` is no name for a platform; use letters, digits, `-`, `_` and `.`, and begin with a letter"
    )]
    PlatformName(String),
    #[error("`{0}` is no path of a Bazel package; use letters, digits, `-`, `_`, `.` and `/`")]
    Package(String),
    #[error("there would be two targets `{target}`; give platform `{platform}` another name")]
    SameName { platform: String, target: String },
    #[error(
        "the platforms `{0}` and `{1}` have the same constraints, so all that is built for either would run on the \
         first; tell them apart by libc or python, or leave one out"
    )]
    SameConstraints(String, String),
    #[error(
        "the platforms `{0}` and `{1}` have different C libraries, but ask workers for the same, so that either's builds would \
         run where the other's do; let `libc` be asked for, or another property that tells the workers apart"
    )]
    SameWorkers(String, String),
    #[error("platform `{platform}` has {what} twice")]
    Twice { platform: String, what: String },
    #[error("platform `{0}` has a property without a name or a value")]
    EmptyProperty(String),
    /// Bazel takes files for Latin-1, so that other characters arrive as something else.
    #[error(
        "the property `{property}` of platform `{platform}` has a character that Bazel would not hand on: use ASCII"
    )]
    PropertyCharacter { platform: String, property: String },
    /// The model file is not TOML, or has other keys or types.
    #[error("{0}")]
    File(String),
}

impl PlatformModel {
    /// Reads `TARGET[,name=NAME][,libc=LIBC][,libc-property=off][,python=3.N...][,python-property=off]
    /// [,PROPERTY=VALUE...]`.
    ///
    /// # Errors
    /// [`ModelError`], if it is of another form.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let mut parts = text.split(',').map(str::trim);
        let requested: RequestedTarget = parts.next().unwrap_or_default().parse()?;
        let named = requested.glibc.map(Libc::Glibc);
        let mut platform = Self { libc: named, ..Self::of(requested.target) };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| ModelError::NoKeyValue(part.to_owned()))?;
            match key {
                "name" => platform.name = value.to_owned(),
                "libc" => {
                    let libc: Libc = value.parse()?;
                    if let Some(named) = named.filter(|named| *named != libc) {
                        return Err(ModelError::TwoLibcs { named, libc });
                    }
                    platform.libc = Some(libc);
                }
                "libc-property" => platform.libc_property = switch("libc-property", value)?,
                "python" => platform.pythons.push(value.parse()?),
                "python-property" => platform.python_property = switch("python-property", value)?,
                _ => platform.properties.push((key.to_owned(), value.to_owned())),
            }
        }
        Ok(platform)
    }

    /// The platform that is nothing but `target`.
    pub fn of(target: Target) -> Self {
        Self {
            name: target.to_string(),
            target,
            libc: None,
            libc_property: true,
            pythons: Vec::new(),
            python_property: true,
            properties: Vec::new(),
        }
    }
}

fn switch(key: &'static str, value: &str) -> Result<bool, ModelError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(ModelError::Switch { key, value: value.to_owned() }),
    }
}

impl BazelVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [Self::V4_2, Self::V7, Self::V8, Self::V9];

    /// As it is written: `4.2`, `7`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4_2 => "4.2",
            Self::V7 => "7",
            Self::V8 => "8",
            Self::V9 => "9",
        }
    }

    /// Whether it has modules (MODULE.bazel), and can include files of them.
    pub fn has_modules(self) -> bool {
        self != Self::V4_2
    }

    /// Whether WORKSPACE is read, be it only when asked for.
    pub fn has_workspace(self) -> bool {
        matches!(self, Self::V4_2 | Self::V7)
    }
}

impl fmt::Display for BazelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for BazelVersion {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let found = Self::ALL.into_iter().find(|version| version.name() == text);
        found.ok_or_else(|| ModelError::Bazel(text.to_owned()))
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "3.{}", self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let minor = text.strip_prefix("3.").and_then(|minor| minor.parse().ok());
        // 3.011 would be another name for the same.
        let found = minor.map(|minor| Self { minor }).filter(|version| version.to_string() == text);
        found.ok_or_else(|| ModelError::Python(text.to_owned()))
    }
}

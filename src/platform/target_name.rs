//! What people call a target, beside the name it has here: as kernels, wheels, Docker and compilers spell it. Some
//! of these names also say a version of glibc.
//! Knows nothing of what is done with either.

use std::fmt;
use std::str::FromStr;

use super::arch_name::NamedArch;
use super::target::{Arch, Glibc, Target};
use crate::nearest::nearest;

/// A target as somebody named it, and the newest glibc that its wheels may need, if the name says one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedTarget {
    /// The platform.
    pub target: Target,
    /// 2.28 in `manylinux_2_28_aarch64`.
    pub glibc: Option<Glibc>,
}

/// A target name crosswheel does not build for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nobody's name for a target of ours.
    #[error("unknown target `{name}`{}; crosswheel builds for {Ours}", Nearest(.nearest))]
    Unknown { name: String, nearest: Option<String> },

    /// musl, under whichever name.
    #[error("`{0}` is a target with musl; crosswheel builds for glibc: {Ours}")]
    Musl(String),

    /// An architecture that others have.
    #[error("`{name}` is a target of the architecture {arch}; crosswheel builds for {Ours}")]
    Arch { name: String, arch: String },

    /// An operating system that others have.
    #[error("`{0}` is a target of another operating system; crosswheel builds for {Ours}")]
    System(String),

    /// A platform tag of wheels that there is none of.
    #[error("`{name}`: there is no manylinux below {oldest} for {target}; name that, or {target}")]
    TooOld { name: String, oldest: String, target: Target },

    /// A name that says more than is asked for.
    #[error("`{name}` also names glibc {glibc}, which is said elsewhere here; write {target}")]
    Glibc { name: String, glibc: Glibc, target: Target },
}

/// All targets, for sentences.
struct Ours;

struct Nearest<'a>(&'a Option<String>);

impl fmt::Display for Ours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [amd64, arm64] = [Arch::Amd64, Arch::Arm64].map(|arch| Target { arch });
        write!(formatter, "{amd64} and {arm64}")
    }
}

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(formatter, " (did you mean `{name}`?)"),
            None => Ok(()),
        }
    }
}

impl FromStr for RequestedTarget {
    type Err = InvalidTarget;

    /// Reads `linux_arm64` and what others call it, in any case: `aarch64`, `linux/arm64`, `manylinux_2_28_aarch64`,
    /// `aarch64-unknown-linux-gnu`, and so on.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let name = text.trim().to_ascii_lowercase();
        if name.contains("musl") {
            return Err(InvalidTarget::Musl(text.to_owned()));
        }
        let (arch, glibc) = split_glibc(&name).unwrap_or((without_system(&name), None));
        match NamedArch::of(arch) {
            Some(NamedArch::Ours(arch)) => of_arch(text, arch, glibc),
            Some(NamedArch::Another) => {
                Err(InvalidTarget::Arch { name: text.to_owned(), arch: arch.to_owned() })
            }
            None if is_other_system(&name) => Err(InvalidTarget::System(text.to_owned())),
            None => Err(InvalidTarget::Unknown { name: text.to_owned(), nearest: nearest_target(&name) }),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    /// The target that [`RequestedTarget`] reads, where a glibc has no place.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let RequestedTarget { target, glibc } = text.parse()?;
        match glibc {
            Some(glibc) => Err(InvalidTarget::Glibc { name: text.to_owned(), glibc, target }),
            None => Ok(target),
        }
    }
}

fn of_arch(text: &str, arch: Arch, glibc: Option<Glibc>) -> Result<RequestedTarget, InvalidTarget> {
    let target = Target { arch };
    let oldest = match arch {
        Arch::Amd64 => Glibc { major: 2, minor: 5 },
        Arch::Arm64 => Glibc { major: 2, minor: 17 },
    };
    match glibc.filter(|glibc| *glibc < oldest) {
        Some(_) => {
            let oldest = format!("manylinux_{}_{}_{}", oldest.major, oldest.minor, arch.machine());
            Err(InvalidTarget::TooOld { name: text.to_owned(), oldest, target })
        }
        None => Ok(RequestedTarget { target, glibc }),
    }
}

/// The architecture and the glibc in a platform tag of wheels, or in what uv makes of one.
fn split_glibc(name: &str) -> Option<(&str, Option<Glibc>)> {
    if let Some((arch, tag)) = name.split_once("-manylinux") {
        return Some((arch, Some(manylinux(tag)?)));
    }
    let rest = name.strip_prefix("manylinux")?;
    let arch = NAMES.iter().find(|arch| rest.ends_with(&format!("_{arch}")))?;
    Some((arch, Some(manylinux(&rest[..rest.len() - arch.len() - 1])?)))
}

/// Architectures as platform tags of wheels have them, and as people write them there.
const NAMES: [&str; 8] = ["x86_64", "aarch64", "amd64", "arm64", "riscv64", "ppc64le", "s390x", "i686"];

/// The glibc of `2014`, or of `_2_28`.
fn manylinux(tag: &str) -> Option<Glibc> {
    let minor = match tag {
        "1" => 5,
        "2010" => 12,
        "2014" => 17,
        _ => {
            let (major, minor) = tag.strip_prefix('_')?.split_once('_')?;
            return Some(Glibc { major: number(major)?, minor: number(minor)? });
        }
    };
    Some(Glibc { major: 2, minor })
}

/// Digits alone: `+2` is none of a tag.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `name` without what says that it is Linux with glibc, and without the variant that Docker gives arm64.
fn without_system(name: &str) -> &str {
    let name = name.strip_suffix("/v8").unwrap_or(name);
    let name =
        ["linux_", "linux-", "linux/"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let ends = ["-unknown-linux-gnu", "-pc-linux-gnu", "-linux-gnu", "-linux", "_linux"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn is_other_system(name: &str) -> bool {
    ["win", "macos", "darwin", "freebsd", "android", "ios"].iter().any(|system| name.starts_with(system))
        || ["windows", "darwin", "apple"].iter().any(|system| name.contains(system))
}

/// The name of a target that is written most like `name`, if one is.
fn nearest_target(name: &str) -> Option<String> {
    let names: Vec<String> = [Arch::Amd64, Arch::Arm64]
        .into_iter()
        .flat_map(|arch| {
            let (property, machine) = (arch.property(), arch.machine());
            [
                format!("linux_{property}"),
                format!("linux_{machine}"),
                property.to_owned(),
                machine.to_owned(),
                format!("manylinux_2_28_{machine}"),
                format!("manylinux2014_{machine}"),
                format!("{machine}-unknown-linux-gnu"),
            ]
        })
        .collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Result<(String, Option<String>), String> {
        let requested: RequestedTarget = text.parse().map_err(|error: InvalidTarget| error.to_string())?;
        Ok((requested.target.to_string(), requested.glibc.map(|glibc| glibc.to_string())))
    }

    #[test]
    fn whatever_people_call_a_target_it_is_that_target() {
        for (target, names) in [
            (
                "linux_amd64",
                "linux_amd64 linux_x86_64 x86_64 x86-64 amd64 AMD64 x64 linux-x64 linux/amd64 x86_64-unknown-linux-gnu \
                 x86_64-linux-gnu x86_64-linux",
            ),
            (
                "linux_arm64",
                "linux_arm64 linux_aarch64 aarch64 arm64 linux/arm64 linux/arm64/v8 linux-arm64 linux-aarch64 \
                 aarch64-unknown-linux-gnu aarch64-linux-gnu Linux_ARM64",
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(of(name).unwrap(), (target.to_owned(), None), "{name}");
            }
        }
    }

    #[test]
    fn a_platform_tag_also_says_a_glibc() {
        for (name, target, glibc) in [
            ("manylinux_2_28_aarch64", "linux_arm64", "2.28"),
            ("manylinux2014_x86_64", "linux_amd64", "2.17"),
            ("manylinux2010_x86_64", "linux_amd64", "2.12"),
            ("manylinux1_x86_64", "linux_amd64", "2.5"),
            ("manylinux_2_36_arm64", "linux_arm64", "2.36"),
            ("x86_64-manylinux_2_31", "linux_amd64", "2.31"),
            ("aarch64-manylinux2014", "linux_arm64", "2.17"),
        ] {
            assert_eq!(of(name).unwrap(), (target.to_owned(), Some(glibc.to_owned())), "{name}");
            let error = name.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(&format!("write {target}")), "{error}");
        }
    }

    #[test]
    fn what_there_is_none_of_says_what_there_is() {
        for (name, says) in [
            ("musllinux_1_2_x86_64", "with musl"),
            ("aarch64-unknown-linux-musl", "with musl"),
            ("linux_riscv64", "the architecture riscv64"),
            ("manylinux_2_39_riscv64", "the architecture riscv64"),
            ("win_amd64", "another operating system"),
            ("macosx_11_0_arm64", "another operating system"),
            ("aarch64-apple-darwin", "another operating system"),
            ("manylinux1_aarch64", "no manylinux below manylinux_2_17_aarch64"),
            ("linux_amd46", "did you mean `linux_amd64`?"),
            ("aarhc64", "did you mean `aarch64`?"),
            ("manylinux_2_x86_64", "did you mean `manylinux_2_28_x86_64`?"),
            ("manylinux_+2_28_x86_64", "did you mean"),
            ("linux_riscv", "unknown target `linux_riscv`"),
            ("", "unknown target"),
            ("linux", "unknown target"),
        ] {
            let error = of(name).unwrap_err();
            assert!(error.contains(says), "{name}: {error}");
            assert!(error.contains("linux_a"), "{name}: {error}");
        }
        assert!(!of("toaster").unwrap_err().contains("did you mean"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_target_or_is_none(text in "(linux|manylinux|_|-|/|2|28|2014|x86_64|arm64|gnu|musl|.){0,8}") {
            let _ = of(&text);
        }

        #[test]
        fn the_name_a_target_has_here_is_understood(arm64: bool) {
            let target = Target { arch: if arm64 { Arch::Arm64 } else { Arch::Amd64 } };
            prop_assert_eq!(target.to_string().parse::<RequestedTarget>().unwrap(), RequestedTarget { target, glibc: None });
        }
    }
}

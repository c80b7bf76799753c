//! Which compatibility tags a Python on a target accepts, and in which order (PEP 425, PEP 600 for
//! manylinux). Only CPython on glibc Linux. Knows nothing of what is in a wheel.

use super::tag::{Tag, split_manylinux};
use super::wheel_name::WheelFileName;
use crate::platform::{Arch, Glibc, Target};

/// The tags a Python on a target accepts, best first.
///
/// The order is that of the `packaging` project: Python and ABI first (the version's own ABI, `abi3`
/// of this version, `none`, `abi3` of older versions, `pyXY` to `py3`), then the platform (newest
/// glibc first, `linux_ARCH` last); `any` comes after every platform.
#[derive(Clone, Debug)]
pub struct CompatibleTags {
    /// Accepted (python, abi) pairs of wheels for one platform, best first.
    native: Vec<(String, String)>,
    /// Accepted (python, abi) pairs of wheels for `any` platform, best first.
    any: Vec<(String, String)>,
    arch: Arch,
    glibc: Option<Glibc>,
}

impl CompatibleTags {
    /// What CPython `python` (major, minor) accepts on `target` with `glibc`.
    ///
    /// `abi_flags` is `sys.abiflags`: empty, `t` for free-threaded builds (PEP 703), `d` for debug
    /// builds, `m` before Python 3.8. Without `glibc` no `manylinux` wheel is accepted, only `linux`.
    pub fn new(python: (u8, u8), abi_flags: &str, target: Target, glibc: Option<Glibc>) -> Self {
        let (major, minor) = python;
        let cpython = format!("cp{major}{minor}");
        let pair = |python: &str, abi: &str| (python.to_owned(), abi.to_owned());
        let free_threaded = abi_flags.contains('t');

        let mut native = vec![pair(&cpython, &format!("{cpython}{abi_flags}"))];
        if python >= (3, 8) && abi_flags.contains('d') {
            // From 3.8 on, debug builds load the extension modules of release builds, too.
            native.push(pair(&cpython, &format!("{cpython}{}", abi_flags.replace('d', ""))));
        }
        // Free-threaded builds cannot load the stable ABI (PEP 703).
        let stable_abi = python >= (3, 2) && !free_threaded;
        if stable_abi {
            native.push(pair(&cpython, "abi3"));
        }
        native.push(pair(&cpython, "none"));
        if stable_abi && major == 3 {
            native.extend((2..minor).rev().map(|older| pair(&format!("cp3{older}"), "abi3")));
        }

        let mut generic =
            vec![pair(&format!("py{major}{minor}"), "none"), pair(&format!("py{major}"), "none")];
        generic.extend((0..minor).rev().map(|older| pair(&format!("py{major}{older}"), "none")));
        native.extend(generic.iter().cloned());
        let mut any = vec![pair(&cpython, "none")];
        any.extend(generic);
        Self { native, any, arch: target.arch, glibc }
    }

    /// How good `wheel` is for this Python and platform: lower is better, none is incompatible.
    pub fn rank(&self, wheel: &WheelFileName) -> Option<usize> {
        wheel.tags().iter().filter_map(|tag| self.rank_of(tag)).min()
    }

    /// Whether a wheel with `tag` can be installed.
    pub fn accepts(&self, tag: &Tag) -> bool {
        self.rank_of(tag).is_some()
    }

    /// Whether the Python and the ABI of `tag` are accepted on some platform.
    pub fn accepts_python(&self, tag: &Tag) -> bool {
        self.native.iter().chain(&self.any).any(|(python, abi)| *python == tag.python() && *abi == tag.abi())
    }

    /// The target's architecture as platform tags end with it: `x86_64`.
    pub fn machine(&self) -> &'static str {
        self.arch.machine()
    }

    fn rank_of(&self, tag: &Tag) -> Option<usize> {
        let position = |pairs: &[(String, String)]| {
            pairs.iter().position(|(python, abi)| *python == tag.python() && *abi == tag.abi())
        };
        if tag.platform() == "any" {
            return Some(self.native.len() * self.platform_count() + position(&self.any)?);
        }
        Some(position(&self.native)? * self.platform_count() + self.platform_rank(tag.platform())?)
    }

    fn platform_rank(&self, platform: &str) -> Option<usize> {
        let machine = self.arch.machine();
        if platform.strip_prefix("linux_") == Some(machine) {
            return Some(self.platform_count() - 1);
        }
        let (needed, legacy, arch) = split_manylinux(platform)?;
        let available = self.glibc?;
        let fits = arch == machine
            && needed.major == available.major
            && (oldest_glibc(self.arch)..=available).contains(&needed);
        fits.then(|| 2 * (available.minor - needed.minor) as usize + usize::from(legacy))
    }

    /// Two names, new and legacy, for every manylinux glibc, and `linux_ARCH`.
    fn platform_count(&self) -> usize {
        let oldest = oldest_glibc(self.arch);
        match self.glibc {
            Some(glibc) if glibc >= oldest && glibc.major == oldest.major => {
                2 * (glibc.minor - oldest.minor + 1) as usize + 1
            }
            _ => 1,
        }
    }
}

/// The first glibc manylinux was defined for: 2.5 on x86-64 (PEP 513), 2.17 on others (PEP 599).
fn oldest_glibc(arch: Arch) -> Glibc {
    match arch {
        Arch::Amd64 => Glibc { major: 2, minor: 5 },
        Arch::Arm64 => Glibc { major: 2, minor: 17 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compatible(minor: u8, flags: &str, target: &str, glibc: Option<&str>) -> CompatibleTags {
        let glibc = glibc.map(|text| text.parse().unwrap());
        CompatibleTags::new((3, minor), flags, target.parse().unwrap(), glibc)
    }

    fn accepts(tags: &CompatibleTags, tag: &str) -> bool {
        tags.accepts(&tag.parse().unwrap())
    }

    /// The order `packaging.tags.sys_tags()` gives on CPython 3.11 with glibc 2.36, shortened.
    #[test]
    fn wheels_are_ordered_as_installers_order_them() {
        let tags = compatible(11, "", "linux_amd64", Some("2.36"));
        let best_first = [
            "cp311-cp311-manylinux_2_36_x86_64",
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux_2_16_x86_64",
            "cp311-cp311-manylinux2010_x86_64",
            "cp311-cp311-manylinux1_x86_64",
            "cp311-cp311-linux_x86_64",
            "cp311-abi3-manylinux_2_36_x86_64",
            "cp311-none-linux_x86_64",
            "cp310-abi3-manylinux_2_17_x86_64",
            "cp32-abi3-linux_x86_64",
            "py311-none-linux_x86_64",
            "py3-none-manylinux2014_x86_64",
            "py310-none-linux_x86_64",
            "py30-none-linux_x86_64",
            "cp311-none-any",
            "py311-none-any",
            "py3-none-any",
            "py310-none-any",
            "py30-none-any",
        ];
        let ranks: Vec<_> =
            best_first.iter().map(|tag| tags.rank_of(&tag.parse().unwrap()).expect(tag)).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }

    #[test]
    fn other_pythons_platforms_and_newer_glibcs_are_not_accepted() {
        let tags = compatible(11, "", "linux_amd64", Some("2.36"));
        for tag in [
            "cp310-cp310-linux_x86_64",
            "cp310-none-any",
            "cp312-abi3-linux_x86_64",
            "cp311-cp311t-linux_x86_64",
            "cp311-cp311-linux_aarch64",
            "cp311-cp311-manylinux_2_37_x86_64",
            "cp311-cp311-manylinux_2_99_x86_64",
            "cp311-cp311-manylinux_2_4_x86_64",
            "cp311-cp311-manylinux_3_5_x86_64",
            "cp311-cp311-musllinux_1_2_x86_64",
            "cp311-cp311-any",
            "cp311-abi3-any",
            "py2-none-any",
            "py312-none-any",
            "pp311-pypy311_pp73-linux_x86_64",
            "cp311-cp311-macosx_11_0_x86_64",
        ] {
            assert!(!accepts(&tags, tag), "{tag}");
        }
    }

    #[test]
    fn manylinux_begins_with_2_17_on_arm64_and_needs_a_known_glibc() {
        let tags = compatible(12, "", "linux_arm64", Some("2.17"));
        assert!(accepts(&tags, "cp312-cp312-manylinux2014_aarch64"));
        assert!(!accepts(&tags, "cp312-cp312-manylinux_2_16_aarch64"));
        assert!(!accepts(&tags, "cp312-cp312-manylinux2010_aarch64"));
        let unknown = compatible(12, "", "linux_arm64", None);
        assert!(!accepts(&unknown, "cp312-cp312-manylinux2014_aarch64"));
        assert!(accepts(&unknown, "cp312-cp312-linux_aarch64"));
    }

    #[test]
    fn free_threaded_and_debug_builds_have_abis_of_their_own() {
        let free_threaded = compatible(13, "t", "linux_amd64", Some("2.36"));
        assert!(accepts(&free_threaded, "cp313-cp313t-linux_x86_64"));
        assert!(accepts(&free_threaded, "cp313-none-any"));
        assert!(!accepts(&free_threaded, "cp313-cp313-linux_x86_64"));
        assert!(!accepts(&free_threaded, "cp38-abi3-linux_x86_64"));
        let debug = compatible(11, "d", "linux_amd64", None);
        assert!(accepts(&debug, "cp311-cp311d-linux_x86_64"));
        assert!(accepts(&debug, "cp311-cp311-linux_x86_64"));
        assert!(accepts(&compatible(7, "m", "linux_amd64", None), "cp37-cp37m-linux_x86_64"));
    }

    #[test]
    fn an_absurd_glibc_version_costs_nothing() {
        let tags = compatible(11, "", "linux_amd64", Some("2.4294967295"));
        assert!(accepts(&tags, "cp311-cp311-manylinux_2_4294967295_x86_64"));
        assert!(!accepts(&tags, "cp311-cp311-manylinux_2_99999999999_x86_64"));
    }
}

//! What architectures are called by whoever names something after one.

use super::target::Arch;

/// Ours: as REAPI's `Arch` has them, and Debian and Docker; as the kernel has them; as REAPI's `ISA` has them;
/// as Node and .NET have them.
const OURS: [(&str, Arch); 7] = [
    ("amd64", Arch::Amd64),
    ("x86_64", Arch::Amd64),
    ("x86-64", Arch::Amd64),
    ("x64", Arch::Amd64),
    ("arm64", Arch::Arm64),
    ("aarch64", Arch::Arm64),
    ("arm-a64", Arch::Arm64),
];

/// Those of others that Debian and Docker have images for.
const OTHERS: [&str; 17] = [
    "386",
    "arm",
    "armel",
    "armhf",
    "armv6l",
    "armv7l",
    "i386",
    "i686",
    "loong64",
    "loongarch64",
    "mips64el",
    "mips64le",
    "ppc64el",
    "ppc64le",
    "riscv64",
    "s390x",
    "x86",
];

/// An architecture that something is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedArch {
    Ours(Arch),
    /// One that crosswheel does not build for.
    Another,
}

impl NamedArch {
    /// The architecture that is called `name`, in any case.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match OURS.iter().find(|(own, _)| *own == name) {
            Some((_, arch)) => Some(Self::Ours(*arch)),
            None => OTHERS.contains(&&*name).then_some(Self::Another),
        }
    }

    pub fn ours(self) -> Option<Arch> {
        match self {
            Self::Ours(arch) => Some(arch),
            Self::Another => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_ours_is_known_and_no_other_name_is_taken_for_one() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            for name in [arch.property(), arch.machine(), arch.bazel_cpu(), &arch.machine().to_uppercase()] {
                assert_eq!(NamedArch::of(name), Some(NamedArch::Ours(arch)), "{name}");
            }
        }
        assert_eq!(NamedArch::of("riscv64"), Some(NamedArch::Another));
        for name in ["native", "", "amd", "arm64-big", "k8"] {
            assert_eq!(NamedArch::of(name), None, "{name}");
        }
    }
}

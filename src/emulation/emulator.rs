//! The program that runs programs of another architecture, and the line that registers it with binfmt_misc. Knows
//! nothing of what is registered already.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::platform::Arch;

/// The longest line that the kernel takes (`MAX_REGISTER_LENGTH` in fs/binfmt_misc.c).
const LONGEST_LINE: usize = 1920;

/// A program that runs programs of another architecture: qemu's user mode, statically linked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Emulator {
    /// What it runs.
    pub arch: Arch,
    /// Absolute, on the host.
    pub program: PathBuf,
}

impl Emulator {
    /// The name of the program, such as `qemu-aarch64-static`.
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    /// What has to be written into the file `register` of a binfmt_misc so that its kernel uses this program: for
    /// executables and shared objects (most programs are both) of 64 bits, with the flags `O` (the program is opened
    /// for the emulator, which need not be able to read it), `P` (it learns argv\[0\]) and `F`.
    ///
    /// None if the path cannot be told: it is too long, or has every character that could separate the fields.
    pub fn registration(&self) -> Option<Vec<u8>> {
        let path = self.program.as_os_str().as_bytes();
        let separator = b":|,;!#%&*+=?@^~".iter().find(|byte| !path.contains(byte))?;
        let (magic, mask) = (magic(self.arch), MASK);
        let name = registered_name(self.arch);
        let fields: [&[u8]; 8] =
            [b"", name.as_bytes(), b"M", b"", &escaped(&magic), &escaped(&mask), path, b"OPF"];
        let line = fields.join(separator);
        (line.len() <= LONGEST_LINE && !path.contains(&b'\n') && !path.contains(&0)).then_some(line)
    }
}

/// The name under which distributions register an emulator.
pub fn registered_name(arch: Arch) -> String {
    format!("qemu-{}", arch.machine())
}

/// Programs that may be an emulator for `arch`, the best first.
pub(super) fn emulator_names(arch: Arch) -> [String; 2] {
    [format!("qemu-{}-static", arch.machine()), format!("qemu-{}", arch.machine())]
}

/// The file header of ELF up to `e_machine`: 64 bits, little endian, an executable.
pub(super) fn magic(arch: Arch) -> [u8; 20] {
    let mut header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0";
    header[18..].copy_from_slice(&arch.elf_machine().to_le_bytes());
    header
}

/// Which bits count: not those of the ABI (0 and 3, GNU, are both common), nor the one between executables (2) and
/// shared objects (3).
const MASK: [u8; 20] = *b"\xff\xff\xff\xff\xff\xff\xff\0\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// As the kernel unescapes it.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect()
}

/// Whether the file is an executable one.
pub(super) fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of Debian's qemu-user-static, but for the path.
    #[test]
    fn the_registration_is_the_one_of_distributions() {
        let emulator = Emulator { arch: Arch::Arm64, program: "/usr/bin/qemu-aarch64-static".into() };
        let line = String::from_utf8(emulator.registration().unwrap()).unwrap();
        assert_eq!(
            line,
            r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OPF"
        );
    }

    #[test]
    fn a_path_that_would_break_the_line_gets_another_separator_or_is_refused() {
        let of = |program: String| Emulator { arch: Arch::Amd64, program: program.into() }.registration();
        assert!(of("/a:b/qemu".into()).unwrap().starts_with(b"|qemu-x86_64|M||"));
        assert_eq!(of("/a\nb".into()), None);
        assert_eq!(of(format!("/{}", "a".repeat(2000))), None);
        assert_eq!(of("/:|,;!#%&*+=?@^~".into()), None);
    }
}

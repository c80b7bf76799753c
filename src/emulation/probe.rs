//! The proof that programs of an architecture run: one that does nothing, and ends with code 0. Knows nothing of
//! how they run.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::emulator::magic;
use crate::platform::Arch;

/// Where the file is seen in memory when it runs: below that no page can be had, by default.
const ADDRESS: u64 = 0x40_0000;
/// Of the file header and the one program header.
const HEADERS: u64 = 64 + 56;

/// An executable file for `arch`, statically linked: `exit(0)`.
pub fn smallest_program(arch: Arch) -> Vec<u8> {
    let code: &[u8] = match arch {
        // xor edi, edi; mov eax, 60; syscall
        Arch::Amd64 => b"\x31\xff\xb8\x3c\0\0\0\x0f\x05",
        // mov x0, 0; mov x8, 93; svc 0
        Arch::Arm64 => b"\0\0\x80\xd2\xa8\x0b\x80\xd2\x01\0\0\xd4",
    };
    let size = HEADERS + code.len() as u64;
    let mut file = magic(arch).to_vec();
    // e_version, e_entry, e_phoff, e_shoff, e_flags
    file.extend(1_u32.to_le_bytes());
    [ADDRESS + HEADERS, 64, 0].iter().for_each(|value: &u64| file.extend(value.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    [64, 56, 1, 0, 0, 0].iter().for_each(|value: &u16| file.extend(value.to_le_bytes()));
    // p_type: PT_LOAD; p_flags: to be read and executed
    [1, 5].iter().for_each(|value: &u32| file.extend(value.to_le_bytes()));
    // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align (the largest page of either architecture)
    let segment = [0, ADDRESS, ADDRESS, size, size, 0x1_0000];
    segment.iter().for_each(|value: &u64| file.extend(value.to_le_bytes()));
    file.extend(code);
    file
}

/// Writes [`smallest_program`] to a file that can be executed, and is gone when dropped.
///
/// # Errors
/// If it cannot be written.
#[allow(clippy::disallowed_types, reason = "it is written here, and by nobody else")]
pub fn smallest_program_file(arch: Arch) -> io::Result<tempfile::TempPath> {
    let file = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempfile()?;
    fs_err::write(file.path(), smallest_program(arch))?;
    // Nobody may execute a file that is open for writing.
    Ok(file.into_temp_path())
}

/// Whether the kernel runs programs for `arch` here, by whatever means: a container does not see what is registered
/// with the kernel outside.
pub fn runs_here(arch: Arch) -> bool {
    let run = || {
        let program = smallest_program_file(arch)?;
        Command::new(&program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    run().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_the_processor_it_is_for() {
        assert!(runs_here(Arch::host()));
    }

    #[test]
    fn it_is_a_program_without_a_loader_for_each_architecture() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let file = smallest_program_file(arch).unwrap();
            assert_eq!(crate::emulation::elf::program_interpreter(&file).unwrap(), None);
            let header = fs_err::read(&file).unwrap();
            assert_eq!(u16::from_le_bytes([header[18], header[19]]), arch.elf_machine());
        }
    }
}

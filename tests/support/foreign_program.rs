//! Programs of a few hundred bytes for the architecture that this machine is not, put together by hand: tests that
//! emulate need neither a compiler nor a root file system for it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crosswheel::emulation::{EmulationHost, EmulationSupport, Emulator};
use crosswheel::platform::Arch;

/// What the program exits with.
pub const EXIT_CODE: u8 = 7;

/// The architecture that this machine is not.
pub fn foreign_arch() -> Arch {
    Arch::host().other()
}

/// The emulator for it, without which these tests fail.
pub fn emulator() -> Emulator {
    EmulationHost::this().emulator(foreign_arch()).unwrap_or_else(|obstacle| {
        panic!("this test needs an emulator, and {}: {}", obstacle.problem, obstacle.mend)
    })
}

/// The program by which such programs run in a root file system: the emulator, or what the kernel has registered.
pub fn emulator_in_use() -> String {
    match EmulationHost::this().support(foreign_arch()) {
        EmulationSupport::Private(emulator) => emulator.name(),
        EmulationSupport::Registered { interpreter, .. } => {
            interpreter.file_name().unwrap().to_str().unwrap().to_owned()
        }
        other => panic!("this test needs an emulator: {other:?}"),
    }
}

/// Puts a program for the other architecture at `place`. It writes its `argv[0]` and a line break to standard output,
/// and exits with [`EXIT_CODE`].
pub fn write_foreign_program(place: &Path) {
    fs_err::create_dir_all(place.parent().unwrap()).unwrap();
    fs_err::write(place, program(foreign_arch())).unwrap();
    fs_err::set_permissions(place, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A root file system with nothing in it but such a program, as the shell.
pub fn foreign_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write_foreign_program(&root.path().join("bin/sh"));
    for directory in ["etc", "proc", "tmp"] {
        fs_err::create_dir(root.path().join(directory)).unwrap();
    }
    root
}

/// The bytes of such a program for any of the two.
pub fn program(arch: Arch) -> Vec<u8> {
    let code = match arch {
        Arch::Amd64 => amd64(),
        Arch::Arm64 => arm64(),
    };
    const ADDRESS: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    file.extend(arch.elf_machine().to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for value in [ADDRESS + HEADERS, 64, 0_u64] {
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for value in [64, 56, 1, 0, 0, 0_u16] {
        file.extend(value.to_le_bytes());
    }
    for value in [1, 5_u32] {
        file.extend(value.to_le_bytes());
    }
    for value in [0, ADDRESS, ADDRESS, size, size, 0x1_0000_u64] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// AArch64: argv[0] is at sp + 8 when a program starts.
fn arm64() -> Vec<u8> {
    let move_to = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let supervisor_call = 0xd400_0001;
    let exit_code = u32::from(EXIT_CODE);
    let instructions = [
        0xf940_07e1,    // ldr x1, [sp, 8]
        move_to(2, 0),  // x2: its length
        0x3862_6823,    // ldrb w3, [x1, x2]
        0x3400_0063,    // cbz w3, 3 instructions ahead
        0x9100_0442,    // add x2, x2, 1
        0x17ff_fffd,    // b 3 instructions back
        move_to(0, 1),  // standard output
        move_to(8, 64), // write
        supervisor_call,
        move_to(0, 1),
        0x1000_00c1, // adr x1, 6 instructions ahead: the line break
        move_to(2, 1),
        supervisor_call,
        move_to(0, exit_code),
        move_to(8, 93), // exit
        supervisor_call,
        u32::from(b'\n'),
    ];
    instructions.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// x86-64, likewise.
fn amd64() -> Vec<u8> {
    let mut code = Vec::new();
    code.extend(b"\x48\x8b\x74\x24\x08"); // mov rsi, [rsp + 8]
    code.extend(b"\x31\xd2"); // xor edx, edx
    code.extend(b"\x80\x3c\x16\x00"); // cmp byte [rsi + rdx], 0
    code.extend(b"\x74\x05"); // je 5 bytes ahead
    code.extend(b"\x48\xff\xc2"); // inc rdx
    code.extend(b"\xeb\xf5"); // jmp 11 bytes back
    code.extend(b"\xbf\x01\0\0\0\xb8\x01\0\0\0\x0f\x05"); // write(1, rsi, rdx)
    code.extend(b"\x48\x8d\x35\x18\0\0\0"); // lea rsi, the line break
    code.extend(b"\xba\x01\0\0\0\xb8\x01\0\0\0\x0f\x05"); // write(1, rsi, 1)
    code.extend([0xbf, EXIT_CODE, 0, 0, 0]); // mov edi, the exit code
    code.extend(b"\xb8\x3c\0\0\0\x0f\x05"); // exit
    code.push(b'\n');
    code
}

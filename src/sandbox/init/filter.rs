//! System calls that are refused: sockets of families that lead out of the sandbox, and what would get around that. Knows
//! nothing of why.
//!
//! The program is put together here and not by a library, as it has to know more than one kind of system call: a
//! 64-bit kernel also takes those of its 32-bit ancestor from any process, under other numbers.

use std::ops::RangeInclusive;

use super::step::Step;
use super::system::{self, Instruction};
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};

/// Sockets that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Those that end in the network namespace they are made in: no AF_VSOCK, which leads to the hypervisor from every
    /// namespace, nor others of which the kernel keeps one for all.
    OfANetwork,
    /// Unix and netlink ones: the first stay on this host, and the second talk to the kernel.
    OfThisHost,
}

impl Sockets {
    fn families(self) -> &'static [i32] {
        match self {
            Self::OfANetwork => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
            Self::OfThisHost => &[libc::AF_UNIX, libc::AF_NETLINK],
        }
    }

    fn refusal(self) -> i32 {
        match self {
            // What a kernel says that was built without the family: programs do without it.
            Self::OfANetwork => libc::EAFNOSUPPORT,
            Self::OfThisHost => libc::EACCES,
        }
    }
}

/// Refuses these for this process and all its descendants, whatever they execute:
///
/// - sockets but those of `sockets`;
/// - rings of io_uring, which make sockets without a system call that could be seen here;
/// - new cgroup namespaces: who has one and is root in a user namespace may mount the control groups of the host, and
///   write to those that its user owns (`cgroup.kill` for one), whatever is mounted where.
pub(super) fn install(sockets: Sockets) -> Result<(), SetUpFailure> {
    system::filter_system_calls(&program(sockets)).step(SetUpStep::InstallFilter)
}

/// The system calls of one kind of process, under its numbers.
struct Calls {
    /// As the kernel names it (AUDIT_ARCH).
    architecture: u32,
    socket: u32,
    /// Does what `socket` does and more, by a number in its first argument; only on some.
    socketcall: Option<u32>,
    io_uring_setup: u32,
    unshare: u32,
    clone: u32,
    clone3: u32,
    /// All of these are refused: another name for what others do.
    strange: Option<RangeInclusive<u32>>,
}

#[cfg(target_arch = "x86_64")]
const KINDS: [Calls; 2] = [
    Calls {
        architecture: 0xc000_003e,
        socket: 41,
        socketcall: None,
        io_uring_setup: 425,
        unshare: 272,
        clone: 56,
        clone3: 435,
        // The x32 ABI: the same calls under numbers with another bit. Most kernels have none of it.
        strange: Some(0x4000_0000..=u32::MAX),
    },
    Calls {
        architecture: 0x4000_0003,
        socket: 359,
        socketcall: Some(102),
        io_uring_setup: 425,
        unshare: 310,
        clone: 120,
        clone3: 435,
        strange: None,
    },
];

#[cfg(target_arch = "aarch64")]
const KINDS: [Calls; 2] = [
    Calls {
        architecture: 0xc000_00b7,
        socket: 198,
        socketcall: None,
        io_uring_setup: 425,
        unshare: 97,
        clone: 220,
        clone3: 435,
        strange: None,
    },
    Calls {
        architecture: 0x4000_0028,
        socket: 281,
        socketcall: Some(102),
        io_uring_setup: 425,
        unshare: 337,
        clone: 120,
        clone3: 435,
        strange: None,
    },
];

/// Offsets in what the kernel shows of a call (`struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of the first argument, on a little-endian machine.
const FIRST_ARGUMENT: u32 = 16;

fn program(sockets: Sockets) -> Vec<Instruction> {
    let mut program = vec![Instruction::load(ARCHITECTURE)];
    for calls in &KINDS {
        let block = block(calls, sockets);
        program.push(Instruction::unless_equal(calls.architecture, length(&block)));
        program.extend(block);
    }
    // There is no other kind of process on this architecture.
    program.push(Instruction::kill());
    program
}

/// What becomes of the calls of one kind of process. Never ends but by a return.
fn block(calls: &Calls, sockets: Sockets) -> Vec<Instruction> {
    let mut block = vec![Instruction::load(NUMBER)];
    if let Some(strange) = &calls.strange {
        block.extend([Instruction::unless_at_least(*strange.start(), 1), Instruction::refuse(libc::ENOSYS)]);
    }
    let mut on = |number: u32, then: &[Instruction]| {
        block.push(Instruction::unless_equal(number, length(then)));
        block.extend_from_slice(then);
    };
    let mut by_family = vec![Instruction::load(FIRST_ARGUMENT)];
    for family in sockets.families() {
        by_family.extend([Instruction::unless_equal(family.unsigned_abs(), 1), Instruction::allow()]);
    }
    by_family.push(Instruction::refuse(sockets.refusal()));
    on(calls.socket, &by_family);
    if let Some(socketcall) = calls.socketcall {
        /// `socket`, as a first argument; the family is in memory, which cannot be looked at from here.
        const SYS_SOCKET: u32 = 1;
        let refused = [
            Instruction::load(FIRST_ARGUMENT),
            Instruction::unless_equal(SYS_SOCKET, 1),
            Instruction::refuse(sockets.refusal()),
            Instruction::allow(),
        ];
        on(socketcall, &refused);
    }
    on(calls.io_uring_setup, &[Instruction::refuse(libc::ENOSYS)]);
    let cgroup_namespace = [
        Instruction::load(FIRST_ARGUMENT),
        Instruction::unless_any_bit(libc::CLONE_NEWCGROUP.unsigned_abs(), 1),
        Instruction::refuse(libc::EPERM),
        Instruction::allow(),
    ];
    on(calls.unshare, &cgroup_namespace);
    on(calls.clone, &cgroup_namespace);
    // Its flags are in memory. All C libraries go on with `clone` where a kernel has none.
    on(calls.clone3, &[Instruction::refuse(libc::ENOSYS)]);
    block.push(Instruction::allow());
    block
}

fn length(block: &[Instruction]) -> u8 {
    u8::try_from(block.len()).expect("a block is a few dozen instructions")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would; returns what is returned.
    fn run(program: &[Instruction], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut position, mut loaded) = (0, 0);
        loop {
            let instruction = program[position];
            position += 1;
            let holds = match (instruction.code, instruction.value) {
                (Instruction::LOAD, NUMBER) => {
                    loaded = number;
                    continue;
                }
                (Instruction::LOAD, ARCHITECTURE) => {
                    loaded = architecture;
                    continue;
                }
                (Instruction::LOAD, FIRST_ARGUMENT) => {
                    loaded = argument;
                    continue;
                }
                (Instruction::RETURN, value) => return value,
                (Instruction::EQUAL, value) => loaded == value,
                (Instruction::AT_LEAST, value) => loaded >= value,
                (Instruction::ANY_BIT, value) => loaded & value != 0,
                other => panic!("{other:?}"),
            };
            position += usize::from(if holds { instruction.if_so } else { instruction.if_not });
        }
    }

    #[test]
    fn sockets_that_stay_in_a_network_can_be_made_and_others_cannot_by_any_name() {
        let program = program(Sockets::OfANetwork);
        let (allowed, refused) = (Instruction::allow().value, Instruction::refuse(libc::EAFNOSUPPORT).value);
        for calls in &KINDS {
            let make = |family: i32| run(&program, calls.architecture, calls.socket, family.cast_unsigned());
            for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
                assert_eq!(make(family), allowed);
            }
            for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, libc::AF_BLUETOOTH, 43, 255, -1] {
                assert_eq!(make(family), refused, "{family}");
            }
            if let Some(socketcall) = calls.socketcall {
                assert_eq!(run(&program, calls.architecture, socketcall, 1), refused);
                assert_eq!(run(&program, calls.architecture, socketcall, 3), allowed);
            }
            let no_such_call = Instruction::refuse(libc::ENOSYS).value;
            assert_eq!(run(&program, calls.architecture, calls.io_uring_setup, 8), no_such_call);
            if let Some(strange) = &calls.strange {
                assert_eq!(
                    run(&program, calls.architecture, strange.start() | calls.socket, 1),
                    no_such_call
                );
            }
        }
    }

    #[test]
    fn namespaces_can_be_made_but_for_those_of_control_groups() {
        let program = program(Sockets::OfThisHost);
        let (allowed, refused) = (Instruction::allow().value, Instruction::refuse(libc::EPERM).value);
        for calls in &KINDS {
            for number in [calls.unshare, calls.clone] {
                let with = |flags: i32| run(&program, calls.architecture, number, flags.unsigned_abs());
                assert_eq!(with(libc::CLONE_NEWUSER | libc::CLONE_NEWNS), allowed);
                assert_eq!(with(libc::CLONE_NEWUSER | libc::CLONE_NEWCGROUP), refused);
            }
            let clone3 = run(&program, calls.architecture, calls.clone3, 0);
            assert_eq!(clone3, Instruction::refuse(libc::ENOSYS).value);
            assert_eq!(run(&program, calls.architecture, 0, 0), allowed);
        }
    }

    #[test]
    fn a_process_of_a_kind_that_nobody_knows_is_killed() {
        let end = run(&program(Sockets::OfANetwork), 0x1234, 0, 0);
        assert_eq!(end, Instruction::kill().value);
    }
}

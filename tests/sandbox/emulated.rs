//! Programs of another architecture, which an emulator runs that a sandbox has registered for itself.

use crosswheel::emulation::Emulator;
use crosswheel::sandbox::{Outcome, ProgramFault, RootFileSystem, SandboxError, Spawner};

use crate::foreign_program::{self, EXIT_CODE, emulator, write_foreign_program};
use crate::roots::foreign_root;
use crate::running::{Prepared, again_as_nobody, command, full, sh};

const FOREIGN: Outcome = Outcome::Code(EXIT_CODE as i32);

fn in_root(prepared: Prepared, root: &std::path::Path, emulator: Emulator) -> Prepared {
    let directory = root.to_owned();
    prepared.with(|spec| spec.root = RootFileSystem::Emulated { directory, emulator })
}

#[test]
fn a_program_of_another_architecture_runs_and_knows_its_name() {
    let root = foreign_program::foreign_root();
    let (exit, output) = in_root(command(["sh"]), root.path(), emulator()).run(&full());
    assert_eq!((exit.outcome, output.as_str()), (FOREIGN, "sh\n"));
    again_as_nobody();
}

#[test]
fn without_an_emulator_it_is_said_to_be_for_another_machine() {
    let root = foreign_program::foreign_root();
    let directory = root.path().to_owned();
    let error = command(["/bin/sh"])
        .with(|spec| spec.root = RootFileSystem::Directory(directory))
        .start(&full())
        .err()
        .unwrap();
    assert!(matches!(error, SandboxError::Program { fault: ProgramFault::WrongFormat, .. }), "{error}");
}

/// They are root file systems like any other: programs of this machine run natively in them, and what these start is
/// emulated where it has to be. The registration outlives each command, whatever it tries.
#[test]
fn commands_neither_see_nor_change_the_registration() {
    let root = foreign_root();
    write_foreign_program(&root.path().join("bin/foreign"));
    let spawner = Spawner::start(&full()).unwrap();
    let attack = "ls /proc/sys/fs/binfmt_misc
        for file in register status qemu-aarch64 qemu-x86_64; do
            echo -1 > /proc/sys/fs/binfmt_misc/$file && echo written
        done
        for way in /proc/1/fd/* /proc/1/cwd /proc/1/root; do
            ls $way/ && echo seen
            echo x > $way/register && echo written
        done
        /bin/foreign";
    for _ in 0..4 {
        let attack = sh(attack).with(|spec| spec.stderr = Some(nothing()));
        let (exit, output) = in_root(attack, root.path(), emulator()).run(&spawner);
        assert_eq!((exit.outcome, output.as_str()), (FOREIGN, "/bin/foreign\n"));
    }
}

/// Somewhere to write to.
fn nothing() -> std::os::fd::OwnedFd {
    fs_err::OpenOptions::new().write(true).open("/dev/null").unwrap().into_parts().0.into()
}

#[test]
fn an_emulator_that_is_missing_is_named_with_the_step_that_failed() {
    let root = foreign_program::foreign_root();
    let missing = Emulator { program: "/nonexistent/qemu".into(), ..emulator() };
    match in_root(command(["sh"]), root.path(), missing).start(&full()).err().unwrap() {
        SandboxError::SetUp { step, error } => {
            assert!(step.contains("register qemu as the emulator"), "{step}: {error}");
        }
        other => panic!("{other}"),
    }
    let relative = Emulator { program: "qemu".into(), ..emulator() };
    let error = in_root(command(["sh"]), root.path(), relative).start(&full()).err().unwrap();
    assert!(matches!(error, SandboxError::InvalidPath { role: "emulator", .. }), "{error}");
}

#[test]
fn a_command_may_have_its_own_registrations_for_its_own_children_only() {
    let root = foreign_root();
    write_foreign_program(&root.path().join("bin/foreign"));
    let spawner = Spawner::start(&full()).unwrap();
    let python = "import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS = 0x10000000, 0x20000
if libc.unshare(NEWUSER | NEWNS) == 0:
    open('/proc/self/setgroups', 'w').write('deny')
    open('/proc/self/uid_map', 'w').write('0 1000 1')
    if libc.mount(b'none', b'/tmp', b'binfmt_misc', 0, None) == 0:
        print('has its own')";
    let host = crate::running::command(["/usr/bin/python3", "-c", python]).run(&spawner);
    // Where this host does not let commands do it, there is nothing to be afraid of.
    assert!(["has its own\n", ""].contains(&host.1.as_str()), "{}", host.1);
    for _ in 0..2 {
        let (exit, _) = in_root(command(["/bin/foreign"]), root.path(), emulator()).run(&spawner);
        assert_eq!(exit.outcome, FOREIGN);
    }
}

//! Programs of another architecture, which an emulator runs that a sandbox has registered for itself.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crosswheel::emulation::Emulator;
use crosswheel::platform::Arch;
use crosswheel::sandbox::{Outcome, ProgramFault, RootFileSystem, SandboxError, Spawner};

use super::roots::{foreign_root, foreign_root_with};
use super::running::{Prepared, again, again_as_nobody, command, full, sh};
use crate::support::foreign_program::{self, EXIT_CODE, emulator, program, write_foreign_program};
use crate::support::waiting::InTime;

const FOREIGN: Outcome = Outcome::Code(EXIT_CODE as i32);

fn in_root(prepared: Prepared, root: &std::path::Path, emulator: Emulator) -> Prepared {
    let directory = root.to_owned();
    prepared.with(|spec| spec.root = RootFileSystem::Emulated { directory, emulator })
}

/// What can be tried without an emulator.
#[test]
fn the_program_for_this_machine_does_what_the_other_is_to_do() {
    use std::os::unix::process::CommandExt;

    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("program");
    fs_err::write(&place, program(Arch::host())).unwrap();
    fs_err::set_permissions(&place, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(&place).arg0("a name").output_in_time();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a name\n");
    assert_eq!(output.status.code(), Some(i32::from(EXIT_CODE)));
}

#[test]
fn a_program_of_another_architecture_runs_and_knows_its_name() {
    let root = foreign_program::foreign_root();
    let (exit, output) = in_root(command(["sh"]), root.path(), emulator()).run(&full());
    assert_eq!((exit.outcome, output.as_str()), (FOREIGN, "sh\n"));
    again_as_nobody();
}

/// Run again in a user namespace with a binfmt_misc of its own, in which there is nothing: this machine's kernel may
/// have an emulator.
#[test]
fn without_an_emulator_it_is_said_to_be_for_another_machine() {
    const AGAIN: &str = "CROSSWHEEL_TEST_WITHOUT_EMULATORS";
    if std::env::var_os(AGAIN).is_none() {
        let test = again(&std::env::current_exe().unwrap());
        let script = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && exec \"$0\" \"$@\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(test.get_program())
            .args(test.get_args())
            .env(AGAIN, "yes")
            .output_in_time();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
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
    // Where a sandbox cannot have a /proc of its own, commands see what the kernel of this machine has registered.
    let directory = root.path().to_owned();
    let (_, seen_by_others) = sh("ls /proc/sys/fs/binfmt_misc")
        .with(|spec| (spec.root, spec.stderr) = (RootFileSystem::Directory(directory), Some(nothing())))
        .run(&spawner);
    for _ in 0..4 {
        let attack = sh(attack).with(|spec| spec.stderr = Some(nothing()));
        let (exit, output) = in_root(attack, root.path(), emulator()).run(&spawner);
        assert_eq!((exit.outcome, output), (FOREIGN, format!("{seen_by_others}/bin/foreign\n")));
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
        SandboxError::SetUp(failure) => {
            assert!(failure.to_string().contains("register qemu as the emulator"), "{failure}");
        }
        other => panic!("{other}"),
    }
    let relative = Emulator { program: "qemu".into(), ..emulator() };
    let error = in_root(command(["sh"]), root.path(), relative).start(&full()).err().unwrap();
    assert!(matches!(error, SandboxError::InvalidPath { role: "emulator", .. }), "{error}");
}

#[test]
fn a_command_may_have_its_own_registrations_for_its_own_children_only() {
    let root = foreign_root_with(&["/usr/bin/unshare", "/usr/bin/mount"]);
    write_foreign_program(&root.path().join("bin/foreign"));
    let spawner = Spawner::start(&full()).unwrap();
    let wrong = Emulator { program: "/bin/ls".into(), ..emulator() }.registration().unwrap();
    let attack = "unshare --user --map-root-user --mount sh -c '
            mount -t binfmt_misc none /tmp && printf %s \"$WRONG\" > /tmp/register && /bin/foreign'
        echo $?
        /bin/foreign";
    let attack = sh(attack).with(|spec| {
        spec.env.insert("WRONG".into(), OsString::from_vec(wrong));
    });
    let (exit, output) = in_root(attack, root.path(), emulator()).run(&spawner);
    // It did work, for those children: ls was given the file and argv[0].
    assert_eq!(output, "/bin/foreign\n/bin/foreign\n0\n/bin/foreign\n");
    assert_eq!(exit.outcome, FOREIGN);
    for _ in 0..2 {
        let (exit, output) = in_root(command(["/bin/foreign"]), root.path(), emulator()).run(&spawner);
        assert_eq!((exit.outcome, output.as_str()), (FOREIGN, "/bin/foreign\n"));
    }
}

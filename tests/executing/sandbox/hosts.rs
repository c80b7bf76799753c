//! Hosts that allow less than ours: unprivileged users, containers, old kernels.
//!
//! A system call filter on the test's own thread, which the init inherits, makes this kernel as narrow-minded
//! as theirs.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{NetworkIsolation, Sandbox, SandboxError};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::running::{CROSSWHEEL, daemon, sh};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::{InTime, scope};

/// Runs `test` where these system calls give this error.
fn refusing(error: i32, calls: &[(i64, Vec<SeccompRule>)], test: impl FnOnce() + Send) {
    let rules: BTreeMap<_, _> = calls.iter().cloned().collect();
    let errno = SeccompAction::Errno(error.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    scope("a test on a host that allows less", |scope| {
        let on_its_own_thread = scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            test();
        });
        if let Err(panic) = on_its_own_thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// What the default policies of container runtimes do.
fn in_a_container_without_namespaces(test: impl FnOnce() + Send) {
    let new_user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let asks_for_it =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(new_user), new_user)
            .unwrap();
    let rule = vec![SeccompRule::new(vec![asks_for_it]).unwrap()];
    refusing(libc::EPERM, &[(libc::SYS_clone, rule.clone()), (libc::SYS_unshare, rule)], test);
}

#[test]
fn a_host_without_namespaces_is_found_out_and_said_so() {
    in_a_container_without_namespaces(|| {
        let sandbox = Sandbox::detect(SandboxMode::Auto, CROSSWHEEL.into()).unwrap();
        let isolation = sandbox.isolation();
        assert!(!isolation.namespaces);
        assert_eq!(isolation.network, NetworkIsolation::Seccomp);
        assert_eq!(isolation.lost.len(), 1);
        assert!(
            isolation.lost[0].contains("create namespaces") && isolation.lost[0].contains("not permitted"),
            "{isolation:?}"
        );

        let token = token();
        let (_, output) = daemon("sys.exit(0)", &token).run(&sandbox);
        assert_eq!(output, "ready\n");
        assert_eq!(processes_with(&token).len(), 0);
    });
}

#[test]
fn a_host_without_namespaces_is_refused_if_they_are_required() {
    in_a_container_without_namespaces(|| {
        match Sandbox::detect(SandboxMode::Required, CROSSWHEEL.into()).map(drop) {
            Err(error @ SandboxError::NamespacesUnavailable { .. }) => {
                let text = error.to_string();
                assert!(text.contains("create namespaces: Operation not permitted"), "{text}");
                assert!(text.contains("To get one, "), "{text}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_host_without_filters_either_loses_the_network_isolation_and_says_so() {
    refusing(libc::EINVAL, &[(libc::SYS_seccomp, vec![])], || {
        let sandbox = Sandbox::detect(SandboxMode::Off, CROSSWHEEL.into()).unwrap();
        assert_eq!(sandbox.isolation().network, NetworkIsolation::None);
        assert!(sandbox.isolation().lost[0].contains("network isolation"), "{:?}", sandbox.isolation());
        sh("true").output(&sandbox);
    });
}

/// No mount_setattr (before Linux 5.12), no close_range (5.9), no pidfd_open (5.3).
#[test]
fn old_kernels_protect_the_host_as_well() {
    let missing =
        [libc::SYS_mount_setattr, libc::SYS_close_range, libc::SYS_pidfd_open].map(|call| (call, vec![]));
    refusing(libc::ENOSYS, &missing, || {
        let sandbox = Sandbox::detect(SandboxMode::Required, CROSSWHEEL.into()).unwrap();
        let work = tempfile::tempdir().unwrap();
        // Every mount is either private or read-only.
        let script = "
            echo made > /crosswheel/result
            while read source target type options rest; do
                case $options in
                    rw,*) echo $target ;;
                esac
            done < /proc/mounts";
        let output = sh(script).writable(work.path(), "/crosswheel").output(&sandbox);
        let mut writable: Vec<&str> = output.lines().collect();
        writable.retain(|mount| !mount.starts_with("/dev/"));
        writable.sort_unstable();
        // One of the directories in memory covers what all of them are parts of.
        writable.dedup();
        assert_eq!(writable, ["/crosswheel", "/proc", "/run", "/tmp", "/var/tmp"]);

        let plain = Sandbox::detect(SandboxMode::Off, CROSSWHEEL.into()).unwrap();
        let token = token();
        daemon("sys.exit(0)", &token).output(&plain);
        assert_eq!(processes_with(&token).len(), 0);
    });
}

/// Container runtimes cover parts of /proc; the kernel then refuses a new one, which would uncover them.
#[test]
fn a_container_that_covers_parts_of_proc_loses_only_the_private_proc() {
    let script = format!(
        "mount -t tmpfs cover /proc/sys/kernel || exit 99
        exec {CROSSWHEEL} sandbox-run --sandbox required -- sh -c '
            test -e /proc/sys/kernel/osrelease && echo uncovered
            (: >> /proc/self/comm) 2>/dev/null && echo writable
            (sleep 1000 &)
            echo $$ $(id -u)'"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .output_in_time();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(stdout, "2 1000\n", "{stderr}");
    assert!(stderr.contains("does not allow a private /proc"), "{stderr}");
}

/// Namespaces need no privileges. As root this test becomes nobody; as anybody else, it is what all the
/// others are too.
#[test]
fn an_unprivileged_user_has_a_full_sandbox_too() {
    let directory = tempfile::tempdir().unwrap();
    fs_err::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // The build directory may be one that nobody else can enter.
    let crosswheel = directory.path().join("crosswheel");
    fs_err::copy(CROSSWHEEL, &crosswheel).unwrap();
    let work = directory.path().join("work");
    fs_err::create_dir(&work).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        fs_err::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&crosswheel);
        command
    } else {
        Command::new(&crosswheel)
    };
    let script = "
        echo made > result
        (: >> /etc/passwd) 2>/dev/null && echo bad
        (sleep 1000 &)
        echo $(id -u) $(hostname) $(ls /tmp | wc -l) $(ls /sys/class/net | wc -l)
        python3 -c 'import socket
socket.create_server((\"127.0.0.1\", 0))
socket.create_connection((\"192.0.2.1\", 80))' 2>&1 | tail -n 1";
    let output = command
        .args([
            "sandbox-run",
            "--sandbox",
            "required",
            "--working-directory",
            "/crosswheel",
            "--bind-writable",
        ])
        .arg(format!("{}:/crosswheel", work.display()))
        .args(["--", "sh", "-c", script])
        .output_in_time();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(stderr, "");
    let mut lines = stdout.lines();
    assert!(lines.next().unwrap().starts_with("1000 crosswheel 0 "), "{stdout}");
    assert!(lines.next().unwrap().contains("Network is unreachable"), "{stdout}");
    assert_eq!(fs_err::read_to_string(work.join("result")).unwrap(), "made\n");
}

/// What a shell or a build tool leaks into us must not reach the command, nor what it set for itself.
#[test]
fn descriptors_masks_and_ignored_signals_are_not_handed_down() {
    for mode in ["required", "off"] {
        let script = format!(
            "umask 077; trap '' HUP; exec 9</etc/passwd
            exec {CROSSWHEEL} sandbox-run --sandbox {mode} -- sh -c 'ls /proc/self/fd; umask; grep SigIgn /proc/self/status'"
        );
        let output = Command::new("sh").args(["-c", &script]).output_in_time();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(stdout, "0\n1\n2\n3\n0022\nSigIgn:\t0000000000000000\n", "{stderr}");
    }
}

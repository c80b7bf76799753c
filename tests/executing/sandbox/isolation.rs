//! What a command sees and what it cannot touch.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crosswheel::sandbox::{Bind, NetworkIsolation, Outcome};

use super::running::{command, full, plain, python, sh};
use crate::support::waiting::Lines;

const CONNECT: &str = "
import socket, sys
try:
    socket.create_connection(('127.0.0.1', int(sys.argv[1])))
except OSError as error:
    sys.exit(f'refused: {error}')
";

#[test]
fn a_listener_of_the_host_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for sandbox in [full(), plain()] {
        let (exit, output) = python(CONNECT, &port).run(&sandbox);
        assert_eq!(exit.outcome, Outcome::Code(1), "{output}");
        assert!(output.contains("refused"), "{output}");
    }
}

#[test]
fn a_listener_of_the_host_can_be_reached_with_permission() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for sandbox in [full(), plain()] {
        python(CONNECT, &port).with(|spec| spec.network = true).output(&sandbox);
    }
}

#[test]
fn loopback_works_inside() {
    let program = "
import socket
for family, address in [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')]:
    if family == socket.AF_INET6 and not socket.has_ipv6: continue
    listener = socket.create_server((address, 0), family=family)
    client = socket.create_connection(listener.getsockname()[:2])
    client.sendall(b'hello')
    assert listener.accept()[0].recv(5) == b'hello'
";
    python(program, "").output(&full());
}

#[test]
fn without_namespaces_only_unix_and_netlink_sockets_can_be_made() {
    let sandbox = plain();
    assert_eq!(sandbox.isolation().network, NetworkIsolation::Seccomp);
    let program = "
import errno, socket
for family in range(1, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            refused = False
        except OSError as error:
            refused = error.errno == errno.EACCES
        assert refused == (family not in (socket.AF_UNIX, socket.AF_NETLINK)), (family, kind)
left, right = socket.socketpair(socket.AF_UNIX)
left.sendall(b'x')
assert right.recv(1) == b'x'
";
    python(program, "").output(&sandbox);
}

/// io_uring makes sockets that no filter on `socket` sees.
#[test]
fn without_namespaces_there_are_no_rings() {
    let program = "
import ctypes, errno, os, platform
number = 425
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
assert libc.syscall(number, 1, parameters) == -1
assert ctypes.get_errno() == errno.ENOSYS, ctypes.get_errno()
";
    python(program, "").output(&plain());
}

#[test]
fn the_work_directory_is_writable_at_its_fixed_path_and_nothing_else_is() {
    let work = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs_err::write(outside.path().join("precious"), "untouched").unwrap();
    let script = format!(
        "pwd
        echo made > result
        for file in {}/precious /etc/passwd /etc/new /new /usr/new /sys/kernel/uevent_seqnum /dev/new \
            /proc/sys/kernel/core_pattern /proc/sysrq-trigger /crosswheel-sibling /home/new
        do
            if (: >> $file) 2>/dev/null; then echo \"writable: $file\"; fi
        done",
        outside.path().display()
    );
    let output = sh(&script)
        .writable(work.path(), "/crosswheel/work")
        .with(|spec| {
            spec.working_directory = "/crosswheel/work".into();
            spec.visible_host_paths.push(outside.path().to_owned());
        })
        .output(&full());
    assert_eq!(output, "/crosswheel/work\n");
    assert_eq!(fs_err::read_to_string(work.path().join("result")).unwrap(), "made\n");
    assert_eq!(fs_err::read_to_string(outside.path().join("precious")).unwrap(), "untouched");
    assert!(!Path::new("/crosswheel").exists());
}

/// Whoever is root outside owns the disks, and could write to them through their devices whatever the mounts
/// say.
#[test]
fn no_devices_but_the_harmless_ones() {
    let script = "
        echo lost > /dev/null && head -c 4 /dev/urandom | wc -c && head -c 4 /dev/zero | wc -c && test -c /dev/tty
        ls -1 /dev
        find / -xdev -type b 2>/dev/null";
    let output = sh(script).output(&full());
    let expected =
        "4\n4\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(output, expected);
}

#[test]
fn terminals_and_shared_memory_work() {
    let program = "
import multiprocessing, os, pty
master, slave = pty.openpty()
assert os.isatty(slave)
os.write(slave, b'x')
assert os.read(master, 1) == b'x'
multiprocessing.Lock()
open('/dev/shm/mine', 'w').close()
";
    python(program, "").output(&full());
    assert!(!Path::new("/dev/shm/mine").exists());
}

#[test]
fn tmp_is_private_and_empty() {
    let on_host = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let script = "
        ls -A /tmp /var/tmp /run
        echo mine > /tmp/mine && cat /tmp/mine";
    let output = sh(script).output(&full());
    assert_eq!(output, "/run:\n\n/tmp:\n\n/var/tmp:\nmine\n");
    assert!(!Path::new("/tmp/mine").exists());
    drop(on_host);
}

#[test]
fn named_paths_stay_visible_below_tmp_and_links_to_them_lead_somewhere() {
    let tree = tempfile::tempdir_in("/tmp").unwrap();
    let real = tree.path().join("real");
    fs_err::create_dir(&real).unwrap();
    fs_err::write(real.join("tool"), "#!/bin/sh\necho works\n").unwrap();
    fs_err::set_permissions(real.join("tool"), PermissionsExt::from_mode(0o755)).unwrap();
    let link = tree.path().join("link");
    fs_err::os::unix::fs::symlink(&real, &link).unwrap();
    fs_err::write(tree.path().join("hidden"), "").unwrap();

    let script = format!(
        "{link}/tool && {real}/tool && cd {tree} && ls -A && cd real && if (: > new) 2>/dev/null; then echo bad; fi",
        link = link.display(),
        real = real.display(),
        tree = tree.path().display()
    );
    let output = sh(&script).with(|spec| spec.visible_host_paths.push(link)).output(&full());
    assert_eq!(output, "works\nworks\nlink\nreal\n");
}

#[test]
fn binds_are_mounted_in_order_and_may_be_files_or_read_only() {
    let [outer, inner] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fs_err::create_dir(outer.path().join("inner")).unwrap();
    fs_err::write(outer.path().join("seen"), "outer").unwrap();
    fs_err::write(inner.path().join("seen"), "inner").unwrap();
    let bind =
        |host: &Path, inside: &str, writable| Bind { host: host.to_owned(), inside: inside.into(), writable };
    let binds = vec![
        bind(outer.path(), "/crosswheel", false),
        bind(inner.path(), "/crosswheel/inner", true),
        bind(&outer.path().join("seen"), "/elsewhere/file", false),
    ];
    let script = "
        cat /crosswheel/seen /crosswheel/inner/seen /elsewhere/file
        (: > /crosswheel/new) 2>/dev/null && echo bad
        (: > /elsewhere/file) 2>/dev/null && echo bad
        (: > /elsewhere/new) 2>/dev/null && echo bad
        : > /crosswheel/inner/new";
    assert_eq!(sh(script).with(|spec| spec.binds = binds).output(&full()), "outerinnerouter");
    assert!(inner.path().join("new").exists());
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    for sandbox in [full(), plain()] {
        let prepared = command(["/usr/bin/env"]).with(|spec| {
            spec.env.clear();
            spec.env.insert("ONLY".into(), "this\nand that".into());
        });
        assert_eq!(prepared.output(&sandbox), "ONLY=this\nand that\n");
    }
}

#[test]
fn the_command_is_nobody_special_on_a_host_without_a_name() {
    let script = "
        echo $(id -u) $(id -g) $(hostname) $(umask)
        grep -E '^(Cap|NoNewPrivs)' /proc/self/status | cut -f2 | sort -u";
    let output = sh(script).output(&full());
    assert_eq!(output, "1000 1000 crosswheel 0022\n0000000000000000\n1\n");
}

#[test]
fn only_its_own_processes_are_visible() {
    let output =
        sh("cd /proc && echo [0-9]* && cat /proc/1/environ /proc/1/maps 2>/dev/null | wc -c").output(&full());
    let (processes, readable) = output.split_once('\n').unwrap();
    assert!(processes.split(' ').all(|pid| pid.parse::<u32>().unwrap() < 10), "{processes}");
    assert_eq!(readable.trim(), "0", "the command can read the memory of what watches over it");
}

#[test]
fn signals_limits_session_and_umask_do_not_depend_on_who_started_it() {
    let script = "
        grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u
        umask
        ulimit -c
        test $(ps -o sid= -p $$) -eq $$ && echo leads its session
        ls /proc/self/fd";
    for sandbox in [full(), plain()] {
        // `ls` itself has the directory open.
        assert_eq!(sh(script).output(&sandbox), "0000000000000000\n0022\n0\nleads its session\n0\n1\n2\n3\n");
    }
}

#[test]
fn standard_input_is_what_was_given_and_both_outputs_may_differ() {
    for sandbox in [full(), plain()] {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.write_all(b"question").unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let (errors, errors_writer) = std::io::pipe().unwrap();
        let prepared = sh("cat; echo complaint >&2").with(|spec| {
            spec.stdin = Some(theirs.into());
            spec.stderr = Some(errors_writer.into());
        });
        assert_eq!(prepared.output(&sandbox), "question");
        assert_eq!(Lines::of("the command", errors).rest(), "complaint\n");

        assert_eq!(sh("cat; echo end >&2").output(&sandbox), "end\n");
    }
}

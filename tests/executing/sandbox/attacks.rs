//! Attacks on what commands share with the host and with each other: each test is one, named after what it would have
//! achieved.

use std::fs::TryLockError;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{Bind, MetLimit, Outcome, RootFileSystem, Spawner};
use tempfile::TempDir;

use super::running::{CROSSWHEEL, again, again_as_nobody, again_as_nobody_after, full, plain, python, sh};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::{InTime, in_time, wait_until};

/// A directory of the host that is not below one of which commands have their own.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// With namespaces, and nothing to be seen of `hidden`.
fn hiding(hidden: &Path) -> Spawner {
    Spawner::detect(SandboxMode::Required, CROSSWHEEL.into(), &[hidden.to_owned()]).unwrap()
}

#[test]
fn control_groups_of_the_host_cannot_be_mounted_or_killed() {
    let program = "
import ctypes, os, subprocess, sys
NEWNS, NEWCGROUP, NEWUSER = 0x20000, 0x2000000, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    return result if result >= 0 else -ctypes.get_errno()
unshare, clone3 = (97, 435) if os.uname().machine == 'aarch64' else (272, 435)
def attempt(flags):
    if os.fork() == 0:
        uid, gid = os.getuid(), os.getgid()
        got = call(unshare, flags)
        if got == 0:
            open('/proc/self/setgroups', 'w').write('deny')
            open('/proc/self/uid_map', 'w').write(f'0 {uid} 1')
            open('/proc/self/gid_map', 'w').write(f'0 {gid} 1')
            print('unshared', hex(flags))
            for kind, options in [(b'cgroup2', None), *((b'cgroup', name) for name in (b'memory', b'pids', b'cpu', b'none,name=systemd'))]:
                if libc.mount(b'none', b'/tmp', kind, 0, options) == 0:
                    print('mounted', kind, options)
                    for name in ('cgroup.kill', 'tasks', 'cgroup.procs'):
                        if os.access(f'/tmp/{name}', os.W_OK): print('writable', name)
                    libc.umount2(b'/tmp', 2)
            for path in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/pids'):
                if libc.mount(None, path.encode(), None, 0x20 | 0x1000, None) == 0: print('remounted', path)
                try:
                    open(path + '/cgroup.procs', 'a').close()
                    print('writable', path)
                except OSError: pass
        else:
            print('refused', hex(flags), os.strerror(-got))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
attempt(NEWUSER | NEWNS)
attempt(NEWUSER | NEWNS | NEWCGROUP)
attempt(NEWCGROUP)
clone = (ctypes.c_uint64 * 11)(NEWUSER | NEWCGROUP, 0, 0, 0, 17)
got = call(clone3, clone, ctypes.sizeof(clone))
if got == 0: os._exit(0)
print('clone3', os.strerror(-got))
";
    let output = python(program, "").output(&full());
    let expected = "unshared 0x10020000\nrefused 0x12020000 Operation not permitted\n\
                    refused 0x2000000 Operation not permitted\nclone3 Function not implemented\n";
    assert_eq!(output, expected);
    again_as_nobody();
}

#[test]
fn no_socket_leads_past_the_network_namespace() {
    let program = "
import errno, socket
made = []
for family in range(0, 64):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
            made.append(family)
        except OSError as error:
            if family not in (1, 2, 10, 16):
                assert error.errno == errno.EAFNOSUPPORT, (family, error)
print(sorted(set(made)))
";
    for network in [false, true] {
        let output = python(program, "").with(|spec| spec.network = network).output(&full());
        assert_eq!(output, "[1, 2, 10, 16]\n", "network: {network}");
    }
    again_as_nobody();
}

const CONNECT: &str = "
import os, socket, sys
path = sys.argv[1]
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    with socket.socket(socket.AF_UNIX, kind) as client:
        try:
            os.chdir(os.path.dirname(path))
            client.connect(os.path.basename(path))
            print('connected')
        except OSError as error:
            print(error.strerror)
";

/// A read-only mount does not keep anybody from that.
#[test]
fn unix_sockets_of_the_host_cannot_be_connected_to_wherever_they_are() {
    let directory = directory();
    let early = directory.path().join("early");
    let _listener = UnixListener::bind(&early).unwrap();
    let spawner = Spawner::start(&full()).unwrap();
    // Those of the first command; of another one later, in the same zygote; and one made only then.
    for name in ["early", "late", "later"] {
        let path = directory.path().join(name);
        let _listener = (name != "early").then(|| UnixListener::bind(&path).unwrap());
        let output = python(CONNECT, path.to_str().unwrap()).output(&spawner);
        assert!(!output.contains("connected"), "{name}: {output}");
        assert!(output.contains("Connection refused"), "{name}: {output}");
    }
    // In a pool that sees a directory alone, too, be it by another name.
    let link = directory.path().with_extension("link");
    symlink(directory.path(), &link).unwrap();
    fs_err::create_dir(directory.path().join("shown")).unwrap();
    let _listener = UnixListener::bind(directory.path().join("shown/socket")).unwrap();
    for shown in [directory.path().join("shown"), link.join("shown")] {
        let root = RootFileSystem::HostDirectories(vec!["/usr".into(), shown.clone()]);
        let path = shown.join("socket");
        let prepared = python(CONNECT, path.to_str().unwrap()).with(|spec| spec.root = root);
        let output = prepared.output(&spawner);
        assert!(output.contains("Connection refused") && !output.contains("connected"), "{output}");
    }
    fs_err::remove_file(link).unwrap();
}

/// Through a directory that cannot be read nobody can look for sockets, but whoever knows their names gets there.
#[test]
fn a_directory_that_can_be_entered_and_not_listed_does_not_lead_to_its_sockets() {
    const CLOSED: &str = "CROSSWHEEL_TEST_CLOSED";
    if let Some(closed) = std::env::var_os(CLOSED) {
        for directory in [Path::new(&closed).to_owned(), Path::new(&closed).join("inner")] {
            assert!(directory.read_dir().is_err());
            let path = directory.join("socket");
            let _listener = UnixListener::bind(&path).unwrap();
            let output = python(CONNECT, path.to_str().unwrap()).output(&full());
            let refused =
                ["Connection refused", "Permission denied"].iter().any(|words| output.contains(words));
            assert!(refused && !output.contains("connected"), "{output}");
            // As far as it could be read, it still can.
            let script = format!("cd {} && echo entered", directory.display());
            assert_eq!(sh(&script).output(&full()), "entered\n");
        }
    }
    again_as_nobody_after(&format!(
        "mount -t tmpfs -o mode=733 none /mnt; mkdir -m 733 /mnt/inner; export {CLOSED}=/mnt"
    ));
}

#[test]
fn the_store_is_nowhere_to_be_seen_by_no_path() {
    let directory = directory();
    let store = directory.path().join("store");
    fs_err::create_dir_all(store.join("cas/ab")).unwrap();
    fs_err::write(store.join("cas/ab/secret"), "secret").unwrap();
    symlink(&store, directory.path().join("link")).unwrap();
    fs_err::write(directory.path().join("beside"), "beside").unwrap();
    let script = format!(
        "cd {} && cat beside store/cas/ab/secret link/cas/ab/secret 2>/dev/null; ls store
        touch store/new 2>/dev/null && echo writable
        cat /proc/*/root{}/cas/ab/secret 2>/dev/null
        unshare --user --map-root-user --mount sh -c 'umount {0}/store && cat {0}/store/cas/ab/secret' 2>/dev/null
        echo end",
        directory.path().display(),
        store.display(),
    );
    let spawner = hiding(&directory.path().join("link"));
    for _ in 0..3 {
        assert_eq!(sh(&script).output(&spawner), "besideend\n");
    }
    let only = RootFileSystem::HostDirectories(vec!["/usr".into(), directory.path().to_owned()]);
    assert_eq!(sh(&script).with(|spec| spec.root = only).output(&spawner), "besideend\n");
}

/// What a command is given of the store is seen all the same, and nothing beside it.
#[test]
fn of_the_store_a_command_sees_what_it_is_given_alone() {
    let directory = directory();
    let store = directory.path().to_owned();
    fs_err::create_dir_all(store.join("a/given")).unwrap();
    for name in ["a/given/file", "a/other", "other"] {
        fs_err::write(store.join(name), name).unwrap();
    }
    let spawner = hiding(&store);
    let given = store.join("a/given");
    let script = format!("find {} | sort; cat {}/file", store.display(), given.display());
    for _ in 0..2 {
        let bind = Bind { host: given.clone(), inside: "/given".into(), writable: true };
        let prepared = sh(&script).with(|spec| {
            spec.binds.push(bind);
            spec.visible_host_paths.push(given.clone());
        });
        let [top, a] = [store.display().to_string(), store.join("a").display().to_string()];
        let expected = format!("{top}\n{a}\n{a}/given\n{a}/given/file\na/given/file");
        assert_eq!(prepared.output(&spawner), expected);
        assert_eq!(sh(&format!("ls -A {top}; echo end")).output(&spawner), "end\n");
    }
}

/// The file systems of one host may be mounted at several places.
#[test]
fn another_mount_of_the_stores_file_system_does_not_show_it() {
    /// Where it is, in a mount namespace of this test's own.
    const STORE: &str = "CROSSWHEEL_TEST_STORE";
    if let Some(store) = std::env::var_os(STORE) {
        return look_for_the_store_at_its_other_place(Path::new(&store));
    }
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    for name in ["file-system", "again"] {
        fs_err::create_dir(path(name)).unwrap();
    }
    let script = format!(
        "set -e; cd \"$0\"
        mount -t tmpfs none file-system
        mkdir -p file-system/cache/store
        echo secret > file-system/cache/store/blob
        mount --bind file-system/cache again
        export {STORE}=\"$0/file-system/cache/store\"
        exec \"$@\""
    );
    let test = again(&std::env::current_exe().unwrap());
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(directory.path())
        .arg(test.get_program())
        .args(test.get_args())
        .output_in_time();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "in a mount namespace of its own: {text}");
}

fn look_for_the_store_at_its_other_place(store: &Path) {
    let again = store.ancestors().nth(3).unwrap().join("again");
    assert!(again.join("store/blob").exists());
    let script = format!("ls -A {} {}/store; echo end", store.display(), again.display());
    let output = sh(&script).output(&hiding(store));
    let mut found: Vec<_> = output.lines().filter(|line| !line.is_empty()).collect();
    found.sort_unstable();
    let [first, second] = [store.to_owned(), again.join("store")].map(|path| format!("{}:", path.display()));
    let mut expected = vec![first.as_str(), &second, "end"];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// `flock` and leases need no more than a file that can be read, and are everybody's.
#[test]
fn no_lock_or_lease_of_a_command_is_felt_by_the_host() {
    let directory = directory();
    let file = directory.path().join("file");
    fs_err::write(&file, "content").unwrap();
    let program = "
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
try: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
except OSError: pass
print('locked', flush=True)
sys.stdin.read()
";
    let (_writer, reader) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (writer, reader)
    };
    let prepared = python(program, file.to_str().unwrap()).with(|spec| spec.stdin = Some(reader.into()));
    let mut running = prepared.start(&full()).unwrap();
    assert_eq!(running.line(), "locked");
    let host = fs_err::File::options().read(true).write(true).open(&file).unwrap();
    let locked = host.file().try_lock();
    assert!(!matches!(locked, Err(TryLockError::WouldBlock)), "{locked:?}");
    locked.unwrap();
}

const MEGABYTE: u64 = 1 << 20;

#[test]
fn a_full_tmp_ends_its_command_and_nothing_else() {
    let script = "for directory in /tmp /var/tmp /run /dev/shm; do
            head -c 1M /dev/zero > $directory/a 2>/dev/null && echo $directory
        done
        for directory in /tmp /var/tmp /dev/shm; do head -c 40M /dev/zero > $directory/b; done
        sleep 1000";
    let prepared = sh(script).with(|spec| spec.limits.memory = Some(64 * MEGABYTE));
    let (exit, output) = prepared.run(&full());
    assert_eq!(exit.met, Some(MetLimit::Memory(64 * MEGABYTE)), "{output}");
    assert!(exit.killed && !exit.timed_out, "{exit:?}");
    assert!(output.starts_with("/tmp\n/var/tmp\n"), "{output}");
    // One directory alone cannot take more.
    let script = "head -c 200M /dev/zero > /tmp/a; stat -c %s /tmp/a; df --output=size -B1 /run | tail -1";
    let prepared = sh(script).with(|spec| spec.limits.memory = Some(64 * MEGABYTE));
    let (exit, output) = prepared.run(&full());
    // A little more, so that it is noticed.
    assert!(exit.met.is_some() || output.contains("68157440\n"), "{exit:?} {output}");
}

#[test]
fn memory_without_end_is_ended_by_the_limit_that_is_named() {
    let program = "
import os, time
if os.fork() == 0:
    blocks = []
    while True:
        blocks.append(bytearray(8 << 20))
        time.sleep(0.005)
os.wait()
time.sleep(1000)
";
    for sandbox in [full(), plain()] {
        let prepared = python(program, "").with(|spec| spec.limits.memory = Some(200 * MEGABYTE));
        let (exit, output) = prepared.run(&sandbox);
        assert_eq!(exit.met, Some(MetLimit::Memory(200 * MEGABYTE)), "{output}");
    }
}

/// The kernel shows no memory of a process whose first thread has ended, and none of the others.
#[test]
fn memory_of_a_process_whose_first_thread_has_ended_counts() {
    let program = "
import ctypes, os, threading, time
def take():
    time.sleep(0.2)
    held = []
    while True:
        held.append(bytearray(8 << 20))
        time.sleep(0.005)
threading.Thread(target=take).start()
# Of the thread alone.
ctypes.CDLL(None).syscall(93 if os.uname().machine == 'aarch64' else 60, 0)
";
    for sandbox in [full(), plain()] {
        let prepared = python(program, "").with(|spec| spec.limits.memory = Some(200 * MEGABYTE));
        let (exit, output) = prepared.run(&sandbox);
        assert_eq!(exit.met, Some(MetLimit::Memory(200 * MEGABYTE)), "{exit:?} {output}");
    }
}

#[test]
fn memory_in_segments_that_nobody_has_attached_counts() {
    let program = "
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for _ in range(40):
    segment = libc.shmget(0, 16 << 20, 0o1600)
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, 16 << 20)
    libc.shmdt(ctypes.c_void_p(address))
    time.sleep(0.02)
time.sleep(60)
";
    let prepared = python(program, "").with(|spec| spec.limits.memory = Some(200 * MEGABYTE));
    let (exit, output) = prepared.run(&full());
    assert_eq!(exit.met, Some(MetLimit::Memory(200 * MEGABYTE)), "{exit:?} {output}");
}

/// One piece of memory, mapped again and again, takes no more memory, but much time to be measured.
#[test]
fn who_makes_measuring_slow_is_measured_all_the_same() {
    let program = "
import mmap, os, time
file = os.memfd_create('shared')
os.truncate(file, 64 << 20)
maps = []
for _ in range(40):
    maps.append(mmap.mmap(file, 64 << 20))
    for at in range(0, 64 << 20, 4096): maps[-1][at] = 1
for _ in range(400):
    try:
        if os.fork() == 0: time.sleep(60)
    except OSError: pass
time.sleep(60)
";
    let prepared = python(program, "").with(|spec| {
        spec.limits.memory = Some(300 * MEGABYTE);
        spec.limits.processes = Some(50);
    });
    let (exit, output) = prepared.run(&full());
    assert!(exit.met.is_some(), "{exit:?} {output}");
}

/// Without namespaces, who watches over a command is a process like others of its user.
#[test]
fn a_supervisor_that_is_stopped_ends_its_tree_all_the_same() {
    let program = "
import os, signal, time
parent = os.getppid()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('ready', flush=True)
        while True:
            os.kill(parent, signal.SIGSTOP)
            time.sleep(0.3)
    os._exit(0)
time.sleep(1000)
";
    let token = token();
    let mut running = python(program, &token).start(&plain()).unwrap();
    assert_eq!(running.line(), "ready");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    let ended =
        in_time("the end of a tree whose supervisor is stopped", || running.tree.wait(Some(deadline)));
    // Its supervisor had to be ended if it did not get to say so.
    assert!(ended.as_ref().is_ok_and(|exit| exit.timed_out) || ended.is_err(), "{ended:?}");
    wait_until("all of it to be gone", || processes_with(&token).is_empty());
}

#[test]
fn processes_without_end_are_ended_by_the_limit_that_is_named() {
    let program = "
import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(1000)
    except OSError: time.sleep(0.01)
";
    for sandbox in [full(), plain()] {
        let prepared = python(program, "").with(|spec| spec.limits.processes = Some(50));
        let (exit, output) = prepared.run(&sandbox);
        assert_eq!(exit.met, Some(MetLimit::Processes(50)), "{output}");
    }
}

/// Pages that are shared are not everybody's: a limit would hit those who do nothing wrong. There are not more of them than
/// can be counted in time on a machine that has much else to do.
#[test]
fn memory_that_processes_share_counts_once() {
    let program = "
import mmap, os, time
shared = mmap.mmap(-1, 30 << 20)
for at in range(0, 30 << 20, 4096): shared[at] = 1
children = []
for _ in range(6):
    if os.fork() == 0:
        for at in range(0, 30 << 20, 4096): shared[at]
        time.sleep(1)
        os._exit(0)
for _ in range(6): os.wait()
print('done')
";
    let prepared = python(program, "").with(|spec| spec.limits.memory = Some(100 * MEGABYTE));
    let (exit, output) = prepared.run(&full());
    assert_eq!((exit.outcome, exit.met, &*output), (Outcome::Code(0), None, "done\n"));
}

/// Memory that no process has mapped is nobody's to measure but the kernel's.
#[test]
fn memory_in_files_without_a_name_is_ended_by_the_kernel_where_there_are_control_groups() {
    let program = "
import os, time
held = []
block = b'x' * (4 << 20)
while True:
    held.append(os.memfd_create('held'))
    for _ in range(4): os.write(held[-1], block)
    if len(held) > 100: break
print('had', sum(os.fstat(file).st_size for file in held), flush=True)
";
    let spawner = Spawner::detect(SandboxMode::Required, CROSSWHEEL.into(), &[]).unwrap();
    let prepared = python(program, "").with(|spec| spec.limits.memory = Some(200 * MEGABYTE));
    let (exit, output) = prepared.run(&spawner);
    if spawner.isolation().kernel_limits.memory {
        assert_eq!(exit.met, Some(MetLimit::Memory(200 * MEGABYTE)), "{exit:?} {output}");
        assert!(!output.contains("had"), "{output}");
        // The next one is none the worse for it.
        assert_eq!(sh("echo next").output(&spawner), "next\n");
    } else {
        // Nobody promises anything there: `doctor` and the manual say so.
        assert!(output.contains("had"), "{exit:?} {output}");
    }
}

/// The kernel, short of memory, is to look for somebody among them before it looks at us.
#[test]
fn commands_die_before_who_started_them() {
    let own = fs_err::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse::<i32>().unwrap();
    for sandbox in [full(), plain()] {
        let output = sh("cat /proc/self/oom_score_adj").output(&sandbox);
        let theirs = output.trim().parse::<i32>().unwrap();
        assert!(theirs > own && theirs >= 900, "{theirs} and {own}");
    }
}

//! The system calls nobody wraps safely. Everything `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// Proof that this process has one thread. Whoever holds it must not make another: it cannot leave its
/// thread, and the init, the only one to ask for it, makes none.
pub(super) struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// # Errors
    /// If there is another thread, or no way to tell.
    pub(super) fn prove() -> io::Result<Self> {
        let threads = fs_err::read_dir("/proc/self/task")?.count();
        if threads == 1 {
            Ok(Self(PhantomData))
        } else {
            Err(io::Error::other(format!("this process has {threads} threads, and must have one")))
        }
    }
}

/// Which process a clone returned in.
pub(super) enum Side {
    Child,
    Parent(Pid),
}

/// `fork`, into new namespaces. The child must exit or exec, and never return to the caller's caller.
pub(super) fn clone_process(_alone: &SingleThreaded, namespaces: CloneFlags) -> nix::Result<Side> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child gets a copy of all memory and, as a null stack stands for "the same
    // address", goes on where the parent is, as after fork(2). A copy is unsound only if another thread was
    // changing it or held a lock at that moment; `_alone` proves that there is none. Namespace flags do not
    // touch memory. glibc's fork does no more for us than this: there are no atfork handlers, and no libc
    // since glibc 2.25 caches the process id. The order of the arguments after the stack differs between
    // architectures, but they are all null.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
    match Errno::result(result)? {
        0 => Ok(Side::Child),
        pid => {
            Ok(Side::Parent(Pid::from_raw(i32::try_from(pid).expect("the kernel's pids fit its own pid_t"))))
        }
    }
}

/// Runs `child` in a new process that shares our memory, and goes on when that process has executed a program or
/// ended: a `vfork`, which spares the copy of the page tables. What `child` changes in memory is seen here;
/// descriptors, directory, signals, limits and credentials are its own. It should allocate little, as nothing
/// is freed if it executes a program.
pub(super) fn run_in_child<F: FnOnce()>(_alone: &SingleThreaded, child: F) -> nix::Result<Pid> {
    /// The same as that of a thread by Rust's own measure, divided by eight: a few calls, no recursion.
    const STACK_BYTES: usize = 256 << 10;

    extern "C" fn enter<F: FnOnce()>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the address of `child` below, whose owner is suspended until we are done.
        if let Some(child) = unsafe { (*argument.cast::<Option<F>>()).take() } {
            child();
        }
        0
    }

    let mut child = Some(child);
    let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / size_of::<u128>());
    // SAFETY: CLONE_VFORK suspends this process, whose only thread is this one (`_alone`), until the child has
    // executed or ended. So the two never run at once, and all that the child leaves behind is what a function
    // call would: no lock is held in the middle, no value half written. The stack is aligned for every
    // architecture, lives until we go on, and grows down from its end, but for s390x, where libc turns it
    // around. `enter` never unwinds: a panic in an `extern "C"` function aborts the child. When `enter` returns,
    // libc ends the child by a bare system call, without handlers at exit. Thread-local variables are shared,
    // which is what a function call would see too.
    let result = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(
            enter::<F>,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut child).cast(),
        )
    };
    Errno::result(result).map(Pid::from_raw)
}

/// Leaves the session keyring of whoever started us for an empty one, and empties that of our user in our user
/// namespace, which outlives processes: a command finds no keys of the caller or of a command before it. A
/// kernel without keyrings has nothing to be hidden.
pub(super) fn forget_keys() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const CLEAR: libc::c_int = 7;
    const USER_KEYRING: libc::c_int = -4;
    const USER_SESSION_KEYRING: libc::c_int = -5;
    // SAFETY: takes numbers only, and a null pointer where a name may be left out.
    unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>());
        libc::syscall(libc::SYS_keyctl, CLEAR, USER_KEYRING);
        libc::syscall(libc::SYS_keyctl, CLEAR, USER_SESSION_KEYRING);
    }
}

/// Marks every descriptor beyond the standard three as not for the command. Those we open ourselves are so
/// from birth; these are leaks of whoever started whoever started us.
pub(super) fn close_inherited_descriptors_on_exec() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: takes numbers only; closes nothing now, so no descriptor in use anywhere becomes invalid.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11.
    for entry in fs_err::read_dir("/proc/self/fd")? {
        let Some(descriptor) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if descriptor > 2 {
            // SAFETY: takes numbers only, and changes nothing but a flag that matters at exec.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Gives every signal its default disposition (our runtime ignores SIGPIPE, `nohup` SIGHUP, and both would be
/// inherited), and unblocks all.
pub(super) fn reset_signals() -> nix::Result<()> {
    const SIGNALS: usize = 64;
    // The kernel's `struct sigaction` is 32 bytes or less on all 64-bit architectures, and all zeros means:
    // default disposition, no flags, empty mask.
    let default = [0u64; 8];
    for signal in 1..=SIGNALS {
        // SAFETY: the kernel reads `default`, which is larger than it expects and outlives the call; the size
        // of a signal set is a number. The default disposition runs no code of ours. Not libc's function, as
        // that refuses to touch the two signals that libc keeps to itself and that may be inherited as
        // ignored too. SIGKILL and SIGSTOP are refused by the kernel, which is right.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SIGNALS / 8,
            )
        };
    }
    SigSet::all().thread_unblock()
}

/// Makes it impossible to gain a capability by executing a program, for us and all our descendants.
pub(super) fn drop_bounding_set() -> io::Result<()> {
    let mut capability: libc::c_ulong = 0;
    // The kernel says EINVAL past its last capability, which this code may not know by name.
    // SAFETY: takes numbers only.
    while unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
        capability += 1;
    }
    match Errno::last() {
        Errno::EINVAL => Ok(()),
        error => Err(error.into()),
    }
}

/// Gives up all capabilities.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = rustix::thread::CapabilitySet::empty();
    let nothing = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, nothing)?)
}

/// Attributes of a mount that can be added to it.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

pub(super) const READ_ONLY: u64 = 0x1;
pub(super) const NO_SETUID: u64 = 0x2;
pub(super) const NO_DEVICES: u64 = 0x4;

/// `mount_setattr(2)`: adds attributes to the mount at `path` and, if `recursive`, to all below it.
/// Not in Linux before 5.12.
pub(super) fn add_mount_attributes(path: &Path, attributes: u64, recursive: bool) -> nix::Result<()> {
    const AT_RECURSIVE: libc::c_uint = 0x8000;
    let change = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = if recursive { AT_RECURSIVE } else { 0 };
    let result = path.with_nix_path(|path| {
        // SAFETY: `path` is a NUL-terminated string and `change` has the layout and the size of the kernel's
        // `struct mount_attr`; both outlive the call, and the kernel only reads them.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags,
                &raw const change,
                size_of::<MountAttributes>(),
            )
        }
    })?;
    Errno::result(result).map(drop)
}

//! The system calls nobody wraps safely. Everything `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
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

/// Memory for the stack of a process that shares all other memory with us. Kept until we end.
pub(super) struct Stack {
    top: *mut libc::c_void,
}

impl Stack {
    pub(super) fn new() -> io::Result<Self> {
        /// A few calls and no recursion; pages that are not touched cost nothing.
        const BYTES: usize = 1 << 20;
        /// Not less than a page of any architecture. Touching it is the end of who overflows the stack.
        const GUARD_BYTES: usize = 64 << 10;
        // SAFETY: asks for new memory wherever the kernel likes, so nothing in use is touched; the guard lies
        // within what was just mapped, and the end of a mapping is an address one may compute.
        let top = unsafe {
            let (access, kind) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
            );
            let lowest = libc::mmap(std::ptr::null_mut(), BYTES, access, kind, -1, 0);
            if lowest == libc::MAP_FAILED || libc::mprotect(lowest, GUARD_BYTES, libc::PROT_NONE) != 0 {
                return Err(io::Error::last_os_error());
            }
            lowest.byte_add(BYTES)
        };
        Ok(Self { top })
    }
}

/// Runs `child` in a new process, perhaps in new namespaces, that shares our memory, and goes on when that process
/// has ended or executed a program: a `vfork`, which spares copying page tables and pages. Returns the process, to
/// be waited for, whose exit code is what `child` returned.
///
/// What `child` changes in memory is seen here; descriptors, directories, signals, limits and credentials are its
/// own. What it allocates is lost if it executes a program.
pub(super) fn run_in_child<F: FnOnce() -> u8>(
    _alone: &SingleThreaded,
    stack: &mut Stack,
    namespaces: CloneFlags,
    child: F,
) -> nix::Result<Pid> {
    extern "C" fn enter<F: FnOnce() -> u8>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the address of `child` below, whose owner is suspended until we are done.
        let child = unsafe { (*argument.cast::<Option<F>>()).take() };
        child.map_or(0, |child| child().into())
    }

    let mut child = Some(child);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | namespaces.bits();
    // SAFETY: CLONE_VFORK suspends this process, whose only thread is this one (`_alone`), until the child has
    // ended or executed. So the two never run at once, and to us all that happens in memory is what a call of
    // `child` would have done; thread-local variables are shared, too, as they would be in a call. The
    // exception is a child that was killed in the middle, after which callers must not go on (see
    // `end_at_once`). The stack is nobody else's (`&mut`), is aligned, being whole pages, and is large enough or
    // has a guard. `enter` never unwinds: a panic in an `extern "C"` function aborts the child. When it returns,
    // libc ends the child by a bare system call, without handlers at exit.
    let result = unsafe { libc::clone(enter::<F>, stack.top, flags, (&raw mut child).cast()) };
    Errno::result(result).map(Pid::from_raw)
}

/// Ends this process without another look at its memory, which a child that shared it may have left in any state.
pub(super) fn end_at_once(code: i32) -> ! {
    // SAFETY: takes a number and never returns; nothing of ours runs any more.
    unsafe { libc::_exit(code) }
}

/// Strings as the kernel takes them for a program's arguments and environment.
pub(super) struct Strings {
    /// Ends in a null pointer. Each other points into `owned`, which moves without its strings moving.
    pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    pub(super) fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

/// Executes a program; returns only the reason why that failed. Allocates nothing.
pub(super) fn execute(file: &CStr, argv: &Strings, env: &Strings) -> Errno {
    // SAFETY: all three are what execve(2) asks for: a string, and two arrays of pointers to strings that end in
    // a null pointer; they outlive the call.
    unsafe { libc::execve(file.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    Errno::last()
}

/// Keyrings that belong to a nursery and the commands in it alone.
pub(super) struct Keyrings {
    session: bool,
    user: bool,
}

impl Keyrings {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const CLEAR: libc::c_int = 7;
    const SESSION_KEYRING: libc::c_int = -3;
    const USER_KEYRING: libc::c_int = -4;
    const USER_SESSION_KEYRING: libc::c_int = -5;

    /// Leaves the session keyring of whoever started us, with the keys in it, for an empty one. Must be called in a
    /// new user namespace.
    pub(super) fn of_this_user_namespace() -> Self {
        // SAFETY: takes a number, and a null pointer where a name may be left out.
        let joined = unsafe {
            libc::syscall(libc::SYS_keyctl, Self::JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
        };
        // Before Linux 5.3 a user has the same keyring in all user namespaces, and it is not ours to empty. A kernel
        // without keyrings has nothing to be emptied.
        Self { session: joined >= 0, user: joined >= 0 && kernel_is_at_least(5, 3) }
    }

    /// So that no command finds what another has left.
    pub(super) fn clear(&self) {
        let rings = [
            (self.session, Self::SESSION_KEYRING),
            (self.user, Self::USER_KEYRING),
            (self.user, Self::USER_SESSION_KEYRING),
        ];
        for (ours, ring) in rings {
            if ours {
                // SAFETY: takes numbers only.
                unsafe { libc::syscall(libc::SYS_keyctl, Self::CLEAR, ring) };
            }
        }
    }
}

fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    // One that cannot be asked counts as old.
    let release = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers =
        release.split(|other: char| !other.is_ascii_digit()).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0u32), numbers.next().unwrap_or(0u32)) >= (major, minor)
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

//! The system calls nobody wraps safely. Everything `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

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
    namespaces: UnshareFlags,
    child: F,
) -> io::Result<Pid> {
    extern "C" fn enter<F: FnOnce() -> u8>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the address of `child` below, whose owner is suspended until we are done.
        let child = unsafe { (*argument.cast::<Option<F>>()).take() };
        child.map_or(0, |child| child().into())
    }

    let mut child = Some(child);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | namespaces.bits().cast_signed();
    // SAFETY: CLONE_VFORK suspends this process, whose only thread is this one (`_alone`), until the child has
    // ended or executed. So the two never run at once, and to us all that happens in memory is what a call of
    // `child` would have done; thread-local variables are shared, too, as they would be in a call. The
    // exception is a child that was killed in the middle, after which callers must not go on (see
    // `end_at_once`). The stack is nobody else's (`&mut`), is aligned, being whole pages, and is large enough or
    // has a guard. `enter` never unwinds: a panic in an `extern "C"` function aborts the child. When it returns,
    // libc ends the child by a bare system call, without handlers at exit.
    let result = unsafe { libc::clone(enter::<F>, stack.top, flags, (&raw mut child).cast()) };
    checked(result).and_then(|child| Pid::from_raw(child).ok_or_else(|| io::ErrorKind::Other.into()))
}

/// The error that a function of libc left behind, if its answer is that there is one.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Moves this process into new namespaces.
pub(super) fn enter_namespaces(namespaces: UnshareFlags) -> io::Result<()> {
    // Which descriptors there are is no namespace, but can be unshared by the same call.
    let namespaces = namespaces.difference(UnshareFlags::FILES);
    // SAFETY: no thread loses sight of a descriptor, as the table of them is not unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
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
    // execve(2) returns for an error only, and libc's errors all have a number.
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Keyrings that belong to a zygote and the commands in it alone.
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
pub(super) fn reset_signals() -> io::Result<()> {
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
    change_mask(libc::SIG_UNBLOCK, &all_signals())
}

/// Keeps all signals waiting that can be, of which [`ChildEnds`] can still tell.
pub(super) fn block_signals() -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &all_signals())
}

fn all_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: initialises the set, and cannot fail with a valid pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn change_mask(how: libc::c_int, signals: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: reads a set that outlives the call, and writes nothing where the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, signals, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Becomes readable when a child has ended. Signals must be blocked.
pub(super) struct ChildEnds(OwnedFd);

impl ChildEnds {
    pub(super) fn new() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: initialises the set, then adds to it a signal that exists.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            set.assume_init()
        };
        // SAFETY: reads a set that outlives the call; -1 asks for a new descriptor.
        let descriptor =
            checked(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the descriptor is new, so nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Makes it unreadable until another child ends.
    pub(super) fn forget(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.0, &mut [0; size_of::<libc::signalfd_siginfo>()]) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for ChildEnds {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Kills every process of our pid namespace but this one, which must be its process 1.
pub(super) fn kill_all_others() -> io::Result<()> {
    // SAFETY: takes numbers only. A signal that this process gets is not the worse for being sent this way.
    match checked(unsafe { libc::kill(-1, libc::SIGKILL) }) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        // There are none.
        _ => Ok(()),
    }
}

/// What children took that have been waited for, and theirs.
pub(super) struct ChildrenUsage {
    pub user: Duration,
    pub system: Duration,
    /// The most memory that one of them had, in bytes.
    pub largest: u64,
}

impl ChildrenUsage {
    pub(super) fn so_far() -> io::Result<Self> {
        let mut usage = MaybeUninit::zeroed();
        // SAFETY: the kernel writes a whole `rusage` to memory that is ours and large enough for one, for which all
        // zeros would be valid, too.
        let usage: libc::rusage = unsafe {
            checked(libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()))?;
            usage.assume_init()
        };
        // The kernel counts in KiB.
        let largest = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
        Ok(Self { user: duration(usage.ru_utime), system: duration(usage.ru_stime), largest })
    }
}

fn duration(time: libc::timeval) -> Duration {
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(positive(time.tv_sec)) + Duration::from_micros(positive(time.tv_usec))
}

/// Makes it impossible to gain a capability by executing a program, for us and all our descendants.
pub(super) fn drop_bounding_set() -> io::Result<()> {
    let mut capability: libc::c_ulong = 0;
    // The kernel says EINVAL past its last capability, which this code may not know by name.
    // SAFETY: takes numbers only.
    while unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
        capability += 1;
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        error => Err(error),
    }
}

/// Gives up all capabilities.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = rustix::thread::CapabilitySet::empty();
    let nothing = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, nothing)?)
}

/// An instruction of a filter of system calls: classic BPF, as `struct sock_filter` has it. Jumps are forward, counted from
/// the next instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    pub code: u16,
    pub if_so: u8,
    pub if_not: u8,
    pub value: u32,
}

impl Instruction {
    /// BPF_LD | BPF_W | BPF_ABS, BPF_RET | BPF_K, and BPF_JMP | BPF_K with BPF_JEQ, BPF_JGE and BPF_JSET.
    pub(super) const LOAD: u16 = 0x20;
    pub(super) const RETURN: u16 = 0x06;
    pub(super) const EQUAL: u16 = 0x15;
    pub(super) const AT_LEAST: u16 = 0x35;
    pub(super) const ANY_BIT: u16 = 0x45;

    /// Loads 32 bits of what the kernel shows of the call.
    pub(super) fn load(offset: u32) -> Self {
        Self { code: Self::LOAD, if_so: 0, if_not: 0, value: offset }
    }

    /// Skips so many instructions, unless what is loaded is `value`.
    pub(super) fn unless_equal(value: u32, skip: u8) -> Self {
        Self { code: Self::EQUAL, if_so: 0, if_not: skip, value }
    }

    /// Skips so many instructions, unless what is loaded is `value` or more.
    pub(super) fn unless_at_least(value: u32, skip: u8) -> Self {
        Self { code: Self::AT_LEAST, if_so: 0, if_not: skip, value }
    }

    /// Skips so many instructions, unless what is loaded has a bit of `bits`.
    pub(super) fn unless_any_bit(bits: u32, skip: u8) -> Self {
        Self { code: Self::ANY_BIT, if_so: 0, if_not: skip, value: bits }
    }

    /// The call is made.
    pub(super) fn allow() -> Self {
        Self { code: Self::RETURN, if_so: 0, if_not: 0, value: libc::SECCOMP_RET_ALLOW }
    }

    /// The call fails with this error number.
    pub(super) fn refuse(errno: i32) -> Self {
        let value = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        Self { code: Self::RETURN, if_so: 0, if_not: 0, value }
    }

    /// The process is killed.
    pub(super) fn kill() -> Self {
        Self { code: Self::RETURN, if_so: 0, if_not: 0, value: libc::SECCOMP_RET_KILL_PROCESS }
    }
}

/// Has the kernel ask `program` about each system call of this process, and of all that descend from it.
pub(super) fn filter_system_calls(program: &[Instruction]) -> io::Result<()> {
    /// `struct sock_fprog`.
    #[repr(C)]
    struct Program {
        length: libc::c_ushort,
        instructions: *const Instruction,
    }

    let length = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let program = Program { length, instructions: program.as_ptr() };
    // Without it, only who may administer the user namespace may have a filter.
    rustix::thread::set_no_new_privs(true)?;
    // Before Linux 5.16 a filter made all that it watches slower, by guarding it against processors that guess.
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        // SAFETY: `program` has the layout of the kernel's `struct sock_fprog`, and its pointer and length are those of a
        // slice of what has the layout of `struct sock_filter`; the kernel copies both before it returns.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        match last_error_if(result != 0) {
            // A kernel that does not know the flag.
            Err(Errno::INVAL) if flags != 0 => {}
            installed => return Ok(installed?),
        }
    }
    Ok(())
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
pub(super) fn add_mount_attributes(path: &Path, attributes: u64, recursive: bool) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_uint = 0x8000;
    let change = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = if recursive { AT_RECURSIVE } else { 0 };
    path.into_with_c_str(|path| {
        // SAFETY: `path` is a NUL-terminated string and `change` has the layout and the size of the kernel's
        // `struct mount_attr`; both outlive the call, and the kernel only reads them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags,
                &raw const change,
                size_of::<MountAttributes>(),
            )
        };
        if result < 0 { Err(last_error()) } else { Ok(()) }
    })
    .map_err(io::Error::from)
}

fn last_error_if(failed: bool) -> Result<(), Errno> {
    if failed { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

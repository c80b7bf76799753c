//! Programs of other architectures: which ones this kernel runs, natively or through binfmt_misc, where the
//! emulator is that it could be taught to use, and how it is taught. Knows nothing of which root file systems there
//! are, nor of who wants to run what.
//!
//! binfmt_misc is a table in the kernel: a program that begins with these bytes is started by that interpreter
//! (Documentation/admin-guide/binfmt-misc.rst). There is one table for the machine, and since Linux 6.7 every user
//! namespace may have its own, which it needs no privileges to write to, and which holds as long as its file system
//! is kept open. With the flag `F` the interpreter is opened when it is registered, so that it serves programs in
//! any root file system.

mod binfmt_entry;
mod elf;
mod emulator;
mod host;
mod probe;
mod register;

pub use binfmt_entry::{BinfmtEntry, InvalidBinfmtEntry};
pub use elf::program_interpreter;
pub use emulator::{Emulator, registered_name};
pub use host::{BINFMT_MISC, EmulationHost, EmulationObstacle, EmulationSupport};
pub use probe::{runs_here, smallest_program_file};
pub use register::{Registered, RegistrationError, register};

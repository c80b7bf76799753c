//! Cuts off the network without a network namespace: no sockets. Knows nothing of why.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::step::Step;
use crate::sandbox::set_up::{SetUpCause, SetUpFailure, SetUpStep};

/// Makes `socket` fail with EACCES for this process and all it will execute, but for unix and netlink
/// sockets: the first stay on this host, and the second talk to the kernel.
pub(super) fn install() -> Result<(), SetUpFailure> {
    let program = compile().map_err(cause_of).step(SetUpStep::CompileFilter)?;
    seccompiler::apply_filter(&program).map_err(cause_of).step(SetUpStep::InstallFilter)
}

fn cause_of(error: seccompiler::Error) -> SetUpCause {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error.into(),
        other => SetUpCause::Other(other.to_string()),
    }
}

fn compile() -> Result<BpfProgram, seccompiler::Error> {
    /// System calls of the x32 ABI have this bit set, and are otherwise those of x86-64.
    const X32: i64 = 0x4000_0000;

    let is_not = |family: i32| {
        let family = family.unsigned_abs().into();
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    let foreign_family = vec![SeccompRule::new(vec![is_not(libc::AF_UNIX)?, is_not(libc::AF_NETLINK)?])?];
    // A ring makes sockets without a system call that a filter could see. No rules means always.
    let always = Vec::new();
    let mut rules = BTreeMap::from([
        (libc::SYS_socket, foreign_family.clone()),
        (libc::SYS_io_uring_setup, always.clone()),
    ]);
    if cfg!(target_arch = "x86_64") {
        rules.insert(libc::SYS_socket | X32, foreign_family);
        rules.insert(libc::SYS_io_uring_setup | X32, always);
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?;
    Ok(filter.try_into()?)
}

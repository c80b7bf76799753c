//! Who is to end first when the kernel is short of memory: commands, then what sets them up, and last of all who asked for
//! them. Knows nothing of limits.

use rustix::process::{Pid, getpid};

/// As in proc_pid_oom_score_adj(5): up to 1000, which is the whole of the machine's memory.
const ZYGOTE: i32 = 900;
const COMMAND: i32 = 1000;

/// Offers this process, and all that will descend from it.
pub(super) fn offer_this_process() {
    raise("/proc/self/oom_score_adj", ZYGOTE);
}

/// Offers a command that has just been started, and all that will descend from it, before its supervisor, which is `own`
/// in `/proc`.
pub(super) fn offer_command(command: Pid, own: Pid) {
    // In a `/proc` of other namespaces the number would be somebody else's.
    if own == getpid() {
        // There is no more to be raised, so nothing is lowered by it.
        let _ = fs_err::write(format!("/proc/{}/oom_score_adj", command.as_raw_pid()), COMMAND.to_string());
    }
}

/// Where that is refused, the kernel chooses by size alone.
fn raise(file: &str, score: i32) {
    let now = fs_err::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    // Lowering it would take privileges, and whoever raised it had reasons.
    if now.is_some_and(|now| now < score) {
        let _ = fs_err::write(file, score.to_string());
    }
}

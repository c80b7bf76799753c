//! Ends what a subcommand does when it is told to. Knows nothing of what that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `end` on the first signal that asks for an end. Which one it was is in what is returned, 0 until then. What has
/// not ended after `grace`, or at a second signal, is not waited for: the process exits, and the next one sweeps up.
pub(super) fn end_on_signals(
    grace: Duration,
    end: impl FnOnce() + Send + 'static,
) -> std::io::Result<Arc<AtomicI32>> {
    let received = Arc::new(AtomicI32::new(0));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let shared = Arc::clone(&received);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        shared.store(signal, Ordering::SeqCst);
        end();
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline && signals.pending().next().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::process::exit(exit_code_of(signal).into());
    })?;
    Ok(received)
}

/// What a shell makes of a process that `signal` has ended.
pub(super) fn exit_code_of(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

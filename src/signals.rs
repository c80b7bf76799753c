//! Signals that ask this process to end: the first one ends in good order, the second one at once. Knows nothing of what
//! it is that ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What ends a program that somebody waits for: Ctrl-C, `kill`, and the end of its terminal.
pub const OF_PROGRAMS: &[i32] = &[SIGHUP, SIGINT, SIGTERM];

/// What ends a server, which does not care for terminals.
pub const OF_SERVERS: &[i32] = &[SIGINT, SIGTERM];

/// How often it is looked whether another signal has come.
const LOOK: Duration = Duration::from_millis(20);

/// The first signal that came, if one has.
#[derive(Debug, Clone, Default)]
pub struct FirstSignal(Arc<AtomicI32>);

impl FirstSignal {
    /// The exit code that the process owes it.
    pub fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(exit_code(signal)),
        }
    }

    /// As if `signal` had come.
    pub fn set(&self, signal: i32) {
        self.0.store(signal, Ordering::SeqCst);
    }
}

/// The signals after the first.
pub struct MoreSignals {
    first: i32,
    signals: Signals,
}

impl MoreSignals {
    /// Waits until `done`, or until there is another signal, or for as long as `grace`. Whether it is done.
    pub fn wait(&mut self, grace: Duration, done: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        while !done() {
            if started.elapsed() >= grace || self.signals.pending().next().is_some() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Ends the process with the code that it owes the first signal.
    pub fn exit(&self) -> ! {
        std::process::exit(exit_code(self.first).into())
    }
}

/// Takes over [`OF_PROGRAMS`] for the rest of the process. The first one is remembered in `first`, and then `end` is
/// called, on a thread of its own. When `end` returns, the process exits with the code that it owes the signal, if it has
/// not done so by then.
///
/// # Errors
/// If the system refuses.
pub fn on_first_signal(
    first: &FirstSignal,
    end: impl FnOnce(&mut MoreSignals) + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new(OF_PROGRAMS)?;
    let shared = first.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        shared.set(signal);
        let mut more = MoreSignals { first: signal, signals };
        end(&mut more);
        more.exit()
    })?;
    Ok(())
}

/// Takes over [`OF_SERVERS`] for the rest of the process: their numbers, as they come.
///
/// # Errors
/// If the system refuses.
pub fn each_signal() -> io::Result<UnboundedReceiver<i32>> {
    let (sender, receiver) = unbounded_channel();
    let mut signals = Signals::new(OF_SERVERS)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        // Nobody listens any more if the server has ended.
        signals.forever().try_for_each(|signal| sender.send(signal)).ok()
    })?;
    Ok(receiver)
}

/// What a shell makes of a process that `signal` has ended: 128 and its number.
pub fn exit_code(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(exit_code), [129, 130, 143]);
        let first = FirstSignal::default();
        assert_eq!(first.exit_code(), None);
        first.set(SIGTERM);
        assert_eq!(first.exit_code(), Some(143));
    }
}

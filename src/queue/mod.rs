//! Operations of the single-host executor: matching, merging, stages, cancellation. Owns all operations and is
//! the only one to change them; workers and clients send it events. Knows nothing of processes and sockets.
//!
//! ```text
//!                 open               not found, a slot is idle
//! Submission ───────────► cache check ──────────────────────────► executing ──► completed
//!      │                    │      │                                  ▲            ▲
//!      ▼                    │      └────────────► queued ─────────────┘            │
//!  Refusal                  │ found                  a slot takes it               │
//!                           └──────────────────────────────────────────────────────┤
//!              cancelled, from any stage: by a client, or nobody listened ─────────┘
//! ```
//!
//! Each client has an operation of its own, with its own name. Equal actions that wait or run at the same time are
//! run once, and their operations go on together from there; cancelling one leaves the others alone. Actions that
//! must not be cached are not merged.
//!
//! An action goes to the most preferred pool with an idle slot; if there is none, to the first slot that becomes
//! free in any pool that satisfies it. Which of the waiting actions that slot takes is the business of `ready`: the
//! clients take turns, and what nobody waits for any more comes last, until somebody waits for it again.
//!
//! What waits is digests, not messages: a worker reads the action when it takes it. The memory of all operations has a
//! bound, of which no client gets all.
//!
//! Everything lives in one structure (`state`) behind one lock (`shared`) rather than behind a channel: what happens
//! under the lock is some map look-ups, a few microseconds, and never waits for anything, so that a message to a task
//! and back would take longer. What is to be done to the outside is done after the lock is released.

mod error;
mod handle;
mod operation;
mod operations;
mod order;
mod output;
mod platform;
mod pool;
mod ready;
mod remarks;
mod retention;
mod rota;
mod settings;
mod shared;
mod slot;
mod state;
mod statistics;

pub use error::{QueueError, Refusal, Unheard};
pub use handle::{CacheCheck, Queue, Subscription};
pub use operation::{CancelReason, Identity, OperationName, Outcome, Progress, Snapshot, Stage, Submission};
pub use order::Order;
pub use output::{ActionOutput, OutputGone, OutputReader};
pub use platform::{Requirements, Shortfall, Unsatisfiable, architectures};
pub use pool::{Pool, Timeouts};
pub use retention::Retained;
pub use settings::QueueSettings;
pub use slot::{Assignment, Slot};
pub use statistics::{Outcomes, PoolStatistics, Refusals, Statistics};

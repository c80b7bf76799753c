//! What is wrapped around an executor: each layer watches actions in one respect, and knows nothing of how they run.

pub(super) mod counting;
pub(super) mod logging;
pub(super) mod observed_times;
pub(super) mod timestamps;

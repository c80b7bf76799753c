//! Where programs are looked for.

/// `PATH` where nobody says otherwise: of builds, and of actions whose worker looks for crosswheel, and for a Python,
/// itself. One for all, so that both find the same programs.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

//! Where programs are looked for.

/// `PATH` where nobody says otherwise: of builds, of actions whose worker looks for crosswheel, and for a Python, itself, and
/// of all others that have none. One for all, so that they find the same programs.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

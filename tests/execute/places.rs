//! Other hosts, other users, other roots.

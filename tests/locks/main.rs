//! Real locks are planned as uv installs them: names, versions and files. `CROSSWHEEL_LOCKS` names a directory of further
//! ones, of the same shape as `data`.

mod all_targets;
mod real_locks;
mod scene;

//! Unpacks tar archives and layers of images into a root file system in the making. Whatever an archive says, nothing
//! outside of that is touched: names have no `..`, parents are looked up inside the root, and what is at the last part
//! of a name is never followed. Knows nothing of where archives come from.
//!
//! Roots serve builds that run as one user, so owners are ignored (everything belongs to whoever unpacks it, and no
//! other user of the host can write to it, but for directories with the sticky bit, such as `/tmp`), and so are setuid
//! and setgid bits, extended attributes and device nodes.

mod members;
mod unpacker;

pub(super) use unpacker::{Kind, Unpacker};

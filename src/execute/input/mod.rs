//! Input roots: read from the store, or fetched into it, made into trees of hard links that are kept, and put together from those.
//! Knows nothing of what runs in them.
//!
//! A [`Tree`] of an input root is a layer, a directory of hard links to blobs, or two: what differs from another
//! tree, on top of that one's layer. Layers never change. The command sees them through an overlay whose upper
//! directory takes what it writes, so nothing it does reaches a blob. Trees are kept, least recently used first
//! out, and a tree in use stays.
//!
//! **What is guaranteed.** A tree holds its bytes itself (a hard link is the file), so whoever has a tree needs no
//! blob of it in the store, and a warm input root costs no look at the store at all. Blobs are pinned while a tree
//! is being made of them. Evicting blobs that are in a tree frees their space only once the tree goes, so trees
//! have a bound of their own in bytes.
//!
//! Trees belong to one process and end with it: what a crash left is swept by the next one. That no tree is
//! trusted that somebody else made or that was half-made when the power went is worth a cold start.

mod ahead;
mod copies;
mod difference;
mod directory;
mod layer;
mod limits;
mod read;
mod source;
mod trees;

pub(super) use copies::write_copies;
pub(super) use directory::{Entry, InputDirectory};
pub(super) use read::InputReader;
pub(super) use source::Source;
pub(super) use trees::{Tree, Trees};

pub use limits::InputLimits;
pub use trees::{TreeLimits, TreeUse};

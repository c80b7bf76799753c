//! Unpacks sdists: `.tar` (plain, gzip, bzip2, xz, zstd) and `.zip`, in one pass and a few fixed buffers.
//! Trusts nothing an archive says. Of what the files mean it knows only which suffixes are those of sources that a
//! compiler takes.
//!
//! ```text
//! format, stream      bytes of the file -> bytes of the tar        (hash, decompress, meter)
//! tar, zip            bytes             -> members                 (names, types, sizes)
//! layout, links       members           -> may this one be placed? (PEP 706 and our limits)
//! writer              placed members    -> files below the destination
//! ```
//!
//! While files are written there is no symlink below the destination: links are only noted, checked
//! against the whole tree when it is known, and made last. So no order of members can lead a write astray.

mod error;
mod format;
mod layout;
mod limits;
mod links;
mod member;
mod node;
mod rule;
mod stream;
mod tar;
mod top_level;
mod unpack;
mod writer;
mod zip;

pub use error::ArchiveError;
pub use rule::Rule;
pub use unpack::{SourceTree, TopLevelFiles, read_top_level_files, unpack};

//! `--limit-*`: how large an sdist may be once it is unpacked. Held by whoever reads the archive.

use clap::Args;

use super::flag::Flag;

/// How large an archive may be once it is unpacked.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Most bytes of all files together, and of a decompressed tar stream with its headers.
    #[arg(long = Flag::LimitBytes.name(), help = "Most bytes the sdist may unpack to", value_name = "BYTES", default_value_t = Self::default().bytes)]
    pub bytes: u64,
    /// Most members, and most files, directories and links on disk.
    #[arg(long = Flag::LimitMembers.name(), help = "Most members the sdist may have", value_name = "N", default_value_t = Self::default().members)]
    pub members: u64,
    /// Most unpacked bytes per byte of archive. Holds beyond the first 64 MiB of output.
    #[arg(long = Flag::LimitRatio.name(), help = "Highest compression ratio, beyond the first 64 MiB unpacked", value_name = "N", default_value_t = Self::default().ratio)]
    pub ratio: u64,
    /// Most parts of a member's name, the top-level directory included.
    #[arg(long = Flag::LimitDepth.name(), help = "Deepest path in the sdist", value_name = "N", default_value_t = Self::default().depth)]
    pub depth: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { bytes: 2 << 30, members: 200_000, ratio: 200, depth: 64 }
    }
}

//! The blocks that a tar comes in. Knows nothing of what is in them.

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// Whether there is nothing in `block`, as in the two that end a tar.
pub(super) fn is_zero(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// Bytes from the end of `size` bytes of contents to the next block.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

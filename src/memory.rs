//! How much memory this machine has, as the kernel tells. Knows nothing of who wants it.

use std::io;

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    /// What can be had without swapping, by the kernel's own estimate.
    pub available: u64,
}

impl Memory {
    /// As it is now.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn now() -> io::Result<Self> {
        let text = fs_err::read_to_string("/proc/meminfo")?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        match (field("MemTotal:"), field("MemAvailable:")) {
            (Some(total), Some(available)) => Ok(Self { total, available }),
            _ => Err(io::Error::other("/proc/meminfo does not say how much memory there is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_there_than_there_is() {
        let Memory { total, available } = Memory::now().unwrap();
        assert!(available > 0 && available <= total);
    }
}

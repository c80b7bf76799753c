//! When an archive becomes too large for its limits. Knows nothing of formats.

use super::rule::Rule;
use crate::contract::ArchiveLimits;

/// Output below which [`ArchiveLimits::ratio`] does not hold: small archives may compress very well.
const RATIO_FREE_BYTES: u64 = 64 << 20;

impl ArchiveLimits {
    /// Whether an archive of `archive_bytes` may produce `produced` bytes.
    pub(super) fn check_bytes(&self, produced: u64, archive_bytes: u64) -> Result<(), Rule> {
        if produced > self.bytes {
            return Err(Rule::TooManyBytes { limit: self.bytes });
        }
        if produced > RATIO_FREE_BYTES && produced > archive_bytes.saturating_mul(self.ratio) {
            return Err(Rule::RatioTooHigh { limit: self.ratio });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_holds_only_beyond_64_mib() {
        let limits = ArchiveLimits::default();
        assert_eq!(limits.check_bytes(64 << 20, 1), Ok(()));
        assert_eq!(limits.check_bytes((64 << 20) + 1, 1), Err(Rule::RatioTooHigh { limit: 200 }));
        assert_eq!(limits.check_bytes(200 << 20, 1 << 20), Ok(()));
        assert_eq!(limits.check_bytes((2 << 30) + 1, 1 << 30), Err(Rule::TooManyBytes { limit: 2 << 30 }));
    }
}

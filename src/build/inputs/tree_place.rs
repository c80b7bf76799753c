//! What a source tree is known by, whatever is in it. Knows nothing of where it is.

/// What a lock knows a source tree by, as its files change all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreePlace {
    /// A path relative to the lock, or a URL.
    pub tree: String,
    /// Of a checkout, its commit.
    pub commit: Option<String>,
}

//! How long outputs may be collected, and until when anybody wants them. Knows nothing of outputs.

use std::io::Read;
use std::time::Duration;

use super::bound::Bound;
use super::exceeded::Exceeded;
use crate::cancellation::Cancellation;
use crate::execute::error::ExecuteError;
use crate::patience::{OutOfPatience, Patience};

/// Asked again and again by whoever collects outputs.
#[derive(Debug, Clone, Copy)]
pub(in crate::execute) struct Effort<'a> {
    limit: Bound,
    patience: Patience<'a>,
}

impl<'a> Effort<'a> {
    /// From now on.
    pub fn start(limit: Bound, cancellation: &'a Cancellation) -> Self {
        Self { limit, patience: Patience::of(Duration::from_secs(limit.most), cancellation) }
    }

    /// # Errors
    /// [`ExecuteError::Cancelled`], and [`ExecuteError::Exceeded`] once it has taken too long.
    pub fn check(&self) -> Result<(), ExecuteError> {
        self.patience.check().map_err(|over| match over {
            OutOfPatience::Cancelled => ExecuteError::Cancelled,
            OutOfPatience::TooLate(_) => {
                Exceeded::new(&self.limit, "has outputs that it takes too long to collect").into()
            }
        })
    }

    /// `inner`, of which nothing more is read once [`Effort::check`] fails, which is to be asked then.
    pub fn read<R: Read>(self, inner: R) -> impl Read {
        self.patience.read(inner)
    }
}

//! How long outputs may be collected, and until when anybody wants them. Knows nothing of outputs.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::bound::Bound;
use super::exceeded::Exceeded;
use crate::cancellation::Cancellation;
use crate::deadline;
use crate::execute::error::ExecuteError;

/// Asked again and again by whoever collects outputs.
#[derive(Debug, Clone, Copy)]
pub(in crate::execute) struct Effort<'a> {
    cancellation: &'a Cancellation,
    limit: Bound,
    until: Instant,
}

impl<'a> Effort<'a> {
    /// From now on.
    pub fn start(limit: Bound, cancellation: &'a Cancellation) -> Self {
        let until = deadline::after(Instant::now(), Duration::from_secs(limit.most));
        Self { cancellation, limit, until }
    }

    /// # Errors
    /// [`ExecuteError::Cancelled`], and [`ExecuteError::Exceeded`] once it has taken too long.
    pub fn check(&self) -> Result<(), ExecuteError> {
        self.cancellation.check().map_err(|_| ExecuteError::Cancelled)?;
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(Exceeded::new(&self.limit, "has outputs that it takes too long to collect").into())
    }

    /// `inner`, of which nothing more is read once [`Effort::check`] fails, which is to be asked then.
    pub fn read<R: Read>(self, inner: R) -> impl Read {
        Reading { effort: self, inner }
    }
}

struct Reading<'a, R> {
    effort: Effort<'a>,
    inner: R,
}

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.effort.check().map_err(io::Error::other)?;
        self.inner.read(buffer)
    }
}

//! How long somebody goes on with work that others may have made endless: until it is cancelled, or until its time is
//! over. Knows nothing of the work.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::cancellation::Cancellation;
use crate::deadline;

/// Asked again and again by whoever works.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience<'a> {
    cancellation: Option<&'a Cancellation>,
    /// Until when, and how long that was from the start.
    until: Option<(Instant, Duration)>,
}

/// Why work was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfPatience {
    #[error("interrupted")]
    Cancelled,
    #[error("not done within {} s", .0.as_secs())]
    TooLate(Duration),
}

impl<'a> Patience<'a> {
    /// Nothing ends it.
    pub fn endless() -> Self {
        Self::default()
    }

    /// For so long, from now on, or until it is cancelled.
    pub fn of(time: Duration, cancellation: &'a Cancellation) -> Self {
        let until = Some((deadline::after(Instant::now(), time), time));
        Self { cancellation: Some(cancellation), until }
    }

    /// # Errors
    /// Once it is over.
    pub fn check(&self) -> Result<(), OutOfPatience> {
        if self.cancellation.is_some_and(|cancellation| cancellation.check().is_err()) {
            return Err(OutOfPatience::Cancelled);
        }
        match self.until {
            Some((until, time)) if Instant::now() >= until => Err(OutOfPatience::TooLate(time)),
            _ => Ok(()),
        }
    }

    /// `inner`, of which nothing more can be read once it is over.
    pub fn read<R: Read>(self, inner: R) -> PatientReader<'a, R> {
        PatientReader { patience: self, inner }
    }
}

/// Reads for as long as somebody has patience.
#[derive(Debug)]
pub struct PatientReader<'a, R> {
    patience: Patience<'a>,
    inner: R,
}

impl<R: Read> Read for PatientReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patience.check().map_err(io::Error::other)?;
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_read_until_it_is_cancelled_or_late() {
        let cancellation = Cancellation::default();
        let late = Patience::of(Duration::from_millis(20), &cancellation);
        let copied = io::copy(&mut late.read(io::repeat(0)), &mut io::sink());
        assert!(copied.unwrap_err().to_string().contains("not done within"));
        let patience = Patience::of(Duration::MAX, &cancellation);
        assert_eq!(patience.check(), Ok(()));
        cancellation.cancel();
        assert!(io::copy(&mut patience.read(io::repeat(0)), &mut io::sink()).is_err());
        assert_eq!(patience.check(), Err(OutOfPatience::Cancelled));
        assert_eq!(Patience::endless().check(), Ok(()));
    }
}

//! How much of a fit is done.

use std::time::{Duration, Instant};

use crate::learn::train::configuration::Fit;

/// How much of the fit is done, by epochs or by time, whichever runs out first.
pub(super) struct Clock<'a> {
    pub(super) settings: &'a Fit,
    started: Instant,
    before: f64,
}

impl<'a> Clock<'a> {
    /// Starts after `before` seconds of earlier runs.
    pub(super) fn start(settings: &'a Fit, before: f64) -> Self {
        Self { settings, started: Instant::now(), before }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// From 0 to 1: what the learning rate's cosine follows.
    pub(super) fn done(&self, epochs: f64) -> f64 {
        let limit = 60.0 * self.settings.maximum_minutes;
        let by_time = if limit > 0.0 { self.seconds() / limit } else { 0.0 };
        (epochs / self.settings.epochs as f64).max(by_time)
    }

    /// Time to the end after a number of epochs, at the pace so far.
    pub(super) fn left(&self, epochs: usize) -> Duration {
        let done = self.done(epochs as f64).clamp(f64::EPSILON, 1.0);
        Duration::from_secs_f64((self.seconds() * (1.0 - done) / done).min(1e9))
    }
}

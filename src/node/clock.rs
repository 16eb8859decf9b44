//! The time by which jobs and deliveries wait.
//!
//! The time of day can be set: by a person, or by a time server long after the start. What waits must not wait for hours
//! longer because of it, nor be given up at once. So the clock goes on by itself from the time of day at its start. Where
//! the time of day has jumped, whoever keeps due times moves them along, and the clock follows then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A difference between clock and time of day that is no jump: time servers correct by less.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// The clock.
#[derive(Debug)]
pub(super) struct Clock(Mutex<Anchor>);

/// A time of day, and when it was.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    time: Timestamp,
    at: Instant,
}

impl Clock {
    /// A clock that shows the time of day.
    pub(super) fn start() -> Self {
        Self(Mutex::new(Anchor { time: Timestamp::now(), at: Instant::now() }))
    }

    /// The time that it shows.
    pub(super) fn now(&self) -> Timestamp {
        let anchor = *self.anchor();
        anchor.time + anchor.at.elapsed()
    }

    /// How far a time of day is ahead of the clock, if it has jumped.
    pub(super) fn jump(&self, time_of_day: Timestamp) -> Option<SignedDuration> {
        let ahead = time_of_day.duration_since(self.now());
        (ahead.abs() > TOLERANCE).then_some(ahead)
    }

    /// Follows a jump of the time of day.
    pub(super) fn follow(&self, jump: SignedDuration) {
        self.anchor().time += jump;
    }

    fn anchor(&self) -> MutexGuard<'_, Anchor> {
        // No code that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_by_itself_and_follows_a_jump_when_told() {
        let clock = Clock::start();
        let hours = SignedDuration::from_hours;
        assert_eq!(clock.jump(Timestamp::now()), None);
        for jump in [hours(-2), hours(3)] {
            let before = clock.now();
            let found = clock.jump(before + jump).expect("a jump");
            assert!((found - jump).abs() < TOLERANCE, "{found}");
            assert!(clock.now().duration_since(before) < TOLERANCE, "what waits is not moved yet");
            clock.follow(found);
            assert!((clock.now().duration_since(before) - jump).abs() < TOLERANCE);
        }
    }
}

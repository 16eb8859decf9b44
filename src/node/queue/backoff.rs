//! How long to wait between attempts.

use std::time::Duration;

/// The pause after the given number of failed attempts: `first`, doubled each time, never longer than `longest`.
pub(super) fn backoff(failed_attempts: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failed_attempts.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pause = |failed| backoff(failed, Duration::from_secs(5), Duration::from_secs(60)).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 400].map(pause), [5, 10, 20, 40, 60, 60, 60]);
    }
}

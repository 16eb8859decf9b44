//! The states of jobs and deliveries, which follow which, and how long to wait between attempts. No IO.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Implements names that the database, the API and the log share.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in database, API and log.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The state of a name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| state.name() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

/// Where a job stands.
///
/// ```text
///            +-------- attempt failed, given back, node ended ------+
///            v                                                      |
///  (new) -> Queued ------------------- claimed ----------------> Running --> Analysed
///                                                                   |------> Rejected
///  (new) -> Rejected (not for this node)                            +------> Failed (no attempt left)
///
///  Failed ---- queued anew by hand ----> Queued
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waiting for the worker, or for the next attempt.
    Queued,
    /// Leased by the worker of this run of the node.
    Running,
    /// Results are stored.
    Analysed,
    /// Not usable, for the reasons in its summary.
    Rejected,
    /// Every attempt ended in an error.
    Failed,
}

named!(JobState {
    Queued = "queued",
    Running = "running",
    Analysed = "analysed",
    Rejected = "rejected",
    Failed = "failed",
});

impl JobState {
    /// True if a job may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Running)
                | (Self::Failed, Self::Queued)
                | (Self::Running, Self::Queued | Self::Analysed | Self::Rejected | Self::Failed)
        )
    }

    /// True if nothing happens to the job any more by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Analysed | Self::Rejected | Self::Failed)
    }
}

/// Where the delivery of one result object to one destination stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// Waiting for its first attempt.
    Queued,
    /// On its way.
    Running,
    /// The destination has confirmed it.
    Delivered,
    /// An attempt failed; waiting for the next.
    Retrying,
    /// Every attempt failed; kept and shown until it is queued anew by hand.
    DeadLetter,
}

named!(DeliveryState {
    Queued = "queued",
    Running = "running",
    Delivered = "delivered",
    Retrying = "retrying",
    DeadLetter = "dead-letter",
});

/// Why an attempt to deliver an object failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// The destination takes nothing at the moment: it is down, full, or does not know this node. Nothing is known
    /// against the object, so no attempt is counted; only time ends the waiting.
    Destination(String),
    /// The destination does not take this object, or the object cannot be sent.
    Object(String),
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Destination(reason) | Self::Object(reason)) = self;
        formatter.write_str(reason)
    }
}

/// The pause after the given number of failed attempts: `first`, doubled each time, never longer than `longest`.
pub fn backoff(failed_attempts: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failed_attempts.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_are_left_for_nothing_but_a_failed_job_by_hand() {
        for from in JobState::ALL {
            for to in JobState::ALL {
                let by_hand = (*from, *to) == (JobState::Failed, JobState::Queued);
                assert_eq!(from.is_final() && from.may_become(*to), by_hand, "{from} -> {to}");
            }
            assert_eq!(JobState::parse(from.name()), Some(*from));
        }
        assert!(!JobState::Queued.may_become(JobState::Analysed), "results need a lease");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pause = |failed| backoff(failed, Duration::from_secs(5), Duration::from_secs(60)).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 400].map(pause), [5, 10, 20, 40, 60, 60, 60]);
    }
}

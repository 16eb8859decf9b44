//! The states of a delivery, and what takes it from one to another.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff::backoff;
use super::delivery::{Confirmation, DeliveryFailure};
use super::illegal::IllegalTransition;
use super::rules::Patience;

/// Pause after the first failed attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Pause after an attempt in which the destination accepted nothing at all.
const OUTAGE_PAUSE: Duration = Duration::from_secs(30);

/// The state of the delivery of one result object to one destination.
///
/// ```text
///  (new) -> Queued ----- claimed ----> Running --> Delivered
///            ^  ^                        |  ^
///            |  +------- released -------+  | claimed
///            |                           |  |
///            |          attempt failed   +--+- Retrying
///            |                           |
///            +--- by hand --- Failed <---+ (no attempt or no time left)
///
///  Queued, Retrying, Failed -- a newer result replaced it, or a person drops or redirects it --> Dropped
///  Dropped -- its result is current again --> Queued
///  Delivered -- the destination does not commit to keep it --> Failed
/// ```
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DeliveryState {
    /// Waiting for its first attempt.
    Queued,
    /// Being sent.
    Running,
    /// The destination has confirmed it.
    Delivered,
    /// An attempt failed; waiting for the next.
    Retrying,
    /// Every attempt failed; kept and shown until a person has it sent again.
    Failed,
    /// It is not sent to this destination after all: a newer result replaced it, or a person decided so.
    Dropped,
}

impl DeliveryState {
    /// The name in database, API and log.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum DeliveryEvent<'a> {
    /// The loop of its destination claims it.
    #[strum(serialize = "claimed")]
    Claimed,
    /// The destination has confirmed the object.
    #[strum(serialize = "recorded as delivered")]
    Delivered(&'a Confirmation),
    /// The attempt failed.
    #[strum(serialize = "recorded as failed")]
    AttemptFailed(&'a DeliveryFailure),
    /// The loop that had claimed it ended by a fault of this program. The attempt counts.
    #[strum(serialize = "recorded as abandoned")]
    Abandoned,
    /// The node stopped, or was stopped, before the attempt was over; it does not count.
    #[strum(serialize = "released")]
    Released,
    /// A person asks for further attempts, or what was dropped is wanted again.
    #[strum(serialize = "retried")]
    Retried,
    /// It is not to be sent to this destination, for this reason.
    #[strum(serialize = "dropped")]
    Dropped(&'a str),
    /// The destination says that it does not keep what it had confirmed.
    #[strum(serialize = "recorded as not kept")]
    NotKept(&'a str),
}

impl DeliveryEvent<'_> {
    /// True if the event may have led to this state already: reporting it twice is harmless.
    fn may_have_led_to(self, state: DeliveryState) -> bool {
        match self {
            Self::Delivered(_) => state == DeliveryState::Delivered,
            Self::AttemptFailed(_) => matches!(state, DeliveryState::Retrying | DeliveryState::Failed),
            Self::Released => state == DeliveryState::Queued,
            Self::Dropped(_) => state == DeliveryState::Dropped,
            Self::Claimed | Self::Abandoned | Self::Retried | Self::NotKept(_) => false,
        }
    }
}

/// The progress of a delivery, as far as the rules are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryProgress {
    /// Its state.
    pub state: DeliveryState,
    /// Attempts begun.
    pub attempts: u32,
    /// When the next attempt is due, if it waits for one.
    pub not_before: Timestamp,
    /// Since when it is pending, or pending again.
    pub pending_since: Timestamp,
    /// What the last failed attempt said, or why it was dropped.
    pub error: Option<String>,
    /// What the destination has confirmed, and what is remarkable about it.
    pub confirmation: Confirmation,
}

impl DeliveryProgress {
    /// The progress after an event; `None` if the event was reported before.
    ///
    /// # Errors
    /// The event cannot happen to a delivery in this state.
    pub fn after(
        &self,
        event: DeliveryEvent<'_>,
        patience: Patience,
        now: Timestamp,
    ) -> Result<Option<Self>, IllegalTransition<DeliveryState>> {
        use DeliveryState::{Delivered, Dropped, Failed, Queued, Retrying, Running};
        let due = |state| Self { state, not_before: Timestamp::UNIX_EPOCH, ..self.clone() };
        let next = match (self.state, event) {
            (Queued | Retrying, DeliveryEvent::Claimed) => Self { attempts: self.attempts + 1, ..due(Running) },
            (Running, DeliveryEvent::Delivered(confirmation)) => {
                Self { confirmation: confirmation.clone(), error: None, ..due(Delivered) }
            }
            (Running, DeliveryEvent::AttemptFailed(failure)) => self.failed(failure, patience, now),
            (Running, DeliveryEvent::Abandoned) => {
                let error = Some("a fault of the node".to_owned());
                Self { state: Retrying, not_before: now + OUTAGE_PAUSE, error, ..self.clone() }
            }
            (Running, DeliveryEvent::Released) => Self { attempts: self.attempts.saturating_sub(1), ..due(Queued) },
            (Failed | Dropped, DeliveryEvent::Retried) => Self { attempts: 0, pending_since: now, ..due(Queued) },
            (Queued | Retrying | Failed, DeliveryEvent::Dropped(reason)) => {
                Self { error: Some(reason.to_owned()), ..due(Dropped) }
            }
            (Delivered, DeliveryEvent::NotKept(reason)) => Self { error: Some(reason.to_owned()), ..due(Failed) },
            (state, event) if event.may_have_led_to(state) => return Ok(None),
            (state, event) => return Err(IllegalTransition { state, event: event.into() }),
        };
        Ok(Some(next))
    }

    /// An attempt is counted only if it says something about the object.
    fn failed(&self, failure: &DeliveryFailure, patience: Patience, now: Timestamp) -> Self {
        let (attempts, pause, given_up) = match failure {
            DeliveryFailure::Object(_) => {
                let pause = backoff(self.attempts, FIRST_PAUSE, LONGEST_PAUSE);
                (self.attempts, pause, self.attempts >= patience.attempts)
            }
            DeliveryFailure::Destination(_) => {
                let waited = now.duration_since(self.pending_since);
                (self.attempts.saturating_sub(1), OUTAGE_PAUSE, waited > patience.outage)
            }
        };
        let state = if given_up { DeliveryState::Failed } else { DeliveryState::Retrying };
        Self { state, attempts, not_before: now + pause, error: Some(failure.to_string()), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use strum::VariantArray;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);
    const PATIENCE: Patience = Patience { attempts: 2, outage: SignedDuration::from_hours(2) };

    fn at(state: DeliveryState, attempts: u32) -> DeliveryProgress {
        DeliveryProgress {
            state,
            attempts,
            not_before: Timestamp::UNIX_EPOCH,
            pending_since: NOW,
            error: None,
            confirmation: Confirmation::default(),
        }
    }

    fn after(progress: &DeliveryProgress, event: DeliveryEvent<'_>, now: Timestamp) -> DeliveryProgress {
        progress.after(event, PATIENCE, now).expect("legal").expect("a change")
    }

    /// What each event makes of each state: another state, `same` where it was reported before, `no` where it cannot
    /// happen.
    #[test]
    fn every_event_in_every_state_is_decided() {
        let refused = DeliveryFailure::Object("refused".to_owned());
        let confirmation = Confirmation::default();
        let events = [
            DeliveryEvent::Claimed,
            DeliveryEvent::Delivered(&confirmation),
            DeliveryEvent::AttemptFailed(&refused),
            DeliveryEvent::Abandoned,
            DeliveryEvent::Released,
            DeliveryEvent::Retried,
            DeliveryEvent::Dropped("replaced"),
            DeliveryEvent::NotKept("not there"),
        ];
        let table = [
            // claimed, delivered, attempt failed, abandoned, released, retried, dropped, not kept
            (DeliveryState::Queued, "running no no no same no dropped no"),
            (DeliveryState::Running, "no delivered retrying retrying queued no no no"),
            (DeliveryState::Delivered, "no same no no no no no failed"),
            (DeliveryState::Retrying, "running no same no no no dropped no"),
            (DeliveryState::Failed, "no no same no no queued dropped no"),
            (DeliveryState::Dropped, "no no no no no queued same no"),
        ];
        assert_eq!(table.map(|(state, _)| state), DeliveryState::VARIANTS);
        for (state, row) in table {
            let found = events.map(|event| match at(state, 1).after(event, PATIENCE, NOW) {
                Ok(Some(next)) => next.state.name(),
                Ok(None) => "same",
                Err(_) => "no",
            });
            assert_eq!(found.join(" "), row, "{state}");
        }
    }

    #[test]
    fn attempts_limit_refusals_and_time_limits_outages() {
        let refused = DeliveryFailure::Object("refused".to_owned());
        let down = DeliveryFailure::Destination("no route".to_owned());
        let failed = |attempts, failure, hours| {
            let now = NOW + SignedDuration::from_hours(hours);
            let next = after(&at(DeliveryState::Running, attempts), DeliveryEvent::AttemptFailed(failure), now);
            (next.state, next.attempts, next.not_before.duration_since(now).as_secs())
        };
        assert_eq!(failed(1, &refused, 0), (DeliveryState::Retrying, 1, 5));
        assert_eq!(failed(2, &refused, 0), (DeliveryState::Failed, 2, 10));
        assert_eq!(failed(9, &down, 2), (DeliveryState::Retrying, 8, 30));
        assert_eq!(failed(1, &down, 3), (DeliveryState::Failed, 0, 30));
    }

    #[test]
    fn a_delivery_that_is_retried_by_hand_has_all_its_attempts_and_time_again() {
        let later = NOW + SignedDuration::from_hours(9);
        let again = after(&at(DeliveryState::Failed, 7), DeliveryEvent::Retried, later);
        assert_eq!((again.state, again.attempts, again.pending_since), (DeliveryState::Queued, 0, later));
    }

    #[test]
    fn the_name_of_a_state_is_that_of_its_json() {
        for state in DeliveryState::VARIANTS {
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.name());
            assert_eq!(state.name().parse(), Ok(*state));
        }
    }
}

//! The states of a job, and what takes it from one to another.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff::backoff;
use super::illegal::IllegalTransition;
use super::rules::Rules;

/// Pause after the first failed attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pause before an attempt that was postponed.
const POSTPONEMENT: Duration = Duration::from_secs(60);

/// Attempts that the node's own end cut short do not count against a job until there are this many.
const INTERRUPTIONS: u32 = 50;

/// The state of a job.
///
/// ```text
///            +---- attempt failed, postponed, released, interrupted ----+
///            v                                                          |
///  (new) -> Queued ------------------- claimed -------------------> Running --> Analysed
///            ^                                                          |------> Rejected
///            |        (new) -> Rejected (not for this node)             +------> Failed (no attempt left)
///            |
///            +---- a person retries what failed, or the results of a job are needed under another issue
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

impl JobState {
    /// The name in database, API and log.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum JobEvent<'a> {
    /// The worker leases it.
    #[strum(serialize = "claimed")]
    Claimed,
    /// The analysis ended with findings.
    #[strum(serialize = "recorded as analysed")]
    Analysed,
    /// The analysis ended with reasons why the series is not usable.
    #[strum(serialize = "recorded as rejected")]
    Rejected,
    /// An attempt ended in this error.
    #[strum(serialize = "recorded as failed")]
    AttemptFailed(&'a str),
    /// An attempt could not be made for a reason outside the job, such as a full disk or an analysis process that does
    /// not start. Such an attempt never counts.
    #[strum(serialize = "postponed")]
    Postponed(&'a str),
    /// The node is stopping; the attempt does not count.
    #[strum(serialize = "released")]
    Released,
    /// The node ended during the attempt.
    #[strum(serialize = "recorded as interrupted")]
    Interrupted,
    /// A person asks for further attempts at what has failed.
    #[strum(serialize = "retried")]
    Retried,
    /// Another analysis of what has ended is wanted: its results are needed under another issue.
    #[strum(serialize = "analysed again")]
    AnalysedAgain,
}

impl JobEvent<'_> {
    /// True if only the holder of the lease may report it.
    pub fn is_reported_by_the_holder(self) -> bool {
        matches!(self, Self::Analysed | Self::Rejected | Self::AttemptFailed(_) | Self::Postponed(_) | Self::Released)
    }

    /// True if the event may have led to this state already: reporting it twice is harmless.
    fn may_have_led_to(self, state: JobState) -> bool {
        match self {
            Self::Analysed => state == JobState::Analysed,
            Self::Rejected => state == JobState::Rejected,
            Self::Postponed(_) | Self::Released => state == JobState::Queued,
            Self::AttemptFailed(_) => matches!(state, JobState::Queued | JobState::Failed),
            Self::Claimed | Self::Interrupted | Self::Retried | Self::AnalysedAgain => false,
        }
    }
}

/// The progress of a job, as far as the rules are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    /// Its state.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts that the end of the node cut short.
    pub interruptions: u32,
    /// When the next attempt is due, if it is queued.
    pub not_before: Timestamp,
    /// What the last failed attempt said.
    pub error: Option<String>,
}

impl JobProgress {
    /// A job that has just been made.
    pub fn new(state: JobState) -> Self {
        Self { state, attempts: 0, interruptions: 0, not_before: Timestamp::UNIX_EPOCH, error: None }
    }

    /// The progress after an event; `None` if the event was reported before.
    ///
    /// # Errors
    /// The event cannot happen to a job in this state.
    pub fn after(
        &self,
        event: JobEvent<'_>,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<Self>, IllegalTransition<JobState>> {
        use JobState::{Analysed, Failed, Queued, Rejected, Running};
        let ended = |state| Self { state, not_before: Timestamp::UNIX_EPOCH, error: None, ..self.clone() };
        let next = match (self.state, event) {
            (Queued, JobEvent::Claimed) => Self { state: Running, attempts: self.attempts + 1, ..self.clone() },
            (Running, JobEvent::Analysed) => ended(Analysed),
            (Running, JobEvent::Rejected) => ended(Rejected),
            (Running, JobEvent::AttemptFailed(error)) => self.failed(error, rules, now),
            (Running, JobEvent::Postponed(error)) => Self {
                state: Queued,
                attempts: self.attempts.saturating_sub(1),
                not_before: now + POSTPONEMENT,
                error: Some(error.to_owned()),
                ..self.clone()
            },
            (Running, JobEvent::Released) => Self { interruptions: self.interruptions + 1, ..ended(Queued) },
            (Running, JobEvent::Interrupted) => {
                let interruptions = self.interruptions + 1;
                let state = if interruptions < INTERRUPTIONS { Queued } else { Failed };
                let error = Some("the node ended during the analysis".to_owned());
                Self { state, interruptions, error, ..self.clone() }
            }
            (Failed, JobEvent::Retried) | (Analysed | Rejected | Failed, JobEvent::AnalysedAgain) => {
                Self { error: self.error.clone(), ..Self::new(Queued) }
            }
            (state, event) if event.may_have_led_to(state) => return Ok(None),
            (state, event) => return Err(IllegalTransition { state, event: event.into() }),
        };
        Ok(Some(next))
    }

    fn failed(&self, error: &str, rules: &Rules, now: Timestamp) -> Self {
        let failed = self.attempts.saturating_sub(self.interruptions);
        let state = if failed < rules.attempts { JobState::Queued } else { JobState::Failed };
        let not_before = now + backoff(failed, FIRST_PAUSE, LONGEST_PAUSE);
        Self { state, not_before, error: Some(error.to_owned()), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use strum::VariantArray;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn rules() -> Rules {
        Rules {
            attempts: 2,
            lease: Duration::from_secs(160),
            destinations: BTreeMap::new(),
            deliver_demonstrations: false,
            list_superseded: false,
            rejection_notes: BTreeSet::new(),
        }
    }

    fn running(attempts: u32, interruptions: u32) -> JobProgress {
        JobProgress { attempts, interruptions, ..JobProgress::new(JobState::Running) }
    }

    fn after(progress: &JobProgress, event: JobEvent<'_>) -> JobProgress {
        progress.after(event, &rules(), NOW).expect("legal").expect("a change")
    }

    /// What each event makes of each state: another state, `same` where it was reported before, `no` where it cannot
    /// happen.
    #[test]
    fn every_event_in_every_state_is_decided() {
        let events = [
            JobEvent::Claimed,
            JobEvent::Analysed,
            JobEvent::Rejected,
            JobEvent::AttemptFailed("why"),
            JobEvent::Postponed("why"),
            JobEvent::Released,
            JobEvent::Interrupted,
            JobEvent::Retried,
            JobEvent::AnalysedAgain,
        ];
        let table = [
            // claimed, analysed, rejected, attempt failed, postponed, released, interrupted, retried, analysed again
            (JobState::Queued, "running no no same same same no no no"),
            (JobState::Running, "no analysed rejected queued queued queued queued no no"),
            (JobState::Analysed, "no same no no no no no no queued"),
            (JobState::Rejected, "no no same no no no no no queued"),
            (JobState::Failed, "no no no same no no no queued queued"),
        ];
        assert_eq!(table.map(|(state, _)| state), JobState::VARIANTS);
        for (state, row) in table {
            let progress = JobProgress { attempts: 1, ..JobProgress::new(state) };
            let found = events.map(|event| match progress.after(event, &rules(), NOW) {
                Ok(Some(next)) => next.state.name(),
                Ok(None) => "same",
                Err(_) => "no",
            });
            assert_eq!(found.join(" "), row, "{state}");
        }
    }

    #[test]
    fn a_job_fails_when_no_attempt_is_left_and_pauses_before() {
        let first = after(&running(1, 0), JobEvent::AttemptFailed("it crashed"));
        assert_eq!((first.state, first.not_before), (JobState::Queued, NOW + FIRST_PAUSE));
        let second = after(&running(2, 0), JobEvent::AttemptFailed("it crashed again"));
        assert_eq!((second.state, second.error.as_deref()), (JobState::Failed, Some("it crashed again")));
        let interrupted = after(&running(7, 6), JobEvent::AttemptFailed("it crashed"));
        assert_eq!(interrupted.state, JobState::Queued, "the end of the node cost no attempt");
    }

    #[test]
    fn the_end_of_the_node_costs_no_attempt_until_it_comes_too_often() {
        assert_eq!(after(&running(1, 0), JobEvent::Interrupted).state, JobState::Queued);
        assert_eq!(after(&running(50, INTERRUPTIONS - 1), JobEvent::Interrupted).state, JobState::Failed);
    }

    #[test]
    fn an_attempt_that_is_postponed_does_not_count() {
        let postponed = after(&running(3, 1), JobEvent::Postponed("the archive is full"));
        assert_eq!((postponed.attempts, postponed.not_before), (2, NOW + POSTPONEMENT));
    }

    #[test]
    fn a_job_that_is_retried_by_hand_has_all_its_attempts_again() {
        let failed = JobProgress { attempts: 2, interruptions: 1, ..JobProgress::new(JobState::Failed) };
        assert_eq!(after(&failed, JobEvent::Retried), JobProgress::new(JobState::Queued));
    }

    #[test]
    fn the_name_of_a_state_is_that_of_its_json() {
        for state in JobState::VARIANTS {
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.name());
            assert_eq!(state.name().parse(), Ok(*state));
        }
    }
}

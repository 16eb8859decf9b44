//! Storage commitments: what a peer asked the node to keep, and when it is told
//! ([PS3.4 annex J](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_J.html)).

use std::time::Duration;

use jiff::Timestamp;
use strum::{Display, EnumString, IntoStaticStr};

use super::backoff::backoff;
use crate::dicom::Uid;

/// The pause after the first report that did not reach the requester.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause between reports.
pub const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How long a requester that cannot be reached is tried: longer than any weekend without an administrator.
const GIVE_UP_AFTER: Duration = Duration::from_hours(168);

/// Whose commitment it is: a transaction of a requester.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitmentId {
    /// AE title of the requester.
    pub requester: String,
    /// Transaction UID (0008,1195).
    pub transaction_uid: Uid,
}

/// An instance that a commitment is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentInstance {
    /// SOP Class UID, as the requester states it.
    pub sop_class_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// What the node has found; `None` until it has looked.
    pub verdict: Option<Verdict>,
}

/// Whether the node commits to keep an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does: the bytes are there and are those that came.
    Committed,
    /// It does not, for this Failure Reason (0008,1197).
    Refused(u16),
}

/// A commitment whose requester is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Whose it is.
    pub id: CommitmentId,
    /// What it is about, in the requester's order.
    pub instances: Vec<CommitmentInstance>,
    /// Reports that were begun, this one included.
    pub attempts: u32,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// What a request for a commitment is to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitmentRequest {
    /// It is new, or the same as before: its requester is to be told, again perhaps.
    Accepted,
    /// The transaction is known with other instances.
    Duplicate,
}

/// How far a commitment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CommitmentState {
    /// The requester was not told yet.
    Requested,
    /// The requester knows.
    Reported,
    /// The requester could not be told in time. It still may ask.
    Failed,
}

impl CommitmentState {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Commitment {
    /// When the next report is due after one that failed; `None` if there is none.
    pub fn next_report(&self, now: Timestamp) -> Option<Timestamp> {
        let late = now.duration_since(self.requested_at) > jiff::SignedDuration::try_from(GIVE_UP_AFTER).ok()?;
        if late { None } else { now.checked_add(backoff(self.attempts, FIRST_PAUSE, LONGEST_PAUSE)).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requester_that_cannot_be_reached_is_tried_for_a_week() {
        let requested_at = Timestamp::UNIX_EPOCH;
        let transaction_uid = Uid::parse("1.2").expect("uid");
        let id = CommitmentId { requester: "CT".to_owned(), transaction_uid };
        let commitment = |attempts| Commitment { id: id.clone(), instances: Vec::new(), attempts, requested_at };
        let after = |attempts: u32, seconds: i64| {
            let now = Timestamp::from_second(seconds).expect("time");
            commitment(attempts).next_report(now).map(|next| next.as_second() - seconds)
        };
        assert_eq!([after(1, 0), after(2, 30), after(20, 86_400)], [Some(30), Some(60), Some(3600)]);
        assert_eq!(after(200, 168 * 3600 + 1), None);
    }
}

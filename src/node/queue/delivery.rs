//! What a delivery is: one result object for one destination.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::job::JobId;
use crate::config::Fallback;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::ResultKind;

/// A delivery that was claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The job whose result it is.
    pub job: JobId,
    /// Name of the destination.
    pub destination: String,
    /// Series of the result.
    #[serde(flatten)]
    pub series: SeriesId,
    /// The result object.
    pub sop_instance_uid: Uid,
    /// Kind of the result.
    pub kind: ResultKind,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// Since when it is pending, or pending again.
    pub pending_since: Timestamp,
}

/// What a destination has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The other form in which the object was sent, because the destination refuses its class.
    pub sent_as: Option<Fallback>,
    /// What is remarkable about it: a warning of the destination, or that it had the object before.
    pub remark: Option<String>,
}

impl Confirmation {
    /// A confirmation with something remarkable.
    pub fn remarkable(remark: String) -> Self {
        Self { sent_as: None, remark: Some(remark) }
    }
}

/// What became of an attempt to deliver an object.
pub type DeliveryOutcome = Result<Confirmation, DeliveryFailure>;

/// Why an attempt to deliver an object failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// The destination accepts nothing at the moment: it is down, full, or does not know this node. The object is not
    /// at fault, so no attempt is counted; only the time limit ends the retries.
    Destination(String),
    /// The destination refuses this object, or the object cannot be sent.
    Object(String),
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Destination(reason) | Self::Object(reason)) = self;
        formatter.write_str(reason)
    }
}

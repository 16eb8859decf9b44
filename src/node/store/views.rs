//! What API, dashboard and metrics show of series, jobs, results and deliveries.

use jiff::Timestamp;
use serde::Serialize;

use super::shadow::ShadowView;
use crate::config::Fallback;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{self, AnalysisSummary, ResultReference};
use crate::node::queue::{DeliveryState, JobId, JobState};

/// A study and all its series of images.
#[derive(Debug, Clone, Serialize)]
pub struct StudyView {
    /// Study Instance UID.
    pub study_instance_uid: Uid,
    /// When its first object arrived.
    pub received_at: Timestamp,
    /// Its series, in order of series number; none for the node's own results and for series that are not images.
    pub series: Vec<SeriesView>,
}

/// The state of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesProgress {
    /// Objects may still arrive.
    Receiving,
    /// That of its newest job.
    #[serde(untagged)]
    Job(JobState),
}

/// A series: its state, findings, results and their deliveries.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesView {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// Modality (0008,0060), empty if the series has none.
    pub modality: String,
    /// Stored instances.
    pub instances: u64,
    /// Its state.
    pub state: SeriesProgress,
    /// The outcome of its newest job, once it ended.
    #[serde(flatten, serialize_with = "pipeline::answer")]
    pub summary: Option<AnalysisSummary>,
    /// The newest job of the series, once it is complete.
    pub job: Option<JobId>,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// Result objects.
    pub results: Vec<ResultReference>,
    /// Their deliveries, one entry per destination and object.
    pub deliveries: Vec<DeliveryView>,
    /// What shadow models predict: recorded for comparison, no part of the results, never sent.
    pub shadow: Vec<ShadowView>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Name of the destination.
    pub destination: String,
    /// The result object.
    pub sop_instance_uid: Uid,
    /// Its state.
    pub state: DeliveryState,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// When the next attempt is due, between attempts.
    pub next_attempt_at: Option<Timestamp>,
    /// The other form in which the object was sent, because the destination refuses its class.
    pub sent_as: Option<Fallback>,
    /// What is remarkable about what the destination has: its warning, or that it had the object before.
    pub remark: Option<String>,
    /// When the destination committed to keep it.
    pub committed_at: Option<Timestamp>,
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its identity.
    pub id: JobId,
    /// The series.
    #[serde(flatten)]
    pub series: SeriesId,
    /// 1 for the first instance set of the series, 2 when more instances arrived, and so on.
    pub version: u32,
    /// Its state.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// The outcome of the analysis, once it ended.
    pub summary: Option<AnalysisSummary>,
}

//! What API, dashboard and metrics show of series, jobs, results and deliveries.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::index::Visibility;
use super::shadow::ShadowView;
use crate::config::Fallback;
use crate::dicom::{SeriesId, Uid};
use crate::engine::analyse::findings::{Decision, Probability};
use crate::engine::pipeline::{self, AnalysisSummary, ResultReference};
use crate::engine::report::NoteCause;
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

impl FromStr for SeriesProgress {
    type Err = strum::ParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "receiving" { Ok(Self::Receiving) } else { name.parse().map(Self::Job) }
    }
}

impl SeriesProgress {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Job(state) => state.name(),
        }
    }
}

/// A series: the state of its newest version, and beside it the result that counts. A version that was not analysed leaves the
/// result of an earlier one in its place.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesView {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// Modality (0008,0060), empty if the series has none.
    pub modality: String,
    /// Stored instances.
    pub instances: u64,
    /// The state of its newest version.
    pub state: SeriesProgress,
    /// The newest version that has a job; `None` before the series is complete for the first time.
    pub version: Option<u32>,
    /// What was found, and why not.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The job of the newest version.
    pub job: Option<JobId>,
    /// Attempts begun at it.
    pub attempts: u32,
    /// What the last failed attempt at it said.
    pub error: Option<String>,
    /// The version that was analysed and made the result; `None` if none was.
    pub result_version: Option<u32>,
    /// Result objects of that version, and the notice of the newest one, if it has one.
    pub results: Vec<ResultReference>,
    /// Their deliveries, one entry per destination and object.
    pub deliveries: Vec<DeliveryView>,
    /// What became of the result of the newest version that was analysed, if it does not stand any more.
    pub void: Option<VoidResult>,
    /// What is newer than the result and has none.
    pub later: Option<LaterImages>,
    /// Results that were replaced, newest first.
    pub earlier: Vec<EarlierResult>,
    /// What shadow models predict: recorded for comparison, no part of the results, never sent.
    pub shadow: Vec<ShadowView>,
}

impl SeriesView {
    /// What was found in the version whose result counts, or how the newest version ended if none has a result.
    pub fn summary(&self) -> Option<&AnalysisSummary> {
        self.outcome.summary()
    }

    /// Results that were replaced by one with another decision.
    pub fn decided_otherwise(&self) -> impl Iterator<Item = &EarlierResult> {
        let decision = self.summary().and_then(AnalysisSummary::decision);
        self.earlier.iter().filter(move |earlier| decision.is_some_and(|decision| decision != earlier.decision))
    }
}

/// How the versions of a series ended, as far as it matters: findings are of the result that counts, reasons of the newest
/// version.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Of the newest version that was analysed.
    pub result: Option<AnalysisSummary>,
    /// Of the newest version, if it ended without a result.
    pub not_analysed: Option<AnalysisSummary>,
}

impl Outcome {
    /// What was found, or how the newest version ended if nothing was.
    pub fn summary(&self) -> Option<&AnalysisSummary> {
        self.result.as_ref().or(self.not_analysed.as_ref())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pipeline::answer_with_reasons_of(self.summary(), self.not_analysed.as_ref(), serializer)
    }
}

/// A result that was withdrawn or rejected and that no newer one replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoidResult {
    /// Its version.
    pub version: u32,
    /// What it is now.
    pub state: Visibility,
    /// Why, as far as records say.
    pub reason: Option<NoteCause>,
}

impl fmt::Display for VoidResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(formatter, "{}: {reason}", self.state),
            None => self.state.fmt(formatter),
        }
    }
}

impl Serialize for VoidResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("VoidResult", 3)?;
        fields.serialize_field("version", &self.version)?;
        fields.serialize_field("state", &self.state)?;
        fields.serialize_field("explanation", &self.to_string())?;
        fields.end()
    }
}

/// Images that came after those of the result, and that were not analysed.
#[derive(Debug, Clone, Serialize)]
pub struct LaterImages {
    /// Their version; `None` while they are received.
    pub version: Option<u32>,
    /// Their state.
    pub state: SeriesProgress,
    /// Why, in words: reasons, an error, or the state.
    pub explanation: String,
}

impl fmt::Display for LaterImages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Later images not analysed: {}", self.explanation)
    }
}

/// A result that a newer version replaced.
#[derive(Debug, Clone, Serialize)]
pub struct EarlierResult {
    /// Its version.
    pub version: u32,
    /// Its decision.
    pub decision: Decision,
    /// Its probability.
    pub probability: Probability,
    /// Its objects: retrieved by their identifiers alone.
    pub results: Vec<ResultReference>,
    /// What became of their deliveries.
    pub deliveries: Vec<DeliveryView>,
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
    /// The outcome of the analysis, once it ended; `None` of one whose result was withdrawn or rejected.
    pub summary: Option<AnalysisSummary>,
}

//! From instances to results.

use serde::{Deserialize, Serialize};

use super::analyse::findings::{Decision, ModelIdentity, Probability, Provider};
use super::volume::Rejection;
use crate::dicom::Uid;

/// How the analysis of one series ended, as the worker records it, the API answers it and the CSV lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Study Instance UID, where one could be read.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID, where one could be read.
    pub series_instance_uid: Option<Uid>,
    /// Analysed or rejected.
    pub status: Status,
    /// All quality rejections that apply, in the order of `Reason::ALL`.
    pub rejections: Vec<Rejection>,
    /// Calibrated exam probability, when analysed.
    pub probability: Option<Probability>,
    /// Decision, when analysed.
    pub decision: Option<Decision>,
    /// Volume of the left lung, whenever the lung stage ran.
    pub left_lung_ml: Option<f64>,
    /// Volume of the right lung, whenever the lung stage ran.
    pub right_lung_ml: Option<f64>,
    /// Execution provider of the networks, when one ran.
    pub provider: Option<Provider>,
    /// Models that took part.
    pub models: Vec<ModelIdentity>,
    /// Milliseconds of each stage, in order: `read`, `quality`, `lungs`, `embolism`, `evidence`, `report`.
    pub timings_ms: Vec<(String, u64)>,
    /// The result objects.
    pub results: Vec<ResultReference>,
}

/// How an analysis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Results were made.
    Analysed,
    /// The series is not usable, for the reasons given.
    Rejected,
}

/// Kinds of result objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultKind {
    /// Structured report.
    Sr,
    /// Heat maps as Secondary Capture.
    Sc,
    /// Lung segmentation.
    Seg,
    /// Key object selection.
    Kos,
}

impl ResultKind {
    /// File stem and API name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sr => "sr",
            Self::Sc => "sc",
            Self::Seg => "seg",
            Self::Kos => "kos",
        }
    }
}

/// A result object by its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultReference {
    /// What it is.
    pub kind: ResultKind,
    /// Series Instance UID of the result.
    pub series_instance_uid: Uid,
    /// SOP Instance UID of the result.
    pub sop_instance_uid: Uid,
}

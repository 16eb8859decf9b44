//! What a job is: one series with one set of instances.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::refusal::RefusedImages;
use crate::dicom::{Member, SeriesId, Uid, hexadecimal};
use crate::engine::pipeline::ResultReference;
use crate::engine::volume::Rejection;

/// The identity of a job: a function of series and instance set alone, so the same input never makes two jobs, whatever
/// was promoted meanwhile. Its summary and its results name the models that analysed it, so there is one result set for
/// series, instance set and models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JobId {
    /// The job of a series with the instance set of this digest.
    pub(in crate::node) fn of(series: &SeriesId, instances_sha256: &str) -> Self {
        let text = format!("{}\n{}\n{instances_sha256}", series.study_instance_uid, series.series_instance_uid);
        Self(hexadecimal(&Sha256::digest(text)[..16]))
    }

    /// A job identity as typed. The job need not exist.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A job the worker holds a lease on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// The series.
    pub series: SeriesId,
    /// The instances to analyse.
    pub instances: Vec<Uid>,
    /// Digest of the instance set.
    pub instances_sha256: String,
    /// Which job of its series it is, from 1.
    pub version: u32,
    /// Which issue of its results it makes, from 0; each has identifiers of its own.
    pub issue: u32,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// What of the series had been refused when the job was made.
    pub refused: Vec<RefusedImages>,
    /// The report that the series has now, if it has one.
    pub predecessor: Option<ResultReference>,
    /// When the job was made: the time its results carry, so that a retry writes the same bytes.
    pub created_at: Timestamp,
}

/// What is to become of a series that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Analyse these instances.
    Analyse(Vec<Member>),
    /// Not for this node: the instances and why.
    Reject(Vec<Member>, Vec<Rejection>),
    /// Not a series of images: no job.
    Ignore,
}

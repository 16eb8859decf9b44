//! What a job is: one series with one set of instances.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::refusal::RefusedImages;
use crate::dicom::{SeriesId, Uid, hexadecimal};
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

/// An instance of a job's set: SOP Instance UID and SHA-256 of its data set.
pub type Member = (Uid, String);

/// The digest of a set of instances, whatever their order.
pub fn instances_sha256(members: &[Member]) -> String {
    let mut lines: Vec<String> = members.iter().map(|(uid, sha256)| format!("{uid} {sha256}\n")).collect();
    lines.sort_unstable();
    hexadecimal(&Sha256::digest(lines.concat()))
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
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// What of the series had been refused when the job was made.
    pub refused: Vec<RefusedImages>,
    /// The report of the last job of the series, on fewer instances, if it made one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_the_set_and_not_on_its_order() {
        let member = |uid: &str, sha256: &str| (Uid::parse(uid).expect("uid"), sha256.to_owned());
        let (first, second) = (member("1.2", "aa"), member("1.3", "bb"));
        let set = instances_sha256(&[first.clone(), second.clone()]);
        assert_eq!(set, instances_sha256(&[second.clone(), first.clone()]));
        assert_ne!(set, instances_sha256(std::slice::from_ref(&first)));
        assert_ne!(set, instances_sha256(&[first, member("1.3", "bc")]));
    }
}

//! What result objects are made from.

use jiff::ZonedDateTime;

use super::kind::ResultReference;
use crate::config::ReportConfig;
use crate::engine::analyse::findings::{Findings, KeySlice};
use crate::engine::volume::{LungMask, Volume};

/// All that result objects are made from.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The analysed series; its header gives patient and study.
    pub volume: &'a Volume,
    /// Lungs on the grid of the volume.
    pub lungs: &'a LungMask,
    /// What was found.
    pub findings: &'a Findings,
    /// What to write and how.
    pub settings: &'a ReportConfig,
    /// Digest over what was analysed of the series; results are identified by it.
    pub instance_set_digest: &'a str,
    /// Which analysis of the series this is, from 1: the job's version.
    pub version: u32,
    /// Which issue of these results it is, from 0: each has identifiers of its own.
    pub issue: u32,
    /// The earlier report on the same series with fewer instances, which this one replaces.
    pub predecessor: Option<&'a ResultReference>,
    /// When the job was created; every date and time of the results comes from it.
    pub time: &'a ZonedDateTime,
    /// Version of this program, with its commit where known.
    pub software_version: &'a str,
}

impl<'a> Context<'a> {
    /// The key slices that results show: as many as the settings ask for, at least one; none without evidence.
    pub(super) fn key_slices(&self) -> &'a [KeySlice] {
        let all = self.findings.evidence.as_ref().map_or(&[][..], |evidence| &evidence.key_slices);
        &all[..all.len().min(self.settings.key_slices.max(1))]
    }
}

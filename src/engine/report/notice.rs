//! A page for an exam that was not analysed, so that nobody takes the lack of a result for the lack of a finding: a
//! Secondary Capture that states why ([PS3.3 A.8.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.8.html)).

use std::fmt;

use dicom_dictionary_std::{tags, uids};
use jiff::Timestamp;

use super::element::{Compose, ascii};
use super::header::{Document, ObjectIdentity, Reference};
use super::picture::not_analysed_page;
use super::plain_header::PlainHeader;
use super::secondary_capture::{as_capture, with_pixels};
use super::{ReportError, ResultKind, ResultObject};
use crate::dicom::Uid;
use crate::engine::volume::Rejection;

/// Why an exam has no result.
#[derive(Debug, Clone, PartialEq)]
pub enum NotAnalysed {
    /// It is not usable, for these reasons.
    Rejected(Vec<Rejection>),
    /// Every attempt ended in an error. What the last one said is for administrators, and not on the page.
    Failed,
    /// It has waited longer than this many minutes.
    Overdue(u64),
}

impl NotAnalysed {
    /// The name of the cause, by which pages of the same exam are told apart.
    fn name(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Failed => "failed",
            Self::Overdue(_) => "overdue",
        }
    }

    /// Each reason as a sentence.
    pub(super) fn reasons(&self) -> Vec<String> {
        match self {
            Self::Rejected(rejections) => {
                rejections.iter().map(|one| format!("{}: {}", one.reason, one.explanation)).collect()
            }
            Self::Failed => vec!["failed: the analysis ended in an error. Ask your administrator.".to_owned()],
            Self::Overdue(minutes) => {
                vec![format!("overdue: after {minutes} minutes the analysis has not ended. A result may still follow.")]
            }
        }
    }
}

impl fmt::Display for NotAnalysed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reasons().join("; "))
    }
}

/// What the page is about.
#[derive(Debug, Clone)]
pub struct NoticeSubject<'a> {
    /// The job that has no result; the identity of the page derives from it.
    pub job: &'a str,
    /// Why.
    pub cause: &'a NotAnalysed,
    /// True if earlier images of the series were analysed, and their result counts.
    pub has_earlier_result: bool,
    /// When the exam became due the page, and which issue of the page it is: a page that a destination was told not to use
    /// is made anew.
    pub since: Timestamp,
    /// From 0.
    pub issue: u32,
}

/// The page as a Secondary Capture.
///
/// # Errors
/// The header lacks an attribute that every result needs.
pub fn notice(header: &PlainHeader<'_>, subject: &NoticeSubject<'_>) -> Result<ResultObject, ReportError> {
    let derived = |part| {
        let (since, issue) = (subject.since.as_millisecond().to_string(), subject.issue.to_string());
        let beside = if subject.has_earlier_result { "later images" } else { "exam" };
        let source = [header.series.as_str(), subject.job, subject.cause.name(), beside, &since, &issue];
        Uid::derived(source.into_iter().chain([ResultKind::Notice.name(), part]))
    };
    let identity = ObjectIdentity {
        kind: ResultKind::Notice,
        series: derived("series"),
        reference: Reference::object(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, derived("instance")),
    };
    let description = if subject.has_earlier_result { "PE: later images not analysed" } else { "PE: not analysed" };
    let page = not_analysed_page(&subject.cause.reasons(), subject.has_earlier_result, header.software_version);
    let derivation = format!("No finding was made. {}", subject.cause);
    let data_set = as_capture(header.compose(&identity, "OT", description))
        .with(tags::LOSSY_IMAGE_COMPRESSION, "00")
        .with(tags::DERIVATION_DESCRIPTION, ascii(&derivation, 1024));
    Document { identity, data_set: with_pixels(data_set, &[&page]) }.into_result()
}

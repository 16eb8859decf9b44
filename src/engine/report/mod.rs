//! Findings as DICOM objects: structured report, segmentation, secondary capture, key object selection.
//!
//! [`results`] is a pure function of its [`Context`]: the same context gives the same objects byte for byte, so a
//! retried job writes what it wrote before. Unique identifiers derive from the source series, its instances, the
//! models and the kind of object.

mod element;
mod header;
mod key_objects;
mod kind;
mod picture;
mod secondary_capture;
mod segmentation;
mod sr;
mod statements;

use dicom_dictionary_std::uids;
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject, Tag, WithMetaError};
use jiff::ZonedDateTime;

use super::analyse::findings::{Findings, KeySlice};
use super::volume::{LEFT_LUNG, LungMask, RIGHT_LUNG, Volume};
use crate::config::ReportConfig;
use crate::dicom::Uid;
pub use kind::{ResultKind, ResultReference};
pub use picture::{Pictures, evidence_colour, first_heat_map};

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
    /// Digest over the instances of the series, as the job is keyed by it.
    pub instance_set_digest: &'a str,
    /// The report on the same series when it had fewer instances, which this one takes the place of.
    pub predecessor: Option<&'a ResultReference>,
    /// When the job was created; every date and time of the results comes from it.
    pub time: &'a ZonedDateTime,
    /// Version of this program, with its commit where known.
    pub software_version: &'a str,
}

impl<'a> Context<'a> {
    /// The key slices that results show: as many as the settings ask for, at least one; none without evidence.
    fn key_slices(&self) -> &'a [KeySlice] {
        let all = self.findings.evidence.as_ref().map_or(&[][..], |evidence| &evidence.key_slices);
        &all[..all.len().min(self.settings.key_slices.max(1))]
    }
}

/// A result object, ready to be written.
#[derive(Debug, Clone)]
pub struct ResultObject {
    /// What it is.
    pub kind: ResultKind,
    /// Its series, which is its own.
    pub series_instance_uid: Uid,
    /// The instance.
    pub sop_instance_uid: Uid,
    /// Data set and file meta information (Explicit VR Little Endian).
    pub object: FileDicomObject<InMemDicomObject>,
}

impl ResultObject {
    /// The identity of the object alone.
    pub fn reference(&self) -> ResultReference {
        ResultReference {
            kind: self.kind,
            series_instance_uid: self.series_instance_uid.clone(),
            sop_instance_uid: self.sop_instance_uid.clone(),
        }
    }
}

/// Why no report can be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The source lacks what every result must name.
    #[error("reporting on a series: its images have no usable {name} {tag}; such a series cannot be reported on")]
    Missing {
        /// The attribute.
        tag: Tag,
        /// Its name.
        name: &'static str,
    },
    /// Volume, mask and findings do not belong together.
    #[error("reporting on a series: {0}; volume, lungs and findings must come from one analysis")]
    Inconsistent(String),
    /// File meta information could not be made.
    #[error("writing the file meta information of a {kind}: {source}", kind = kind.name())]
    FileMeta {
        /// Which object.
        kind: ResultKind,
        /// What dicom-object said.
        source: Box<WithMetaError>,
    },
}

/// What one analysis gives to its readers.
#[derive(Debug, Clone)]
pub struct Results {
    /// SR, SC (one or, by setting, several), SEG unless no lung was found, KOS unless there are no key slices.
    pub objects: Vec<ResultObject>,
    /// The frames of the SC.
    pub pictures: Pictures,
}

/// Makes every result of one analysis.
pub fn results(context: &Context) -> Result<Results, ReportError> {
    check(context)?;
    let header = header::Header::new(context)?;
    let pictures = picture::draw(context);
    let segmentation = segmentation::build(context, &header);
    let report = sr::build(context, &header, segmentation.as_ref().map(|document| &document.identity));
    let documents = std::iter::once(report)
        .chain(secondary_capture::build(context, &header, &pictures))
        .chain(segmentation)
        .chain(key_objects::build(context, &header));
    let objects = documents.map(header::Document::into_result).collect::<Result<_, _>>()?;
    Ok(Results { objects, pictures })
}

/// Refuses grids and indices that do not fit each other, before anything is indexed by them.
fn check(context: &Context) -> Result<(), ReportError> {
    let inconsistent = |message: String| Err(ReportError::Inconsistent(message));
    let shape = context.volume.hounsfield.dim();
    if context.lungs.0.dim() != shape {
        return inconsistent(format!("the lung mask has {:?} voxels, the volume {shape:?}", context.lungs.0.dim()));
    }
    if context.volume.slices.len() != shape.0 {
        return inconsistent(format!("{} slices are named, the volume has {}", context.volume.slices.len(), shape.0));
    }
    let evidence = context.findings.evidence.as_ref();
    if evidence.is_some_and(|evidence| evidence.key_slices.is_empty()) {
        return inconsistent("no key slice was given".to_owned());
    }
    for (name, label, lung) in
        [("left", LEFT_LUNG, &context.findings.lungs.left), ("right", RIGHT_LUNG, &context.findings.lungs.right)]
    {
        let found = context.lungs.0.iter().filter(|voxel| **voxel == label).count() as u64;
        let named = lung.as_ref().map_or(0, |lung| lung.voxels);
        if found != named {
            return inconsistent(format!("the {name} lung has {found} voxels in the mask and {named} in the findings"));
        }
    }
    let key_slices = evidence.into_iter().flat_map(|evidence| evidence.key_slices.iter().map(|key| key.slice));
    let slices = evidence.into_iter().flat_map(|evidence| evidence.slices.iter().map(|finding| finding.slice));
    match key_slices.chain(slices).chain([context.findings.field.slice]).find(|slice| *slice >= shape.0) {
        Some(slice) => inconsistent(format!("slice {slice} is named, the volume has {}", shape.0)),
        None => Ok(()),
    }
}

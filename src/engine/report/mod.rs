//! Findings as DICOM objects: structured report, segmentation, secondary capture, key object selection.
//!
//! [`results`] is a pure function of its [`Context`]: the same context gives the same objects byte for byte, so a
//! retried job writes what it wrote before. Unique identifiers derive from the source series, its instances, the
//! models and the kind of object.

mod context;
mod copied;
mod element;
mod encapsulated_pdf;
mod equipment;
mod error;
mod fallback;
mod header;
mod key_objects;
mod kind;
mod naming;
mod notice;
mod object;
mod parametric_map;
mod picture;
mod plain_header;
mod presentation_state;
mod rejection_note;
mod secondary_capture;
mod segmentation;
mod sr;
mod statements;

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};

use super::volume::part::count;
use super::volume::{LEFT_LUNG, RIGHT_LUNG};
pub use context::Context;
pub use element::PRODUCT;
pub use error::ReportError;
pub use fallback::FallbackError;
pub use kind::{ResultKind, ResultReference};
pub use notice::{NotAnalysed, NoticeSubject, notice};
pub use object::ResultObject;
pub use picture::{Pictures, evidence_colour, first_heat_map};
pub use plain_header::PlainHeader;
pub use rejection_note::{NoteCause, RejectedResult, rejection_note};

/// The results of one analysis.
#[derive(Debug, Clone)]
pub struct Results {
    /// SC (one or, by setting, several), SR, SEG unless no lung was found, KOS unless there are no key slices,
    /// and by setting a presentation state of these, the heat map as numbers and the
    /// summary as a PDF.
    pub objects: Vec<ResultObject>,
    /// The frames of the SC.
    pub pictures: Pictures,
}

/// Makes every result of one analysis.
pub fn results(context: &Context) -> Result<Results, ReportError> {
    check(context)?;
    let header = header::Header::new(context)?;
    let (pictures, segmentation) = rayon::join(|| picture::draw(context), || segmentation::build(context, &header));
    let report = sr::build(context, &header, segmentation.as_ref().map(|document| &document.identity));
    let documents = secondary_capture::build(context, &header, &pictures)
        .into_iter()
        .chain(std::iter::once(report))
        .chain(segmentation)
        .chain(key_objects::build(context, &header))
        .chain(presentation_state::build(context, &header))
        .chain(parametric_map::build(context, &header))
        .chain(encapsulated_pdf::build(context, &header, &pictures.summary)?);
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
        let of_slice = |mask: ArrayView2<'_, u8>| count(mask, |voxel| *voxel == label) as u64;
        let found: u64 = context.lungs.0.axis_iter(Axis(0)).into_par_iter().map(of_slice).sum();
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

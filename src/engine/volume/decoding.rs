//! Slices of a stack to voxels, and which of several images at a position is the slice.

use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::left_out::{LeftOut, LeftOutKind};
use super::lossy::LossyCompression;
use super::naming::named;
use super::pixels::{self, Tables};
use super::rejection::{Reason, Rejection};
use super::slice_header::{Excluded, SliceHeader};
use super::stack::Stack;
use crate::dicom::bounded::Limits;
use crate::dicom::elements::DataSet;

/// Positions at which images may differ without a label that tells why. More are two acquisitions, and nothing says
/// which image is of which.
const MOST_CONFLICTS: usize = 3;

/// The voxels of a stack.
pub(super) struct Decoded {
    pub(super) hounsfield: Array3<i16>,
    /// The data set of the first slice without its pixels. It tells the lossy compression of any of the slices.
    pub(super) header: DataSet,
    /// Images at positions of slices.
    pub(super) left_out: Vec<LeftOut>,
    /// Why the stack is no single acquisition.
    pub(super) conflict: Option<Rejection>,
}

/// What remains of a slice whose voxels were read.
struct Loaded {
    /// Of the first slice.
    header: Option<DataSet>,
    lossy: Option<LossyCompression>,
}

/// An image that does not decode, and why.
pub(super) struct Failed {
    pub(super) image: SliceHeader,
    pub(super) excluded: Excluded,
}

/// Decodes a stack; the error lists what does not decode. Of several images at a position, the slice becomes the one
/// that continues its neighbours.
pub(super) fn decode(
    stack: &mut Stack,
    [columns, rows, slices]: [usize; 3],
    limits: &Limits,
) -> Result<Decoded, Vec<Failed>> {
    let mut hounsfield = Array3::<i16>::zeros((slices, rows, columns));
    let outcomes: Vec<Result<Loaded, Rejection>> = hounsfield
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .map_init(Tables::default, |tables, (index, mut image)| {
            let pixels = image.as_slice_mut().expect("a slice of a new array is contiguous");
            let object = pixels::load(&stack.slices[index].stored, tables, limits, pixels)?;
            let lossy = LossyCompression::of(&object);
            Ok(Loaded { header: (index == 0).then(|| without_pixels(object)), lossy })
        })
        .collect();
    let duplicates: Vec<Result<Array2<i16>, Rejection>> = stack
        .duplicates
        .par_iter()
        .map_init(Tables::default, |tables, (_, image)| {
            let mut pixels = Array2::<i16>::zeros((rows, columns));
            let contiguous = pixels.as_slice_mut().expect("a new array is contiguous");
            pixels::load(&image.stored, tables, limits, contiguous)?;
            Ok(pixels)
        })
        .collect();
    let failed: Vec<Failed> = (stack.slices.iter().zip(outcomes.iter().map(|outcome| outcome.as_ref().err())))
        .chain(stack.duplicates.iter().map(|(_, image)| image).zip(duplicates.iter().map(|one| one.as_ref().err())))
        .filter_map(|(image, rejection)| Some(failure(image, rejection?)))
        .collect();
    if !failed.is_empty() {
        return Err(failed);
    }
    let loaded = || outcomes.iter().flatten();
    let lossy = loaded().find_map(|slice| slice.lossy.clone());
    let mut header = loaded().find_map(|slice| slice.header.clone()).unwrap_or_else(DataSet::new_empty);
    if let Some(lossy) = lossy {
        lossy.tell(&mut header);
    }
    let (left_out, conflict) = resolve(stack, &mut hounsfield, duplicates.into_iter().flatten().collect());
    Ok(Decoded { hounsfield, header, left_out, conflict })
}

fn failure(image: &SliceHeader, rejection: &Rejection) -> Failed {
    let excluded = Excluded::unreadable(rejection.clone(), image.number());
    Failed { image: image.clone(), excluded }
}

fn without_pixels(object: FileDicomObject<InMemDicomObject>) -> DataSet {
    let mut header = object.into_inner();
    for tag in [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA] {
        header.remove_element(tag);
    }
    header
}

/// Images at a position that a slice has. Copies are of no use. Of two that differ, one is the slice: the one that
/// differs less from the slices above and below, for both are images of this patient at this place, and the other one
/// may be of another phase.
fn resolve(
    stack: &mut Stack,
    hounsfield: &mut Array3<i16>,
    images: Vec<Array2<i16>>,
) -> (Vec<LeftOut>, Option<Rejection>) {
    let (mut copies, mut others) = (Vec::new(), Vec::new());
    let mut places = Vec::new();
    let normal = stack.normal();
    for ((index, mut header), image) in std::mem::take(&mut stack.duplicates).into_iter().zip(images) {
        if image == hounsfield.index_axis(Axis(0), index) {
            copies.push(header);
            continue;
        }
        places.push(stack.slices[index].along(normal));
        let current = hounsfield.index_axis(Axis(0), index);
        if discontinuity(&image.view(), hounsfield, index) < discontinuity(&current, hounsfield, index) {
            hounsfield.index_axis_mut(Axis(0), index).assign(&image);
            std::mem::swap(&mut header, &mut stack.slices[index]);
        }
        others.push(header);
    }
    places.dedup();
    let conflict = (places.len() > MOST_CONFLICTS).then(|| {
        let [first, last] = [places[0], places[places.len() - 1]];
        let problem =
            "more than one acquisition, and no acquisition number, kernel, time or instance number tells them apart";
        Rejection::new(
            Reason::BadGeometry,
            format!(
                "{} of {} positions, {first:.1} to {last:.1} mm, have images that differ: {problem}",
                places.len(),
                stack.slices.len()
            ),
        )
    });
    let what = |kind, text: &str, images: &[SliceHeader]| {
        let explanation = format!("{text}{}", named(images.iter()));
        (!images.is_empty()).then_some(LeftOut { kind, images: images.len(), explanation })
    };
    let at: Vec<String> = places.iter().take(MOST_CONFLICTS).map(|place| format!("{place:.2}")).collect();
    let differing = format!("at {} mm, where another image continues the slices above and below better", at.join(", "));
    let left_out = [
        what(LeftOutKind::Copy, "identical copies of slices", &copies),
        what(LeftOutKind::SamePosition, &differing, &others),
    ];
    (left_out.into_iter().flatten().collect(), conflict)
}

/// Mean absolute difference between an image and the slices next to a place.
fn discontinuity(image: &ArrayView2<i16>, hounsfield: &Array3<i16>, index: usize) -> f64 {
    let near = [index.checked_sub(1), Some(index + 1).filter(|next| *next < hounsfield.dim().0)];
    let differences = near.into_iter().flatten().map(|next| {
        let pairs = image.iter().zip(hounsfield.index_axis(Axis(0), next));
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / image.len() as f64
    });
    let (sum, count) = differences.fold((0.0, 0.0), |(sum, count), difference| (sum + difference, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

//! Says of each image that is no slice of the stack that was analysed what it is instead.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;

use super::geometry::{dot, norm};
use super::labels::Label;
use super::lattice::SAME_POSITION;
use super::left_out::{LeftOut, LeftOutKind};
use super::naming::{acquisitions, image_numbers, named, numbers};
use super::pixels::{self, Tables};
use super::rejection::{Reason, Rejection, joined};
use super::slice_header::{Excluded, SliceHeader};
use super::stack::{Stack, Stacks};
use crate::dicom::Uid;
use crate::dicom::bounded::Limits;
use crate::dicom::concatenation::Parts;

/// Images nearer to a slice than this are another image of it rather than one between two slices (millimetres).
const AT_A_SLICE: f64 = 0.1;
/// Images of a stack that are compared to tell whether it is a copy.
const COMPARED: usize = 3;
/// A stack that begins so near to the end of the one that is analysed continues it, in another acquisition (millimetres).
const NEXT: f64 = 10.0;
/// Slices that make a stack rather than single images.
const STACK: usize = 3;

/// Everything of a heap but one stack.
pub(super) fn others(stacks: &Stacks, chosen: usize, limits: &Limits) -> Vec<LeftOut> {
    let analysed = &stacks.axial[chosen];
    let planes = stacks.other_planes.iter().map(|images| other_plane(images));
    let axial = stacks.axial.iter().enumerate().filter(|(index, _)| *index != chosen);
    planes.chain(axial.map(|(_, other)| other_stack(other, analysed, limits))).collect()
}

fn left_out<'a>(kind: LeftOutKind, what: &str, images: impl Iterator<Item = &'a SliceHeader> + Clone) -> LeftOut {
    LeftOut { kind, images: images.clone().count(), explanation: format!("{what}{}", named(images)) }
}

/// Images in planes that are not axial.
pub(super) fn other_plane(images: &[SliceHeader]) -> LeftOut {
    let what = match images[0].grid.plane_name() {
        "axial" => format!("tilted by {:.1} degrees from the axial plane", images[0].grid.lean()),
        plane => format!("{plane}, as a localizer or a reformat is"),
    };
    left_out(LeftOutKind::OtherPlane, &what, images.iter())
}

fn other_stack(other: &Stack, analysed: &Stack, limits: &Limits) -> LeftOut {
    let (kind, what) = relation(other, analysed, limits);
    left_out(kind, &what, other.images())
}

/// What the images of one stack are to the one that is analysed.
fn relation(other: &Stack, analysed: &Stack, limits: &Limits) -> (LeftOutKind, String) {
    let [low, high] = other.ends();
    let place =
        if high - low < SAME_POSITION { format!("at {low:.2} mm") } else { format!("{low:.1} to {high:.1} mm") };
    let image = &other.slices[0];
    if !image.grid.agrees(&analysed.slices[0].grid) {
        return (LeftOutKind::OtherStack, format!("another grid, {}, {place}", grid(image)));
    }
    if is_copy(other, analysed, limits) {
        return (LeftOutKind::Copy, format!("identical copies of slices, {place}"));
    }
    if let Some(distance) = apart(other, analysed).filter(|distance| *distance > NEXT || other.slices.len() < STACK) {
        return (LeftOutKind::Elsewhere, format!("{place}, {distance:.1} mm from the stack that was analysed"));
    }
    let beside = sideways(image, nearest(image, analysed));
    if beside > 1.0 {
        let what = format!("{place}, {beside:.1} mm beside the stack that was analysed");
        return (LeftOutKind::Elsewhere, what);
    }
    if other.slices.len() >= STACK {
        return (
            LeftOutKind::OtherStack,
            format!("a further stack, {place}{}{}", step(other), differences(other, analysed)),
        );
    }
    if has_other_frame(other, analysed) {
        return (LeftOutKind::OtherFrameOfReference, format!("{place} in another frame of reference"));
    }
    if other.images().count() >= STACK {
        return (LeftOutKind::OnePlace, format!("at one place, {place}, as bolus tracking makes them"));
    }
    let distance = (image.along(analysed.normal()) - nearest(image, analysed).along(analysed.normal())).abs();
    if distance < AT_A_SLICE {
        return (LeftOutKind::SamePosition, format!("another image at the position of a slice, {place}"));
    }
    (LeftOutKind::BetweenSlices, format!("between two slices, {place}"))
}

fn grid(image: &SliceHeader) -> String {
    let grid = &image.grid;
    format!("{} x {} pixels of {:.3} mm", grid.columns, grid.rows, grid.spacing[0])
}

fn step(stack: &Stack) -> String {
    match &stack.geometry {
        Ok(geometry) => format!(" every {:.2} mm", geometry.spacing[2]),
        Err(Rejection { reason: Reason::MissingSlices, .. }) => " with slices missing".to_owned(),
        Err(_) => " at unequal distances".to_owned(),
    }
}

/// Which acquisition was analysed instead, where numbers tell, and whether the frame of reference is another one.
fn differences(other: &Stack, analysed: &Stack) -> String {
    let frame = if has_other_frame(other, analysed) { "; another frame of reference" } else { "" };
    let [own, theirs] = [other, analysed].map(|stack| acquisitions(stack.slices.iter()));
    match theirs {
        Some(theirs) if own.as_ref() != Some(&theirs) => format!("{frame}; {theirs} was analysed"),
        _ => frame.to_owned(),
    }
}

/// The distance between two stacks of which one ends before the other begins.
fn apart(other: &Stack, analysed: &Stack) -> Option<f64> {
    let ([low, high], [bottom, top]) = (other.ends(), analysed.ends());
    let distance = (bottom - high).max(low - top);
    (distance > AT_A_SLICE).then_some(distance)
}

/// The slice nearest to an image along the stack.
fn nearest<'a>(image: &SliceHeader, analysed: &'a Stack) -> &'a SliceHeader {
    let normal = analysed.normal();
    let at = image.along(normal);
    let distance = |slice: &SliceHeader| (slice.along(normal) - at).abs();
    let mut slices = analysed.slices.iter();
    let first = slices.next().expect("a stack is never empty");
    slices.fold(first, |best, slice| if distance(slice) < distance(best) { slice } else { best })
}

/// How far an image lies beside a slice, in millimetres.
fn sideways(image: &SliceHeader, slice: &SliceHeader) -> f64 {
    let normal = slice.grid.normal_towards_head();
    let offset: [f64; 3] = std::array::from_fn(|axis| image.position[axis] - slice.position[axis]);
    let height = dot(offset, normal);
    norm(std::array::from_fn(|axis| offset[axis] - height * normal[axis]))
}

/// True if all slices that are analysed share a frame of reference, and the others have none of it.
fn has_other_frame(other: &Stack, analysed: &Stack) -> bool {
    let frame = |image: &SliceHeader| image.labels.get(Label::FrameOfReference).map(str::to_owned);
    let shared = frame(&analysed.slices[0]);
    analysed.slices.iter().all(|slice| frame(slice) == shared) && other.images().all(|image| frame(image) != shared)
}

/// True if the images show what the slices at their positions show. A few are compared.
fn is_copy(other: &Stack, analysed: &Stack, limits: &Limits) -> bool {
    let counterpart = |image: &SliceHeader| {
        let slice = nearest(image, analysed);
        let offset: [f64; 3] = std::array::from_fn(|axis| image.position[axis] - slice.position[axis]);
        (norm(offset) < SAME_POSITION).then(|| slice.clone())
    };
    let pairs: Option<Vec<(&SliceHeader, SliceHeader)>> =
        other.images().map(|image| Some((image, counterpart(image)?))).collect();
    let Some(pairs) = pairs else { return false };
    let stride = pairs.len().div_ceil(COMPARED);
    pairs.iter().step_by(stride).all(|(image, slice)| {
        let decoded = [*image, slice].map(|header| decoded(header, limits));
        decoded[0].is_some() && decoded[0] == decoded[1]
    })
}

fn decoded(header: &SliceHeader, limits: &Limits) -> Option<Array2<i16>> {
    let mut image = Array2::<i16>::zeros((header.grid.rows, header.grid.columns));
    pixels::load(&header.stored, &mut Tables::default(), limits, image.as_slice_mut()?).ok()?;
    Some(image)
}

/// Parts of the concatenations of a stack that did not come. One that is missing at an end leaves no gap.
pub(super) fn missing_parts(parts: &Parts, stack: &Stack) -> Option<Rejection> {
    let of_stack: BTreeSet<&Uid> =
        stack.slices.iter().filter_map(|slice| Some(&slice.part.as_ref()?.concatenation)).collect();
    let missing = parts.missing().filter(|missing| of_stack.contains(missing.concatenation)).filter_map(|missing| {
        let named = numbers("part", missing.numbers.into_iter().map(i64::from))?;
        Some(format!("{named} of a concatenation of {} parts did not come", missing.total))
    });
    let sentences: Vec<String> = missing.collect();
    (!sentences.is_empty()).then(|| Rejection::new(Reason::MissingSlices, joined(sentences)))
}

/// Excluded instances by kind and reason, with a sentence for each problem.
fn by_cause(excluded: &[Excluded]) -> BTreeMap<(LeftOutKind, Option<Reason>), (usize, Vec<String>)> {
    let mut problems: BTreeMap<(LeftOutKind, Option<Reason>, &str), Vec<&Excluded>> = BTreeMap::new();
    for one in excluded {
        problems.entry((one.kind, one.reason, one.problem.as_str())).or_default().push(one);
    }
    let mut causes: BTreeMap<_, (usize, Vec<String>)> = BTreeMap::new();
    for ((kind, reason, problem), all) in problems {
        let instances = image_numbers(all.iter().map(|one| one.number));
        let (count, sentences) = causes.entry((kind, reason)).or_default();
        *count += all.len();
        sentences.push(instances.map_or_else(|| problem.to_owned(), |instances| format!("{problem} ({instances})")));
    }
    causes
}

/// What was excluded, where the series is analysed without it.
pub(super) fn excluded(excluded: &[Excluded]) -> Vec<LeftOut> {
    let causes = by_cause(excluded).into_iter();
    causes.map(|((kind, _), (images, sentences))| LeftOut { kind, images, explanation: joined(sentences) }).collect()
}

/// What was excluded, where the series is not usable: the faults are reasons.
pub(super) fn faults(excluded: &[Excluded]) -> Vec<Rejection> {
    let one = |((_, reason), (images, sentences)): ((_, Option<Reason>), (usize, Vec<String>))| {
        let count = if images > 1 { format!("{images} images: ") } else { String::new() };
        Some(Rejection::new(reason?, format!("{count}{}", joined(sentences))))
    };
    by_cause(excluded).into_iter().filter_map(one).collect()
}

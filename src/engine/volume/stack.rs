//! From the headers of a series to one regular stack of slices.

use super::geometry::{Geometry, PatientPoint, dot, norm};
use super::rejection::{Reason, Rejection};
use super::slice_header::{ImageGrid, SliceHeader};

/// Fewest slices of an exam. At the greatest slice distance allowed (3.5 mm) these span 112 mm, about the distance
/// from aortic arch to the dome of the diaphragm: the least in which the central pulmonary arteries can be seen.
pub const MINIMUM_SLICES: usize = 32;

/// Images closer together than this share a position (millimetres).
const SAME_POSITION: f64 = 0.01;
/// A slice distance may deviate from the stack's by this share of it, or by [`STEP_ROUNDING`] if that is more.
const STEP_TOLERANCE: f64 = 0.1;
/// How far a slice may lie from its place in a stack of equal steps, as a share of a step.
const LARGEST_SHIFT: f64 = 0.5;
/// Positions are often written with one decimal, so that two roundings add up (millimetres).
const STEP_ROUNDING: f64 = 0.11;
/// How far image positions may drift sideways over the whole stack (millimetres): about one pixel of a chest CT.
const DRIFT_TOLERANCE: f64 = 1.0;
/// Smallest cosine between stack and long axis of the body, 2 degrees. Prepared slices are level; a source slice that
/// leans more would show, at its edges, another place than the evidence that is drawn on it.
pub(super) const AXIAL_COSINE: f64 = 0.9994;

/// Slices in the order of their volume, lowest first.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) geometry: Geometry,
    pub(super) slices: Vec<SliceHeader>,
    /// Images at a position that is taken: index of the slice that has it, and the other image.
    pub(super) duplicates: Vec<(usize, SliceHeader)>,
}

/// Arranges slices. `None` if no regular stack can be made of them; rejections say why, or what had to be left out.
pub(super) fn arrange(headers: Vec<SliceHeader>) -> (Option<Stack>, Vec<Rejection>) {
    let mut rejections = Vec::new();
    let headers = of_one_grid(headers, &mut rejections);
    let Some(first) = headers.first() else { return (None, rejections) };
    let grid = first.grid.clone();
    let normal = grid.normal_towards_head();
    if normal[2] < AXIAL_COSINE {
        rejections.push(Rejection::new(
            Reason::BadGeometry,
            format!(
                "the images are not axial: the stack leans {:.0} degrees from the long axis of the body, at most 2 are allowed",
                normal[2].acos().to_degrees()
            ),
        ));
        return (None, rejections);
    }
    let (slices, duplicates) = sorted(headers, normal);
    let positions: Vec<f64> = slices.iter().map(|slice| dot(slice.position, normal)).collect();
    let regular = match spacing(&positions) {
        Ok(step) => check_drift(&slices, normal).map(|()| step),
        Err(rejection) => Err(rejection),
    };
    match regular {
        Ok(step) => {
            let geometry = geometry(&grid, &slices, normal, step);
            (Some(Stack { geometry, slices, duplicates }), rejections)
        }
        Err(rejection) => {
            rejections.push(rejection);
            (None, rejections)
        }
    }
}

/// The largest group of slices that share grid and frame of reference; what does not fit is a bad geometry.
fn of_one_grid(headers: Vec<SliceHeader>, rejections: &mut Vec<Rejection>) -> Vec<SliceHeader> {
    let total = headers.len();
    let mut groups: Vec<Vec<SliceHeader>> = Vec::new();
    for header in headers {
        let same = |group: &&mut Vec<SliceHeader>| {
            group[0].grid.agrees(&header.grid) && group[0].frame_of_reference_uid == header.frame_of_reference_uid
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(header),
            None => groups.push(vec![header]),
        }
    }
    let count = groups.len();
    // `max_by_key` takes the last of equals: reversed, the first of the largest groups is chosen.
    let largest = groups.into_iter().rev().max_by_key(Vec::len).unwrap_or_default();
    if count > 1 {
        rejections.push(Rejection::new(
            Reason::BadGeometry,
            format!(
                "the images do not share size, spacing, orientation and frame of reference: {} of {total} differ from the rest",
                total - largest.len()
            ),
        ));
    }
    if largest.first().is_some_and(|slice| slice.frame_of_reference_uid.is_none()) {
        rejections.push(Rejection::new(
            Reason::BadGeometry,
            "the images name no Frame of Reference UID: their positions have no common origin",
        ));
    }
    largest
}

/// Slices along the normal, and those whose position is taken already.
fn sorted(mut headers: Vec<SliceHeader>, normal: [f64; 3]) -> (Vec<SliceHeader>, Vec<(usize, SliceHeader)>) {
    let place = |slice: &SliceHeader| dot(slice.position, normal);
    headers.sort_by(|a, b| place(a).total_cmp(&place(b)).then_with(|| a.sop_instance_uid.cmp(&b.sop_instance_uid)));
    let mut slices: Vec<SliceHeader> = Vec::with_capacity(headers.len());
    let mut duplicates = Vec::new();
    for header in headers {
        match slices.last() {
            Some(last) if place(&header) - place(last) < SAME_POSITION => duplicates.push((slices.len() - 1, header)),
            _ => slices.push(header),
        }
    }
    (slices, duplicates)
}

/// The common distance of sorted positions.
fn spacing(positions: &[f64]) -> Result<f64, Rejection> {
    let steps: Vec<f64> = positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if steps.is_empty() {
        return Err(Rejection::new(
            Reason::TooFewSlices,
            format!("{} slice position; a volume needs at least 2", positions.len()),
        ));
    }
    let mut ordered = steps.clone();
    ordered.sort_by(f64::total_cmp);
    let typical = ordered[ordered.len() / 2];
    let tolerance = (STEP_TOLERANCE * typical).max(STEP_ROUNDING.min(0.45 * typical));
    let mut missing = 0;
    let mut gaps = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let whole = (step / typical).round().max(1.0);
        if (step - whole * typical).abs() > tolerance {
            return Err(Rejection::new(
                Reason::BadGeometry,
                format!(
                    "slices are not equally spaced: {step:.2} mm at {:.1} mm, elsewhere {typical:.2} mm",
                    positions[index]
                ),
            ));
        }
        if whole > 1.0 {
            missing += whole as usize - 1;
            gaps.push(format!("{:.1} to {:.1} mm", positions[index], positions[index + 1]));
        }
    }
    if missing > 0 {
        let more = if gaps.len() > 3 { format!(" and {} more", gaps.len() - 3) } else { String::new() };
        gaps.truncate(3);
        return Err(Rejection::new(
            Reason::MissingSlices,
            format!(
                "{missing} of {} slices are missing at a slice distance of {typical:.2} mm: gaps {}{more}",
                missing + positions.len(),
                gaps.join(", "),
            ),
        ));
    }
    let mean = (positions[positions.len() - 1] - positions[0]) / steps.len() as f64;
    let regular = |index: usize| positions[0] + index as f64 * mean;
    let off = positions.iter().enumerate().map(|(index, place)| (place - regular(index)).abs()).fold(0.0, f64::max);
    if off > LARGEST_SHIFT * mean {
        return Err(Rejection::new(
            Reason::BadGeometry,
            format!(
                "slices are not equally spaced: at a mean distance of {mean:.2} mm one lies {off:.1} mm off its place"
            ),
        ));
    }
    Ok(mean)
}

/// Slices must lie straight above each other: a tilted gantry shears the stack.
fn check_drift(slices: &[SliceHeader], normal: [f64; 3]) -> Result<(), Rejection> {
    let origin = slices[0].position;
    let sideways = |slice: &SliceHeader| {
        let offset: [f64; 3] = std::array::from_fn(|axis| slice.position[axis] - origin[axis]);
        let along = dot(offset, normal);
        (norm(std::array::from_fn(|axis| offset[axis] - along * normal[axis])), along)
    };
    let (drift, height) = slices.iter().map(sideways).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();
    if drift <= DRIFT_TOLERANCE {
        return Ok(());
    }
    Err(Rejection::new(
        Reason::BadGeometry,
        format!(
            "image positions drift {drift:.1} mm sideways over {height:.1} mm, as with a gantry tilt of {:.1} degrees; the stack must be upright",
            drift.atan2(height).to_degrees()
        ),
    ))
}

fn geometry(grid: &ImageGrid, slices: &[SliceHeader], normal: [f64; 3], step: f64) -> Geometry {
    Geometry {
        size: [grid.columns, grid.rows, slices.len()],
        spacing: [grid.spacing[0], grid.spacing[1], step],
        directions: [grid.directions[0], grid.directions[1], normal],
        origin: PatientPoint(slices[0].position),
    }
}

//! Places along a stack to slices of a volume, and why they are no volume.

use super::geometry::{Geometry, PatientPoint, dot, norm};
use super::heap::{Place, by_grid, separate};
use super::image_grid::ImageGrid;
use super::labels::Labels;
use super::lattice::regular_step;
use super::naming::named;
use super::rejection::{Reason, Rejection};
use super::slice_header::SliceHeader;

/// Fewest slices of an exam. At the greatest slice distance allowed (3.5 mm) these span 112 mm, about the distance
/// from aortic arch to the dome of the diaphragm: the least in which the central pulmonary arteries can be seen.
pub const MINIMUM_SLICES: usize = 32;

/// How far image positions may drift sideways over the whole stack (millimetres): about one pixel of a chest CT.
const DRIFT_TOLERANCE: f64 = 1.0;

/// Axial images of one grid, in line, one a position, in the order of their volume: lowest first.
#[derive(Debug)]
pub(super) struct Stack {
    /// Never empty.
    pub(super) slices: Vec<SliceHeader>,
    /// Images at a position that is taken: index of the slice that has it, and the other image.
    pub(super) duplicates: Vec<(usize, SliceHeader)>,
    /// The grid of its volume, or why it has none.
    pub(super) geometry: Result<Geometry, Rejection>,
}

/// What the images of a series are.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// Stacks, and images that belong to none: those are stacks of few images.
    pub(super) axial: Vec<Stack>,
    /// Images in other planes, by plane.
    pub(super) other_planes: Vec<Vec<SliceHeader>>,
}

impl Stacks {
    /// Sorts the images of a series.
    pub(super) fn of(images: Vec<SliceHeader>) -> Self {
        let mut stacks = Self::default();
        for group in by_grid(images) {
            if group[0].grid.is_axial() {
                let normal = group[0].grid.normal_towards_head();
                stacks.axial.extend(separate(group, normal).into_iter().map(|places| Stack::of(places, normal)));
            } else {
                stacks.other_planes.push(group);
            }
        }
        stacks
    }

    /// Why there is no axial stack, where there are images.
    pub(super) fn not_axial(&self) -> Option<Rejection> {
        let largest = self.other_planes.iter().max_by_key(|images| images.len())?;
        // Rounded up: what is beyond the limit must read so.
        let lean = (largest[0].grid.lean() * 100.0).ceil() / 100.0;
        let problem = "degrees from the long axis of the body; at most 2 are allowed";
        Some(Rejection::new(
            Reason::BadGeometry,
            format!("the images are not axial: {} of them lean {lean:.2} {problem}", largest.len()),
        ))
    }
}

impl Stack {
    fn of(places: Vec<Place>, normal: [f64; 3]) -> Self {
        let usual = Labels::usual(places.iter().flat_map(|place| &place.images).map(|image| &image.labels));
        let (mut slices, mut duplicates) = (Vec::with_capacity(places.len()), Vec::new());
        for (index, Place { mut images, .. }) in places.into_iter().enumerate() {
            // The one that most labels connect with the rest of the stack; the first of equals.
            let agreement = |image: &SliceHeader| image.labels.in_common(&usual);
            let best = (0..images.len()).rev().max_by_key(|index| agreement(&images[*index])).unwrap_or_default();
            slices.push(images.remove(best));
            duplicates.extend(images.into_iter().map(|image| (index, image)));
        }
        let geometry = geometry(&slices, normal);
        Self { slices, duplicates, geometry }
    }

    /// Unit normal of its images with a positive component towards the head.
    pub(super) fn normal(&self) -> [f64; 3] {
        self.slices[0].grid.normal_towards_head()
    }

    /// Its lowest and its highest place in millimetres along its normal.
    pub(super) fn ends(&self) -> [f64; 2] {
        let normal = self.normal();
        [&self.slices[0], &self.slices[self.slices.len() - 1]].map(|slice| slice.along(normal))
    }

    /// All its images.
    pub(super) fn images(&self) -> impl Iterator<Item = &SliceHeader> + Clone {
        self.slices.iter().chain(self.duplicates.iter().map(|(_, image)| image))
    }
}

fn geometry(slices: &[SliceHeader], normal: [f64; 3]) -> Result<Geometry, Rejection> {
    let places: Vec<f64> = slices.iter().map(|slice| slice.along(normal)).collect();
    let step = regular_step(&places).and_then(|step| check_drift(slices, normal).map(|()| step));
    let step = step.map_err(|rejection| {
        Rejection::new(rejection.reason, format!("{}{}", rejection.explanation, named(slices.iter())))
    })?;
    let ImageGrid { rows, columns, spacing, directions } = &slices[0].grid;
    Ok(Geometry {
        size: [*columns, *rows, slices.len()],
        spacing: [spacing[0], spacing[1], step],
        directions: [directions[0], directions[1], normal],
        origin: PatientPoint(slices[0].position),
    })
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

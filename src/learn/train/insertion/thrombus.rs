//! Thrombi in vessels, as lumps of a clot.

use std::collections::BTreeMap;

use ndarray::{Array3, Zip};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::vessels::{Place, VesselWidth, Vessels, neighbours};
use crate::engine::volume::Volume;

/// Hounsfield units of a clot.
const CLOT: std::ops::Range<f64> = 30.0..80.0;
/// Hounsfield units of the lung around a vessel, of which partial voxels at its wall hold some.
const LUNG: f64 = -850.0;
/// A thrombus does not grow into vessels this much wider than the one in which it lodges.
const WIDER: f32 = 1.5;
/// Size of the lumps, as a share of the radius of the vessel.
const LUMPS: std::ops::Range<f32> = 0.6..1.3;
/// How far the edge of a lump is blurred, in millimetres.
const EDGE_MM: f32 = 0.4;
/// Places drawn before a width is given up.
const TRIALS: usize = 5;

/// Paints thrombi into a volume.
pub(super) struct Painter<'a> {
    vessels: &'a Vessels,
    hounsfield: Array3<i16>,
    /// Share of each voxel's blood that is clotted.
    clotted: Array3<f32>,
}

impl<'a> Painter<'a> {
    pub(super) fn new(volume: &Volume, vessels: &'a Vessels) -> Self {
        let clotted = Array3::zeros(volume.hounsfield.dim());
        Self { vessels, hounsfield: volume.hounsfield.clone(), clotted }
    }

    /// Lets a thrombus lodge in a vessel, one width as often as another; `None` where no free place was found.
    pub(super) fn lodge(&mut self, random: &mut ChaCha8Rng) -> Option<VesselWidth> {
        let of_width = |width: VesselWidth| -> Vec<Place> {
            self.vessels.centres.iter().filter(|(of, _)| *of == width).map(|(_, place)| *place).collect()
        };
        let there = VesselWidth::ALL.map(|width| (width, of_width(width)));
        let there: Vec<&(VesselWidth, Vec<Place>)> = there.iter().filter(|(_, places)| !places.is_empty()).collect();
        let (width, places) = *there.choose(random)?;
        let place = (0..TRIALS).find_map(|_| places.choose(random).filter(|place| self.clotted[**place] == 0.0))?;
        let [shortest, longest] = width.lengths_mm();
        let bed = self.bed(*place, random.random_range(shortest..longest));
        self.fill(&bed, random);
        Some(*width)
    }

    /// The voxels of a vessel within half a length of a place, along the vessel.
    fn bed(&self, start: Place, length_mm: f32) -> Vec<Place> {
        let widest = WIDER * self.vessels.radius_mm[start];
        let mut reached: BTreeMap<Place, f32> = BTreeMap::from([(start, 0.0)]);
        let mut border = vec![start];
        while let Some(place) = border.pop() {
            let so_far = reached[&place];
            for next in neighbours(place, self.clotted.dim()) {
                let radius = self.vessels.radius_mm[next];
                let distance = so_far + self.distance_mm(place, next);
                let nearer = reached.get(&next).is_none_or(|known| distance < *known);
                if radius > 0.0 && radius <= widest && distance <= length_mm / 2.0 && nearer {
                    reached.insert(next, distance);
                    border.push(next);
                }
            }
        }
        reached.into_keys().collect()
    }

    /// Puts lumps on places near the centre line of a bed, until they overlap.
    fn fill(&mut self, bed: &[Place], random: &mut ChaCha8Rng) {
        let radius = |place: &Place| self.vessels.radius_mm[*place];
        let widest = bed.iter().map(radius).fold(0.0, f32::max);
        let central: Vec<Place> = bed.iter().copied().filter(|place| radius(place) > 0.6 * widest).collect();
        let share = random.random_range(LUMPS);
        let lumps = 1 + central.len() / 3;
        for _ in 0..lumps {
            let Some(centre) = central.choose(random).copied() else { return };
            let size = share * random.random_range(0.8..1.2) * self.vessels.radius_mm[centre];
            for place in bed {
                let depth = (size - self.distance_mm(centre, *place)) / EDGE_MM;
                let covered = 1.0 / (1.0 + (-depth).exp());
                let clotted = &mut self.clotted[*place];
                *clotted = clotted.max(covered);
            }
        }
    }

    fn distance_mm(&self, one: Place, other: Place) -> f32 {
        let [slice, row, column] = self.vessels.spacing_mm;
        let along = |a: usize, b: usize, spacing: f64| (a.abs_diff(b) as f64 * spacing).powi(2);
        (along(one.0, other.0, slice) + along(one.1, other.1, row) + along(one.2, other.2, column)).sqrt() as f32
    }

    /// The volume with the clots in place of blood, its noise unchanged, and where they are.
    pub(super) fn finish(self) -> (Array3<i16>, Array3<u8>) {
        let Self { vessels, mut hounsfield, clotted } = self;
        let darker = vessels.blood - f64::midpoint(CLOT.start, CLOT.end);
        let mut emboli = Array3::zeros(hounsfield.dim());
        Zip::from(&mut hounsfield).and(&mut emboli).and(&clotted).for_each(|value, embolus, clotted| {
            // A voxel at the wall holds lung, too, and of the blood only a part.
            let blood = ((f64::from(*value) - LUNG) / (vessels.blood - LUNG)).clamp(0.0, 1.0);
            let share = f64::from(*clotted) * blood;
            *embolus = u8::from(share > 0.5);
            *value = (f64::from(*value) - share * darker).round() as i16;
        });
        (hounsfield, emboli)
    }
}

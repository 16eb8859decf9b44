//! Vessels of the lungs that are filled with contrast, and their centre lines.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::distance;
use crate::engine::volume::components;
use crate::engine::volume::percentile::brightest_tenth;
use crate::engine::volume::{BACKGROUND, LungMask, Volume};

/// Hounsfield units above which blood holds contrast; soft tissue and clots are darker.
const CONTRAST: i16 = 130;
/// What counts as a vessel, as a share of the brightest tenth of the contrast.
const OF_BRIGHTEST: f64 = 0.55;
/// Half the width of gaps of the lungs that count as theirs, in millimetres.
const HILUM_MM: f32 = 9.0;
/// Least volume of contrast in the lungs in millilitres.
const LEAST_CONTRAST_ML: f64 = 0.5;
/// Least volume of a connected piece in millilitres; smaller ones are calcifications and noise.
const LEAST_PIECE_ML: f64 = 0.15;

/// How wide a vessel is, by the level of the arteries that are as wide; the most proximal first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VesselWidth {
    /// A radius of 4 mm or more.
    Lobar,
    /// 2 to 4 mm.
    Segmental,
    /// 1 to 2 mm.
    Subsegmental,
}

impl VesselWidth {
    /// From the hila outwards.
    pub(super) const ALL: [Self; 3] = [Self::Lobar, Self::Segmental, Self::Subsegmental];

    fn of(radius_mm: f32) -> Option<Self> {
        match radius_mm {
            _ if radius_mm >= 4.0 => Some(Self::Lobar),
            _ if radius_mm >= 2.0 => Some(Self::Segmental),
            _ if radius_mm >= 1.0 => Some(Self::Subsegmental),
            _ => None,
        }
    }

    /// Shortest and longest thrombus in millimetres.
    pub(super) fn lengths_mm(self) -> [f32; 2] {
        match self {
            Self::Lobar => [15.0, 60.0],
            Self::Segmental => [10.0, 35.0],
            Self::Subsegmental => [6.0, 16.0],
        }
    }
}

/// A voxel by slice, row, column.
pub(super) type Place = (usize, usize, usize);

/// Vessels of the lungs.
pub(crate) struct Vessels {
    /// Distance of each voxel of a vessel from its wall in millimetres; 0 elsewhere.
    pub(super) radius_mm: Array3<f32>,
    /// Voxels of centre lines by the width of their vessel.
    pub(super) centres: Vec<(VesselWidth, Place)>,
    /// Hounsfield units of their blood.
    pub(super) blood: f64,
    /// Of slices, rows, columns.
    pub(super) spacing_mm: [f64; 3],
}

impl Vessels {
    /// `None` where the lungs hold no contrast.
    pub(crate) fn find(volume: &Volume, LungMask(lungs): &LungMask) -> Option<Self> {
        let [column_mm, row_mm, slice_mm] = volume.geometry.spacing;
        let spacing_mm = [slice_mm, row_mm, column_mm];
        let voxel_ml = column_mm * row_mm * slice_mm / 1000.0;
        let within = within(lungs, spacing_mm);
        let bright = volume.hounsfield.iter().zip(&within).filter(|(value, within)| **within && **value > CONTRAST);
        let fewest = (LEAST_CONTRAST_ML / voxel_ml).ceil() as usize;
        let blood = brightest_tenth(bright.map(|(value, _)| f64::from(*value)), fewest)?;
        let threshold = (OF_BRIGHTEST * blood).max(f64::from(CONTRAST)) as i16;
        let mut vessels = volume.hounsfield.mapv(|value| value > threshold);
        vessels.zip_mut_with(&within, |vessel, within| *vessel &= within);
        keep_pieces(&mut vessels, (LEAST_PIECE_ML / voxel_ml).ceil() as usize);
        let radius_mm = distance::inside(&vessels, spacing_mm);
        let centre = |(place, radius): (Place, &f32)| {
            let width = VesselWidth::of(*radius)?;
            neighbours(place, radius_mm.dim()).all(|other| radius_mm[other] <= *radius).then_some((width, place))
        };
        let centres: Vec<(VesselWidth, Place)> = radius_mm.indexed_iter().filter_map(centre).collect();
        (!centres.is_empty()).then_some(Self { radius_mm, centres, blood, spacing_mm })
    }
}

/// The lungs with what lies between their parts: vessels, and the hila where these enter. The heart and the aorta lie in
/// wider gaps.
fn within(lungs: &Array3<u8>, spacing_mm: [f64; 3]) -> Array3<bool> {
    let outside = distance::inside(&lungs.mapv(|class| class == BACKGROUND), spacing_mm);
    let depth = distance::inside(&outside.mapv(|distance| distance <= HILUM_MM), spacing_mm);
    let mut within = lungs.mapv(|class| class != BACKGROUND);
    within.zip_mut_with(&depth, |within, depth| *within |= *depth > HILUM_MM);
    within
}

/// Removes connected pieces with fewer voxels.
fn keep_pieces(mask: &mut Array3<bool>, fewest: usize) {
    let labels = components::label(mask);
    let sizes = components::sizes(&labels);
    mask.zip_mut_with(&labels, |marked, label| {
        *marked &= sizes.get(*label as usize).is_some_and(|size| *size >= fewest);
    });
}

/// The voxels around a place, up to 26.
pub(super) fn neighbours(place: Place, size: Place) -> impl Iterator<Item = Place> {
    let around = |at: usize, length: usize| at.saturating_sub(1)..(at + 2).min(length);
    around(place.0, size.0)
        .flat_map(move |slice| around(place.1, size.1).map(move |row| (slice, row)))
        .flat_map(move |(slice, row)| around(place.2, size.2).map(move |column| (slice, row, column)))
        .filter(move |other| *other != place)
}

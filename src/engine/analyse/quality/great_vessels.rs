//! Pulmonary trunk and aorta, found by where they lie from the carina and by the evenness of blood.
//!
//! No model was trained for this. The ascending aorta lies in front of the carina, the descending one behind it to the
//! left, the pulmonary trunk to the left of the ascending aorta, 12 to 45 mm below. Blood is even where fat, muscle, bone
//! and lung are not: on each slice the most even disc of a search window is taken. The aorta counts only if its two parts
//! are equally bright, the trunk only if most slices agree. What does not agree is not measured.

use std::ops::RangeInclusive;

use super::airway::{Carina, carina};
use super::cells::{CELL_MM, Cells};
use super::mediastinum::{Mediastinum, Place};
use crate::config::QualityConfig;
use crate::engine::analyse::enhancement::{Enhancement, Vessel};
use crate::engine::volume::percentile::median;
use crate::engine::volume::{Geometry, Reason, Rejection};

/// Millimetres below the carina in which the vessels are measured.
const DEPTHS: [f64; 2] = [12.0, 45.0];
/// Where the ascending aorta is searched for, from the carina: if not near the midline or to the right, then to the left.
const ASCENDING: [Window; 2] = [
    Window { columns: [-36.0, 6.0], rows: [-75.0, -12.0], radius: 9.0 },
    Window { columns: [-9.0, 21.0], rows: [-75.0, -12.0], radius: 9.0 },
];
/// Where the descending aorta is searched for, from the carina.
const DESCENDING: Window = Window { columns: [-9.0, 51.0], rows: [12.0, 75.0], radius: 7.5 };
/// Where the pulmonary trunk is searched for, from the ascending aorta.
const TRUNK: Window = Window { columns: [18.0, 51.0], rows: [-15.0, 36.0], radius: 7.5 };
/// A disc of blood has no cell below this, in Hounsfield units, nor a mean below that.
const DARKEST_CELL: f64 = -30.0;
const DARKEST_BLOOD: f64 = 20.0;
/// Beside a single lung, fluid (0 to 30) and collapsed lung (30 to 80) are as even as blood: the trunk counts if brighter.
const BRIGHTER_THAN_COLLAPSE: f64 = 100.0;
/// Standard deviation within a disc of blood: at most this, in Hounsfield units or as a share of the mean.
const EVEN: f64 = 20.0;
const EVEN_SHARE: f64 = 0.12;
/// How far a part of the aorta moves sideways over the slices, in cells.
const STRAIGHT: f64 = 4.0;
/// By what share of their brightness the two parts of the aorta, and the discs of the trunk, may differ.
const SAME_AORTA: f64 = 0.2;
const SAME_TRUNK: f64 = 0.1;
/// Slices that must agree: of the ascending aorta, of the descending one and of the trunk.
const FEWEST_ASCENDING: usize = 4;
const FEWEST: usize = 6;

/// A search window in millimetres from a landmark, towards the patient's left and back, and the radius of the disc.
struct Window {
    columns: [f64; 2],
    rows: [f64; 2],
    radius: f64,
}

/// A disc on a slice, in cells.
#[derive(Debug, Clone, Copy)]
struct Disc {
    slice: usize,
    row: usize,
    column: usize,
    /// Mean and standard deviation in Hounsfield units.
    mean: f64,
    deviation: f64,
}

/// Measures pulmonary trunk and aorta; `source` is the grid on which their places are told.
pub(super) fn measure(mediastinum: &Mediastinum, source: &Geometry) -> Enhancement {
    let cells = mediastinum.cells;
    let Some(carina) = carina(cells, mediastinum.middle()) else { return Enhancement::default() };
    let [from, to] = DEPTHS.map(|depth| (depth / CELL_MM) as usize);
    let slices = carina.slice.saturating_sub(to)..=carina.slice.saturating_sub(from);
    let Some((ascending, descending)) = aorta(cells, &slices, carina) else { return Enhancement::default() };
    let vessel = |discs: &[Disc]| {
        let hounsfield = median(discs.iter().map(|disc| disc.mean), 1)?;
        let off = |disc: &&Disc| (disc.mean - hounsfield).abs();
        let best = discs.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
        Some(Vessel { hounsfield, place: cells.source([best.slice, best.row, best.column], source) })
    };
    let darkest = if mediastinum.place == Place::BetweenLungs { DARKEST_BLOOD } else { BRIGHTER_THAN_COLLAPSE };
    let trunk = trunk(cells, &slices, &ascending, darkest);
    Enhancement { trunk: vessel(&trunk), aorta: vessel(&[ascending, descending].concat()) }
}

/// That the contrast agent has passed on to the aorta, as in routine contrast CT: the trunk is clearly darker than the
/// aorta, or it is no brighter and poorly opacified. Nothing is said where one of them was not measured.
pub(super) fn aortic_phase(enhancement: &Enhancement, settings: &QualityConfig) -> Option<Rejection> {
    let (trunk, ratio) = (enhancement.trunk?.hounsfield, enhancement.ratio()?);
    let poor = trunk < settings.lowest_trunk_hu && ratio < 1.0;
    (poor || ratio < settings.lowest_trunk_ratio).then(|| {
        let QualityConfig { lowest_trunk_hu, lowest_trunk_ratio, .. } = settings;
        let expected =
            format!("{lowest_trunk_ratio} times the aorta or more, and above it if below {lowest_trunk_hu:.0} HU");
        let told = enhancement.explanation();
        Rejection::new(Reason::AorticPhase, format!("{told}; in a CTPA the trunk is expected at {expected}"))
    })
}

/// Discs of the ascending and of the descending aorta.
fn aorta(cells: &Cells, slices: &RangeInclusive<usize>, carina: Carina) -> Option<(Vec<Disc>, Vec<Disc>)> {
    let landmark = [carina.row, carina.column];
    ASCENDING.iter().find_map(|window| {
        let ascending = straight(discs(cells, slices, landmark, window, |_| true));
        let level = median(ascending.iter().map(|disc| disc.mean), FEWEST_ASCENDING)?;
        let same = |mean: f64| (mean - level).abs() <= SAME_AORTA * level;
        let descending = straight(discs(cells, slices, landmark, &DESCENDING, same));
        (descending.len() >= FEWEST).then_some((ascending, descending))
    })
}

/// Discs of the pulmonary trunk, not darker than `darkest`; none if too few agree.
fn trunk(cells: &Cells, slices: &RangeInclusive<usize>, ascending: &[Disc], darkest: f64) -> Vec<Disc> {
    let Some([row, column]) = middle(ascending) else { return Vec::new() };
    let mut discs = discs(cells, slices, [row as usize, column as usize], &TRUNK, |mean| mean >= darkest);
    discs.retain(is_even);
    let Some(level) = median(discs.iter().map(|disc| disc.mean), 1) else { return Vec::new() };
    discs.retain(|disc| (disc.mean - level).abs() <= SAME_TRUNK * level);
    if discs.len() < FEWEST { Vec::new() } else { discs }
}

/// The even discs that lie above each other.
fn straight(mut discs: Vec<Disc>) -> Vec<Disc> {
    let Some([row, column]) = middle(&discs) else { return discs };
    discs.retain(|disc| (disc.row as f64 - row).hypot(disc.column as f64 - column) <= STRAIGHT && is_even(disc));
    discs
}

fn is_even(disc: &Disc) -> bool {
    disc.deviation <= EVEN.max(EVEN_SHARE * disc.mean)
}

/// Median row and column.
fn middle(discs: &[Disc]) -> Option<[f64; 2]> {
    let row = median(discs.iter().map(|disc| disc.row as f64), 1)?;
    Some([row, median(discs.iter().map(|disc| disc.column as f64), 1)?])
}

/// The most even disc of blood of each slice whose mean is `wanted`.
fn discs(
    cells: &Cells,
    slices: &RangeInclusive<usize>,
    landmark: [usize; 2],
    window: &Window,
    wanted: impl Fn(f64) -> bool,
) -> Vec<Disc> {
    let indices = |ends: [f64; 2], landmark: usize| {
        let [first, last] = ends.map(|end| (landmark as f64 + end / CELL_MM).round().max(0.0) as usize);
        first..=last
    };
    let [row, column] = landmark;
    let (rows, columns) = (indices(window.rows, row), indices(window.columns, column));
    let best = |slice: usize| {
        let places = rows.clone().flat_map(|row| columns.clone().map(move |column| (row, column)));
        let found = places.filter_map(|(row, column)| disc(cells, slice, [row, column], window.radius / CELL_MM));
        found.filter(|disc| wanted(disc.mean)).min_by(|a, b| a.deviation.total_cmp(&b.deviation))
    };
    slices.clone().filter_map(best).collect()
}

/// A disc of a radius in cells; `None` if it holds other things than blood, or does not lie within the grid.
fn disc(cells: &Cells, slice: usize, [row, column]: [usize; 2], radius: f64) -> Option<Disc> {
    let reach = radius as isize;
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for down in -reach..=reach {
        for aside in -reach..=reach {
            if ((down * down + aside * aside) as f64) > radius * radius {
                continue;
            }
            let place = (slice, row.checked_add_signed(down)?, column.checked_add_signed(aside)?);
            let value = f64::from(*cells.hounsfield.get(place)?);
            if value < DARKEST_CELL {
                return None;
            }
            (sum, squares, count) = (sum + value, squares + value * value, count + 1.0);
        }
    }
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).max(0.0).sqrt();
    (mean >= DARKEST_BLOOD).then_some(Disc { slice, row, column, mean, deviation })
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::config::Config;
    use crate::engine::volume::testing::{SUPINE, geometry, volume};
    use crate::engine::volume::{LungMask, RIGHT_LUNG};

    #[test]
    fn a_dark_trunk_tells_the_aortic_phase_and_a_bright_one_does_not() {
        let settings = Config::from_defaults(&[]).expect("defaults").quality;
        let vessel = |hounsfield| Some(Vessel { hounsfield, place: [0; 3].into() });
        let told = |trunk, aorta| aortic_phase(&Enhancement { trunk, aorta }, &settings).is_some();
        assert!(told(vessel(260.0), vessel(330.0)), "clearly darker than the aorta");
        assert!(told(vessel(160.0), vessel(168.0)), "poorly opacified and no brighter");
        assert!(!told(vessel(310.0), vessel(330.0)), "well opacified and nearly as bright");
        assert!(!told(vessel(180.0), vessel(120.0)), "brighter");
        assert!(!told(None, vessel(330.0)) && !told(vessel(160.0), None), "not measured");
    }

    #[test]
    fn collapsed_lung_that_is_more_even_than_blood_is_no_trunk_beside_a_single_lung() {
        let volume = volume(geometry([80, 60, 30], [3.0; 3], SUPINE), |[x, y, _]| {
            if (x - 28.0).hypot(y + 20.0) < 10.0 {
                280.0 + 5.0 * x.sin()
            } else if x > 42.0 {
                60.0
            } else {
                -100.0
            }
        });
        let everywhere = LungMask(Array3::from_elem(volume.hounsfield.dim(), RIGHT_LUNG));
        let cells = Cells::of(&volume, &everywhere).expect("cells");
        // The ascending aorta lies 20 mm in front of the middle.
        let (row, column) = (cells.hounsfield.dim().1 / 2 - 7, cells.hounsfield.dim().2 / 2);
        let ascending = [Disc { slice: 15, row, column, mean: 300.0, deviation: 5.0 }];
        let levels = |darkest: f64| -> Vec<f64> {
            trunk(&cells, &(10..=20), &ascending, darkest).iter().map(|disc| disc.mean.round()).collect()
        };
        assert_eq!(levels(DARKEST_BLOOD), [60.0; 11]);
        let found = levels(BRIGHTER_THAN_COLLAPSE);
        assert!(found.len() == 11 && found.iter().all(|level| (level - 280.0).abs() < 5.0), "{found:?}");
    }
}

//! Are the numbers Hounsfield units? Whatever the attributes say, air and tissue must have their values.

use std::collections::BTreeMap;

use crate::engine::volume::{AIR, Reason, Rejection, Volume};

/// Hounsfield units of aerated lung and air. What reads exactly [`AIR`] may be padding.
const AIR_AND_LUNG: std::ops::RangeInclusive<i16> = AIR + 1..=-700;
/// Least share of the voxels that lung and air fill in any image of a chest: an aerated tenth of the lungs of one who
/// fills the field of view.
const LEAST_AIR: f64 = 0.01;
/// Hounsfield units around soft tissue. Fat, blood with contrast agent and most of the bone lie within.
const AROUND_TISSUE: std::ops::RangeInclusive<i16> = -500..=500;
/// Where the median of soft tissue lies: fat reads -120 to -60, muscle, blood and organs 30 to 100.
const TISSUE: std::ops::RangeInclusive<f64> = -150.0..=150.0;
/// Least share of the voxels that soft tissue fills.
const LEAST_TISSUE: f64 = 0.02;
/// So many voxels tell enough.
const SEEN: usize = 1_000_000;

/// That air and soft tissue are missing among the numbers, or have others than Hounsfield units would.
pub(super) fn implausible(volume: &Volume) -> Option<Rejection> {
    // Odd: what divides the columns of the image would see few of them.
    let stride = volume.hounsfield.len().div_ceil(SEEN) | 1;
    let seen: Vec<i16> = volume.hounsfield.iter().copied().step_by(stride).collect();
    let share = |count: usize| count as f64 / seen.len() as f64;
    let air = share(seen.iter().filter(|value| AIR_AND_LUNG.contains(value)).count());
    let mut tissue: Vec<i16> = seen.iter().copied().filter(|value| AROUND_TISSUE.contains(value)).collect();
    let middle = median(&mut tissue);
    let tissue = share(tissue.len());
    let plausible_tissue = tissue >= LEAST_TISSUE && middle.is_some_and(|middle| TISSUE.contains(&middle));
    (air < LEAST_AIR || !plausible_tissue).then(|| {
        let middle = middle.map_or_else(String::new, |middle| format!(" with a median of {middle:.0}"));
        Rejection::new(
            Reason::ImplausibleValues,
            format!(
                "{:.1} % of the values are those of lung and air ({} to {} HU), and {:.1} % lie around soft tissue \
                 ({} to {} HU){middle}; at least {:.0} and {:.0} % and a median of {} to {} are expected",
                100.0 * air,
                AIR_AND_LUNG.start(),
                AIR_AND_LUNG.end(),
                100.0 * tissue,
                AROUND_TISSUE.start(),
                AROUND_TISSUE.end(),
                100.0 * LEAST_AIR,
                100.0 * LEAST_TISSUE,
                TISSUE.start(),
                TISSUE.end()
            ),
        )
    })
}

/// Brighter than this is metal, in Hounsfield units, and its values differ from pixel to pixel.
const BRIGHTEST_TISSUE: i16 = 2000;
/// Least share of the pixels on the edges of the images that one bright value fills, to be no metal.
const LEAST_EDGE: f64 = 0.05;

/// That one value brighter than any tissue fills the edges of the images: what the scanner did not reconstruct and wrote
/// with another value than the attributes say.
pub(super) fn bright_edges(volume: &Volume) -> Option<Rejection> {
    let mut counts: BTreeMap<i16, usize> = BTreeMap::new();
    let mut pixels = 0;
    for slice in volume.hounsfield.outer_iter() {
        let [rows, columns] = [slice.nrows(), slice.ncols()];
        let edges = [slice.row(0), slice.row(rows - 1), slice.column(0), slice.column(columns - 1)];
        pixels += 2 * (rows + columns);
        for value in edges.iter().flatten().filter(|value| **value > BRIGHTEST_TISSUE) {
            *counts.entry(*value).or_default() += 1;
        }
    }
    let (value, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let share = count as f64 / pixels as f64;
    (share >= LEAST_EDGE).then(|| {
        Rejection::new(
            Reason::ImplausibleValues,
            format!(
                "{:.0} % of the pixels on the edges of the images have the value {value} HU: padding that Pixel Padding \
                 Value (0028,0120) does not name",
                100.0 * share
            ),
        )
    })
}

fn median(values: &mut [i16]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(f64::from(*values.select_nth_unstable(middle).1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::{VoxelPoint, testing};

    /// Water with this beyond a circle.
    fn framed(beyond: impl Fn([f64; 2]) -> f64) -> Volume {
        let geometry = testing::geometry([40, 40, 3], [1.0, 1.0, 1.0], testing::SUPINE);
        let middle = geometry.to_patient(VoxelPoint { column: 19.5, row: 19.5, slice: 1.0 }).0;
        testing::volume(
            geometry,
            |[x, y, _]| if (x - middle[0]).hypot(y - middle[1]) < 19.5 { 0.0 } else { beyond([x, y]) },
        )
    }

    #[test]
    fn one_bright_value_around_the_field_of_view_is_padding_and_metal_is_not() {
        let explanation = |volume: &Volume| bright_edges(volume).map(|rejection| rejection.explanation);
        assert_eq!(explanation(&framed(|_| -1024.0)), None);
        assert_eq!(explanation(&framed(|[x, y]| 3000.0 + 7.0 * x + 13.0 * y)), None, "values that differ");
        let told = explanation(&framed(|_| 31_743.0)).expect("padding");
        assert!(told.contains("have the value 31743 HU") && told.contains("(0028,0120)"), "{told}");
    }
}

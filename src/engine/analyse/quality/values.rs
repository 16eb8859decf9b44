//! Are the numbers Hounsfield units? Whatever the attributes say, air and tissue must have their values.

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

fn median(values: &mut [i16]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(f64::from(*values.select_nth_unstable(middle).1))
}

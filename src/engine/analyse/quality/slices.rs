//! Number, distance, thickness and numbering of the slices.

use crate::engine::volume::{Reason, Rejection, Volume};

/// Share of the slices that are no thicker than what counts as their thickness: single slices that say otherwise do not
/// count.
const USUAL: f64 = 0.9;
/// Share of neighbours whose instance numbers skip by the same number that proves a loss.
const SKIPPING: f64 = 0.9;
/// How much farther apart than thick slices between which others seem lost lie at least: gaps of half a slice are common.
const FARTHER: f64 = 1.6;

/// Slice Thickness (0018,0050) in millimetres that nine of ten slices do not exceed; `None` where no slice states one.
pub(super) fn thickness(volume: &Volume) -> Option<f64> {
    let mut stated: Vec<f64> = volume.slices.iter().filter_map(|slice| slice.thickness_mm).collect();
    stated.sort_by(f64::total_cmp);
    let rank = (USUAL * stated.len() as f64).ceil() as usize;
    stated.get(rank.checked_sub(1)?).copied()
}

/// That there are fewer slices than an exam has.
pub(super) fn too_few(volume: &Volume, fewest: usize) -> Option<Rejection> {
    let slices = volume.geometry.size[2];
    (slices < fewest).then(|| Rejection::too_few_slices(slices, fewest))
}

/// That the slices are thick or far apart.
pub(super) fn too_thick(volume: &Volume, thickest: f64) -> Option<Rejection> {
    let distance = volume.geometry.spacing[2];
    let thickness = thickness(volume);
    (distance.max(thickness.unwrap_or(0.0)) > thickest).then(|| {
        let thickness = thickness.map_or_else(|| "not stated".to_owned(), |thickness| format!("{thickness:.2} mm"));
        Rejection::new(
            Reason::TooThick,
            format!("slices lie {distance:.2} mm apart, thickness {thickness}; at most {thickest} mm are expected"),
        )
    })
}

/// That slices seem lost between all that came: their instance numbers skip evenly, and they are thinner than they lie
/// apart. Either alone is common: two stacks may share the numbers of a series, and slices may be made with gaps.
pub(super) fn skipped(volume: &Volume) -> Option<Rejection> {
    let pairs: Vec<u64> = volume
        .slices
        .windows(2)
        .filter_map(|pair| Some(pair[0].instance_number?.abs_diff(pair[1].instance_number?)))
        .collect();
    let stride = *pairs.get(pairs.len() / 2)?;
    let same = pairs.iter().filter(|skipped| **skipped == stride).count();
    let (distance, thickness) = (volume.geometry.spacing[2], thickness(volume)?);
    let numbered = stride >= 2 && same as f64 >= SKIPPING * (volume.slices.len() - 1) as f64;
    (numbered && distance >= FARTHER * thickness).then(|| {
        let lost = if stride == 2 { "every second slice seems" } else { "slices between those that came seem" };
        Rejection::new(
            Reason::SkippedSlices,
            format!(
                "{lost} lost: instance numbers go on by {stride}, and slices of {thickness:.2} mm lie {distance:.2} mm apart"
            ),
        )
    })
}

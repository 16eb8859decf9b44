//! What the images of some exams are like: their grid, and the Hounsfield units around the lungs.

use super::experiment::Experiment;
use crate::engine::volume::{BACKGROUND, LungMask, Volume};
use crate::learn::train::TrainError;
use crate::learn::train::lungs::{FoundLungs, Lungs};
use crate::learn::train::stage::Made;
use crate::learn::train::volumes;

/// Percentiles of the intensities that are given.
const PERCENTILES: [f64; 3] = [0.5, 50.0, 99.5];

/// Spacing and intensity of some exams.
#[derive(Debug, Default)]
pub(super) struct Fingerprint {
    slices: Vec<f64>,
    pixel_mm: Vec<f64>,
    slice_mm: Vec<f64>,
    /// Number of voxels by Hounsfield unit, within the boxes of the lungs.
    histogram: std::collections::BTreeMap<i16, u64>,
}

impl Fingerprint {
    /// Reads the stored volumes and masks of these exams.
    pub(super) fn of(
        experiment: &Experiment<'_>,
        exams: &[Made<FoundLungs>],
        lungs: &Lungs<'_>,
    ) -> Result<Self, TrainError> {
        let folder = volumes::folder(experiment.configuration);
        let mut found = Self::default();
        for made in exams {
            let volume = volumes::load(&folder, &made.exam.series, &made.value.volume)?;
            found.add(&volume, &lungs.load(&made.exam, &volume)?);
        }
        Ok(found)
    }

    fn add(&mut self, volume: &Volume, mask: &LungMask) {
        let [column_mm, row_mm, slice_mm] = volume.geometry.spacing;
        self.slices.push(volume.slices.len() as f64);
        self.pixel_mm.push(column_mm.max(row_mm));
        self.slice_mm.push(slice_mm);
        let Some([slices, rows, columns]) = bounds(mask) else { return };
        for ((slice, row, column), value) in volume.hounsfield.indexed_iter() {
            if slices.contains(&slice) && rows.contains(&row) && columns.contains(&column) {
                *self.histogram.entry(*value).or_default() += 1;
            }
        }
    }

    /// The fingerprint in words, beside what the settings make of it.
    pub(super) fn lines(&self, window: [f64; 2]) -> Vec<String> {
        let range = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            let [first, middle, last] = [0, sorted.len() / 2, sorted.len().saturating_sub(1)];
            let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
            let [first, middle, last] = [first, middle, last].map(|place| (100.0 * at(place)).round() / 100.0);
            format!("{middle} ({first} to {last})")
        };
        let percentiles: Vec<String> =
            PERCENTILES.iter().map(|percent| format!("{} HU at {percent} %", self.percentile(*percent))).collect();
        let outside: u64 = self
            .histogram
            .iter()
            .filter(|(value, _)| !(window[0]..=window[1]).contains(&f64::from(**value)))
            .map(|(_, count)| count)
            .sum();
        let share = 100.0 * outside as f64 / self.voxels().max(1) as f64;
        vec![
            format!("plan: slices {}", range(&self.slices)),
            format!("plan: pixels {} mm, slices {} mm apart", range(&self.pixel_mm), range(&self.slice_mm)),
            format!("plan: around the lungs {}; {share:.0} % outside input.window", percentiles.join(", ")),
        ]
    }

    fn voxels(&self) -> u64 {
        self.histogram.values().sum()
    }

    fn percentile(&self, percent: f64) -> i16 {
        let wanted = percent / 100.0 * self.voxels() as f64;
        let mut below = 0.0;
        for (value, count) in &self.histogram {
            below += *count as f64;
            if below >= wanted {
                return *value;
            }
        }
        0
    }
}

/// The box around the lungs: slices, rows, columns; `None` without lungs.
fn bounds(LungMask(mask): &LungMask) -> Option<[std::ops::RangeInclusive<usize>; 3]> {
    let mut found: Option<[[usize; 2]; 3]> = None;
    for ((slice, row, column), _) in mask.indexed_iter().filter(|(_, class)| **class != BACKGROUND) {
        let place = [slice, row, column];
        let ends = found.get_or_insert(place.map(|at| [at, at]));
        for (end, at) in ends.iter_mut().zip(place) {
            *end = [end[0].min(at), end[1].max(at)];
        }
    }
    found.map(|ends| ends.map(|[low, high]| low..=high))
}

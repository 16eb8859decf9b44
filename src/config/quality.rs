//! `[quality]`: what the quality checks do with a series, and from which value on they object.

use serde::{Deserialize, Serialize};

/// What is done with a series that a check objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing, and nothing is said.
    Off,
    /// It is analysed. Report, pictures, API and table say what is wrong.
    Warn,
    /// It is not analysed.
    Reject,
}

/// `[quality]`: a severity for each reason, and beside it the value from which on the check objects.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct QualityConfig {
    pub implausible_values: Severity,
    pub untried_energy: Severity,
    pub lowest_energy_kev: f64,
    pub highest_energy_kev: f64,
    pub not_a_chest: Severity,
    pub smallest_lung_cm2: f64,
    pub no_contrast: Severity,
    pub lowest_contrast_hu: f64,
    pub uneven_contrast: Severity,
    pub largest_contrast_step_hu: f64,
    pub contrast_unknown: Severity,
    pub aortic_phase: Severity,
    pub lowest_trunk_hu: f64,
    pub lowest_trunk_ratio: f64,
    pub too_few_slices: Severity,
    pub fewest_slices: usize,
    pub skipped_slices: Severity,
    pub too_thick: Severity,
    pub thickest_slice_mm: f64,
    pub lungs_cut: Severity,
    pub largest_cut_cm2: f64,
    pub lungs_incomplete: Severity,
    pub implausible_lungs: Severity,
    pub largest_lungs_ml: f64,
}

impl QualityConfig {
    /// What does not fit, in words.
    pub(super) fn problem(&self) -> Option<String> {
        let values = [
            ("lowest_energy_kev", self.lowest_energy_kev),
            ("highest_energy_kev", self.highest_energy_kev),
            ("smallest_lung_cm2", self.smallest_lung_cm2),
            ("lowest_contrast_hu", self.lowest_contrast_hu),
            ("largest_contrast_step_hu", self.largest_contrast_step_hu),
            ("lowest_trunk_hu", self.lowest_trunk_hu),
            ("lowest_trunk_ratio", self.lowest_trunk_ratio),
            ("thickest_slice_mm", self.thickest_slice_mm),
            ("largest_cut_cm2", self.largest_cut_cm2),
            ("largest_lungs_ml", self.largest_lungs_ml),
        ];
        let wrong = values.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0));
        wrong.map(|(key, value)| format!("quality.{key} = {value}: a number from 0 was expected"))
    }
}

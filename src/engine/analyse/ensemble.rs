//! One answer from the members of an ensemble: the mean of their calibrated probabilities.

use ndarray::{Array1, Array3};

use super::AnalyseError;
use super::findings::{Probability, TargetFinding};
use crate::engine::models::manifest::{Calibration, Manifest};
use crate::engine::models::networks::{Reading, SliceReading};

/// The answer of all members together for each target of the manifest, embolism first.
pub(super) fn targets(manifest: &Manifest, readings: &[Reading]) -> Result<Vec<TargetFinding>, AnalyseError> {
    let members = of_members(manifest, readings)?;
    let finding = |(index, target)| {
        let main = index == 0;
        let probability = |(calibration, reading): &(&Calibration, &Reading)| {
            let logit = f64::from(reading.targets[index]);
            let value = if main { calibration.exam(logit) } else { calibration.target(target, logit) };
            probability(value, logit)
        };
        let probabilities = members.iter().map(probability).collect::<Result<Vec<_>, _>>()?;
        Ok(TargetFinding {
            target,
            probability: mean(&probabilities)?,
            standard_deviation: standard_deviation(&probabilities),
            calibrated: manifest.is_calibrated(target),
        })
    };
    manifest.targets().into_iter().enumerate().map(finding).collect()
}

/// Means over all members of their values for the prepared slices.
#[derive(Debug, Clone)]
pub(super) struct SliceMeans {
    pub(super) probabilities: Vec<Probability>,
    /// Shares of the exam's attention.
    pub(super) attention: Array1<f32>,
    /// Probability cell by cell, `[slice, row, column]`.
    pub(super) evidence: Array3<f32>,
}

/// The answer of all members together for the slices; `None` if they read exams as a whole.
pub(super) fn slices(manifest: &Manifest, readings: &[Reading]) -> Result<Option<SliceMeans>, AnalyseError> {
    let members = of_members(manifest, readings)?.into_iter();
    let members = members.map(|(calibration, reading)| Some((calibration, reading.slices.as_ref()?)));
    let Some(members) = members.collect::<Option<Vec<(&Calibration, &SliceReading)>>>() else { return Ok(None) };
    let share = 1.0 / members.len() as f32;
    let first = members[0].1;
    let mut means = SliceMeans {
        probabilities: Vec::new(),
        attention: Array1::zeros(first.attention.dim()),
        evidence: Array3::zeros(first.evidence.dim()),
    };
    for slice in 0..first.logits.len() {
        let of_member = |(calibration, reading): &(&Calibration, &SliceReading)| {
            let logit = f64::from(reading.logits[slice]);
            probability(calibration.slice(logit), logit)
        };
        means.probabilities.push(mean(&members.iter().map(of_member).collect::<Result<Vec<_>, _>>()?)?);
    }
    for (calibration, reading) in members {
        means.attention.scaled_add(share, &reading.attention);
        // A cell is calibrated as a slice, because its logits are pooled to the slice's.
        means.evidence.zip_mut_with(&reading.evidence, |mean, logit| {
            *mean += share * calibration.slice(f64::from(*logit)) as f32;
        });
    }
    Ok(Some(means))
}

/// Every member's calibration with what it read.
fn of_members<'a>(
    manifest: &'a Manifest,
    readings: &'a [Reading],
) -> Result<Vec<(&'a Calibration, &'a Reading)>, AnalyseError> {
    let calibrations = &manifest.calibration;
    if readings.is_empty() || calibrations.len() != readings.len() {
        let counts = format!("{} calibrations for {} networks", calibrations.len(), readings.len());
        return Err(AnalyseError::Calibration(counts));
    }
    Ok(calibrations.iter().zip(readings).collect())
}

fn probability(value: f64, logit: f64) -> Result<Probability, AnalyseError> {
    Probability::new(value).ok_or_else(|| AnalyseError::Calibration(format!("{logit} gives no probability")))
}

fn mean(probabilities: &[Probability]) -> Result<Probability, AnalyseError> {
    let sum: f64 = probabilities.iter().map(|probability| probability.value()).sum();
    let mean = sum / probabilities.len() as f64;
    probability(mean.clamp(0.0, 1.0), mean)
}

/// Standard deviation of the members as a sample of all networks that could have been fitted; `None` for a single one.
fn standard_deviation(probabilities: &[Probability]) -> Option<f64> {
    let count = probabilities.len() as f64;
    let mean = probabilities.iter().map(|probability| probability.value()).sum::<f64>() / count;
    let squares: f64 = probabilities.iter().map(|probability| (probability.value() - mean).powi(2)).sum();
    (probabilities.len() > 1).then(|| (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr3};

    use super::*;
    use crate::engine::models::target::Target;

    /// Two members, the second at half the temperature.
    fn manifest() -> Manifest {
        let text = include_str!("../../../fixtures/models/fixture-embolism/1.0.0/model.toml");
        let mut manifest = Manifest::parse(text).expect("fixture");
        let first = manifest.calibration[0].clone();
        manifest.calibration = vec![
            Calibration { temperature: 1.0, bias: 0.0, slice_temperature: 1.0, slice_bias: 0.0, ..first.clone() },
            Calibration { temperature: 0.5, bias: 0.0, slice_temperature: 0.5, slice_bias: 0.0, ..first },
        ];
        manifest
    }

    fn reading(exam: f32) -> Reading {
        Reading {
            targets: arr1(&[exam]),
            slices: Some(SliceReading {
                logits: arr1(&[exam, 0.0]),
                attention: arr1(&[0.25 * exam.abs(), 0.5]),
                evidence: arr3(&[[[exam]], [[0.0]]]),
            }),
        }
    }

    fn sigmoid(logit: f64) -> f64 {
        1.0 / (1.0 + (-logit).exp())
    }

    #[test]
    fn the_answer_is_the_mean_of_calibrated_probabilities_with_their_standard_deviation() {
        let readings = [reading(1.0), reading(-2.0)];
        let (low, high) = (sigmoid(-4.0), sigmoid(1.0));
        let found = targets(&manifest(), &readings).expect("found");
        assert_eq!(found[0].target, Target::PulmonaryEmbolism);
        assert!((found[0].probability.value() - f64::midpoint(low, high)).abs() < 1e-12);
        assert!((found[0].standard_deviation.expect("two members") - (high - low) / 2.0_f64.sqrt()).abs() < 1e-12);
        let means = slices(&manifest(), &readings).expect("found").expect("slices");
        assert!((means.probabilities[0].value() - f64::midpoint(low, high)).abs() < 1e-12);
        assert!((f64::from(means.evidence[(0, 0, 0)]) - f64::midpoint(low, high)).abs() < 1e-6);
        assert!((means.attention[0] - 0.375).abs() < 1e-6 && (means.attention[1] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn an_exam_is_calibrated_if_all_members_are() {
        let mut manifest = manifest();
        let calibrated =
            |manifest: &Manifest| targets(manifest, &[reading(1.0), reading(-2.0)]).expect("found")[0].calibrated;
        assert!(calibrated(&manifest));
        manifest.calibration[1].exam_fitted = false;
        assert!(!calibrated(&manifest));
    }

    #[test]
    fn a_single_network_has_no_standard_deviation() {
        let mut manifest = manifest();
        manifest.calibration.truncate(1);
        assert_eq!(targets(&manifest, &[reading(1.0)]).expect("found")[0].standard_deviation, None);
    }

    #[test]
    fn networks_without_slices_have_no_slice_values_and_those_without_calibration_no_answer() {
        let whole = |exam: f32| Reading { slices: None, ..reading(exam) };
        assert!(slices(&manifest(), &[whole(1.0), whole(2.0)]).expect("found").is_none());
        assert!(targets(&manifest(), &[whole(1.0)]).is_err(), "two calibrations for one network");
        assert!(targets(&manifest(), &[whole(f32::NAN), whole(1.0)]).is_err());
    }
}

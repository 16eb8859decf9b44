//! The embolism classifier: every network of the package over all prepared slices, calibration, decision.

use ndarray::Array3;

use super::AnalyseError;
use super::ensemble::{self, SliceMeans};
use super::findings::{AnalysedField, Decision, Probability, SliceFinding, TargetFinding};
use crate::engine::models::manifest::{IntendedUse, Manifest, OperatingPoint};
use crate::engine::models::networks::EmbolismNetwork;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{Geometry, LungMask, Reason, Rejection, Volume, VoxelPoint};

/// The classifier's answer for an exam.
#[derive(Debug, Clone)]
pub struct Classification {
    /// For pulmonary embolism.
    pub exam: TargetFinding,
    /// For the further targets.
    pub targets: Vec<TargetFinding>,
    /// For each slice; `None` if the classifier reads exams as a whole.
    pub slices: Option<SliceClassification>,
    /// The field that it read.
    pub field: AnalysedField,
}

/// The classifier's answer slice by slice.
#[derive(Debug, Clone)]
pub struct SliceClassification {
    /// One entry per source slice inside the analysed range, lowest first.
    pub slices: Vec<SliceFinding>,
    /// For each entry of `slices`, the prepared slice it takes its values from.
    pub prepared_slices: Vec<usize>,
    /// Evidence cell by cell as a calibrated probability, `[prepared slice, row, column]`.
    pub evidence: Array3<f32>,
    /// The grid of the cells in the patient.
    pub geometry: Geometry,
}

/// Runs the classifier over the lungs of a volume.
///
/// # Errors
/// There are no lungs to centre on, or a network failed.
pub fn classify(
    network: &mut EmbolismNetwork,
    volume: &Volume,
    lungs: &LungMask,
) -> Result<Classification, AnalyseError> {
    let preparer = Preparer::new(volume, Some(lungs), &network.manifest().input)?;
    let readings =
        network.read_exam(preparer.slices(), |range| Ok(preparer.batch(range))).map_err(AnalyseError::embolism)?;
    let manifest = network.manifest();
    let slices = ensemble::slices(manifest, &readings)?;
    let mut targets = ensemble::targets(manifest, &readings)?;
    Ok(Classification {
        exam: targets.remove(0),
        targets,
        slices: slices.map(|means| on_source_slices(means, &preparer, volume)),
        field: field(&preparer, volume),
    })
}

/// Every source slice inside the analysed range with the values of the nearest prepared one.
fn on_source_slices(means: SliceMeans, preparer: &Preparer, volume: &Volume) -> SliceClassification {
    let (_, rows, columns) = means.evidence.dim();
    let prepared: Vec<(usize, usize)> =
        (0..volume.slices.len()).filter_map(|slice| Some((slice, preparer.prepared_slice(slice)?))).collect();
    let attention = shares(&prepared, means.attention.as_slice().unwrap_or_default());
    let findings = prepared.iter().zip(attention).map(|((slice, prepared), attention)| SliceFinding {
        slice: *slice,
        probability: means.probabilities[*prepared],
        attention,
    });
    SliceClassification {
        slices: findings.collect(),
        prepared_slices: prepared.iter().map(|(_, prepared)| *prepared).collect(),
        evidence: means.evidence,
        geometry: preparer.cell_geometry(rows, columns),
    }
}

/// The outline of the middle prepared slice on the nearest image.
fn field(preparer: &Preparer, volume: &Volume) -> AnalysedField {
    let [columns, rows, slices] = preparer.geometry().size.map(|size| size as f64 - 1.0);
    let source = |column: f64, row: f64| {
        let point = VoxelPoint { column, row, slice: (slices / 2.0).floor() };
        volume.geometry.to_voxel(preparer.geometry().to_patient(point))
    };
    let within = |value: f64, size: usize| value.clamp(0.0, size as f64 - 1.0);
    let size = volume.geometry.size;
    let corners = [[0.0, 0.0], [columns, 0.0], [columns, rows], [0.0, rows]].map(|[column, row]| {
        let place = source(column, row);
        [within(place.column, size[0]), within(place.row, size[1])]
    });
    let slice = within(source(columns / 2.0, rows / 2.0).slice.round(), size[2]) as usize;
    AnalysedField { slice, corners }
}

/// The decision for a probability at the package's operating point.
///
/// `intended_use` is the most restricted one of all models that took part. A package for demonstration does not decide
/// on images of a patient: its answer is undetermined unless the images say that they are synthetic (0008,001C) or the
/// site allows it. No package decides on images of a kind that it was not trained on. Where lung was `unseen`, or a warning
/// says that something was not seen, embolism may be there: it is not called absent.
pub fn decide(
    probability: Probability,
    manifest: &Manifest,
    intended_use: IntendedUse,
    synthetic: bool,
    allow_demonstration: bool,
    unseen: bool,
    warnings: &[Rejection],
) -> Decision {
    let allowed = intended_use != IntendedUse::Demonstration || synthetic || allow_demonstration;
    let outside_training = warnings.iter().any(|warning| warning.reason == Reason::OutsideTraining);
    let may_decide = allowed && !outside_training;
    let Some(point) = manifest.operating_point.as_ref().filter(|_| may_decide) else { return Decision::Undetermined };
    let unseen = unseen || warnings.iter().any(|warning| warning.reason.hides_embolism());
    match at_operating_point(probability.value(), point) {
        Decision::Absent if unseen => Decision::Undetermined,
        decision => decision,
    }
}

/// The decision for a calibrated probability at an operating point.
pub fn at_operating_point(probability: f64, point: &OperatingPoint) -> Decision {
    let [low, high] = point.indeterminate;
    if (low..high).contains(&probability) {
        Decision::Undetermined
    } else if probability >= point.threshold {
        Decision::Present
    } else {
        Decision::Absent
    }
}

/// Divides the attention of each prepared slice among the source slices that take its values. A prepared slice that no
/// source slice takes gives its attention to the nearest ones. The shares of an exam sum to one.
fn shares(prepared: &[(usize, usize)], attention: &[f32]) -> Vec<f64> {
    let mut shares = vec![0.0; prepared.len()];
    for (slice, share) in attention.iter().enumerate() {
        let distance = |index: &usize| prepared[*index].1.abs_diff(slice);
        let Some(nearest) = (0..prepared.len()).map(|index| distance(&index)).min() else { continue };
        let takers: Vec<usize> = (0..prepared.len()).filter(|index| distance(index) == nearest).collect();
        for taker in &takers {
            shares[*taker] += f64::from(*share) / takers.len() as f64;
        }
    }
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        for share in &mut shares {
            *share /= sum;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(intended_use: &str) -> Manifest {
        let text = include_str!("../../../fixtures/models/fixture-embolism/1.0.0/model.toml");
        Manifest::parse(&text.replace("\"demonstration\"", &format!("\"{intended_use}\""))).expect("fixture")
    }

    fn decided(probability: f64, intended_use: &str, synthetic: bool, allow: bool) -> Decision {
        let manifest = manifest(intended_use);
        let probability = Probability::new(probability).expect("probability");
        decide(probability, &manifest, manifest.intended_use, synthetic, allow, false, &[])
    }

    #[test]
    fn the_operating_point_and_its_band_decide() {
        assert_eq!(decided(0.44, "research", false, false), Decision::Absent);
        assert_eq!(decided(0.45, "research", false, false), Decision::Undetermined);
        assert_eq!(decided(0.54, "research", false, false), Decision::Undetermined);
        assert_eq!(decided(0.55, "research", false, false), Decision::Present);
    }

    #[test]
    fn without_a_band_the_threshold_itself_is_present() {
        let mut manifest = manifest("research");
        let point = manifest.operating_point.as_mut().expect("operating point");
        point.indeterminate = [0.5, 0.5];
        let at = |value: f64| {
            let probability = Probability::new(value).expect("probability");
            decide(probability, &manifest, IntendedUse::Research, false, false, false, &[])
        };
        assert_eq!(at(0.5), Decision::Present);
        assert_eq!(at(0.499), Decision::Absent);
    }

    #[test]
    fn a_demonstration_decides_on_synthetic_images_only_unless_the_site_allows_more() {
        assert_eq!(decided(0.99, "demonstration", false, false), Decision::Undetermined);
        assert_eq!(decided(0.99, "demonstration", true, false), Decision::Present);
        assert_eq!(decided(0.99, "demonstration", false, true), Decision::Present);
        assert_eq!(decided(0.01, "clinical", false, false), Decision::Absent);
        // A clinical classifier on the lungs that a demonstration found.
        let (probability, clinical) = (Probability::new(0.99).expect("probability"), manifest("clinical"));
        let least = clinical.intended_use.min(IntendedUse::Demonstration);
        assert_eq!(decide(probability, &clinical, least, false, false, false, &[]), Decision::Undetermined);
    }

    #[test]
    fn what_was_not_seen_forbids_absent_and_images_unlike_the_training_forbid_a_decision() {
        let manifest = manifest("research");
        let with = |probability: f64, reason: Reason| {
            let probability = Probability::new(probability).expect("probability");
            decide(probability, &manifest, manifest.intended_use, false, false, false, &[Rejection::new(reason, "")])
        };
        assert_eq!(with(0.9, Reason::LungsCut), Decision::Present, "what was seen keeps its decision");
        assert_eq!(with(0.1, Reason::LungsCut), Decision::Undetermined);
        assert_eq!(with(0.1, Reason::TooThick), Decision::Absent);
        assert_eq!(with(0.9, Reason::OutsideTraining), Decision::Undetermined);
    }

    #[test]
    fn embolism_is_not_called_absent_where_lung_was_not_seen_and_a_finding_stays() {
        let manifest = manifest("research");
        let at = |value: f64, unseen: bool| {
            let probability = Probability::new(value).expect("probability");
            decide(probability, &manifest, IntendedUse::Research, false, false, unseen, &[])
        };
        assert_eq!([false, true].map(|unseen| at(0.1, unseen)), [Decision::Absent, Decision::Undetermined]);
        assert_eq!(at(0.9, true), Decision::Present);
    }

    #[test]
    fn attention_is_divided_among_source_slices_and_none_is_lost() {
        // Thin source slices: two take the first prepared slice.
        let thin = shares(&[(0, 0), (1, 0), (2, 1)], &[0.6, 0.4]);
        assert!(thin.iter().zip([0.3, 0.3, 0.4]).all(|(share, wanted)| (share - wanted).abs() < 1e-6), "{thin:?}");
        // Thick ones: none takes prepared slice 1, which lies between both.
        let shared = shares(&[(0, 0), (1, 2)], &[0.5, 0.2, 0.3]);
        assert!((shared[0] - 0.6).abs() < 1e-6 && (shared[1] - 0.4).abs() < 1e-6);
        assert!(shares(&[], &[1.0]).is_empty());
    }
}

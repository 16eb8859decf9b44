//! The embolism classifier: encoder over all prepared slices, head over their features, calibration, decision.

use ndarray::{Array2, Array3, Axis, concatenate};

use super::AnalyseError;
use super::findings::{Decision, Probability, SliceFinding};
use crate::engine::models::manifest::{Calibration, IntendedUse, Manifest, OperatingPoint};
use crate::engine::models::networks::{BATCH, EmbolismNetwork};
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{Geometry, LungMask, Volume};

/// What the classifier says of an exam, slice by slice of the prepared grid.
#[derive(Debug, Clone)]
pub struct Classification {
    /// Calibrated probability of the exam.
    pub probability: Probability,
    /// One entry a source slice inside the analysed range, lowest first.
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
    let (features, evidence) = encode(network, &preparer)?;
    let exam = network.read(&features.view()).map_err(AnalyseError::embolism)?;
    let manifest = network.manifest();
    let calibration = Calibrated::of(manifest)?;
    let slices = exam.slices.iter().map(|logit| calibration.slice(*logit)).collect::<Result<Vec<_>, _>>()?;
    let (_, rows, columns) = evidence.dim();
    let prepared: Vec<(usize, usize)> =
        (0..volume.slices.len()).filter_map(|slice| Some((slice, preparer.prepared_slice(slice)?))).collect();
    let attention = shares(&prepared, exam.attention.as_slice().unwrap_or_default());
    let findings = prepared.iter().zip(attention).map(|((slice, prepared), attention)| SliceFinding {
        slice: *slice,
        probability: slices[*prepared],
        attention,
    });
    Ok(Classification {
        probability: calibration.exam(exam.exam[0])?,
        slices: findings.collect(),
        prepared_slices: prepared.iter().map(|(_, prepared)| *prepared).collect(),
        evidence: evidence.mapv(|logit| calibration.cell(logit)),
        geometry: preparer.cell_geometry(rows, columns),
    })
}

/// What a probability amounts to at the package's operating point.
///
/// `intended_use` is the least of all models that took part. A package for demonstration does not decide on images of a
/// patient: unless the images say that they are synthetic (0008,001C), or the site allows it, its answer is undetermined.
pub fn decide(
    probability: Probability,
    manifest: &Manifest,
    intended_use: IntendedUse,
    synthetic: bool,
    allow_demonstration: bool,
) -> Decision {
    let may_decide = intended_use != IntendedUse::Demonstration || synthetic || allow_demonstration;
    match &manifest.operating_point {
        Some(point) if may_decide => at_operating_point(probability.value(), point),
        _ => Decision::Undetermined,
    }
}

/// What a calibrated probability amounts to at an operating point.
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

fn encode(network: &mut EmbolismNetwork, preparer: &Preparer) -> Result<(Array2<f32>, Array3<f32>), AnalyseError> {
    let (mut features, mut evidence) = (Vec::new(), Vec::new());
    for first in (0..preparer.slices()).step_by(BATCH) {
        let batch = preparer.batch(first..(first + BATCH).min(preparer.slices()));
        let encoded = network.encode(&batch.view()).map_err(AnalyseError::embolism)?;
        features.push(encoded.features);
        evidence.push(encoded.evidence);
    }
    let features: Vec<_> = features.iter().map(|batch| batch.view()).collect();
    let evidence: Vec<_> = evidence.iter().map(|batch| batch.view()).collect();
    let one_network = "all batches come from one network, whose shapes were checked";
    Ok((concatenate(Axis(0), &features).expect(one_network), concatenate(Axis(0), &evidence).expect(one_network)))
}

/// From logits to probabilities by temperature and bias.
struct Calibrated<'a>(&'a Calibration);

impl<'a> Calibrated<'a> {
    fn of(manifest: &'a Manifest) -> Result<Self, AnalyseError> {
        let missing = || AnalyseError::Calibration("the manifest has none".to_owned());
        manifest.calibration.first().map(Self).ok_or_else(missing)
    }

    fn exam(&self, logit: f32) -> Result<Probability, AnalyseError> {
        probability(self.0.exam(f64::from(logit)), logit)
    }

    fn slice(&self, logit: f32) -> Result<Probability, AnalyseError> {
        probability(self.0.slice(f64::from(logit)), logit)
    }

    /// A cell is calibrated as a slice, because its logits are pooled to the slice's.
    fn cell(&self, logit: f32) -> f32 {
        self.0.slice(f64::from(logit)) as f32
    }
}

fn probability(value: f64, logit: f32) -> Result<Probability, AnalyseError> {
    Probability::new(value).ok_or_else(|| AnalyseError::Calibration(format!("{logit} is no logit")))
}

/// Divides the attention of each prepared slice among the source slices that take its values. What falls on prepared
/// slices without a source slice of their own goes to the nearest, so that the shares of an exam sum to one.
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
        decide(probability, &manifest, manifest.intended_use, synthetic, allow)
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
            decide(Probability::new(value).expect("probability"), &manifest, IntendedUse::Research, false, false)
        };
        assert_eq!(at(0.5), Decision::Present);
        assert_eq!(at(0.499), Decision::Absent);
    }

    #[test]
    fn a_demonstration_decides_on_synthetic_images_alone_unless_it_is_allowed_to() {
        assert_eq!(decided(0.99, "demonstration", false, false), Decision::Undetermined);
        assert_eq!(decided(0.99, "demonstration", true, false), Decision::Present);
        assert_eq!(decided(0.99, "demonstration", false, true), Decision::Present);
        assert_eq!(decided(0.01, "clinical", false, false), Decision::Absent);
        // A clinical classifier on the lungs that a demonstration found.
        let (probability, clinical) = (Probability::new(0.99).expect("probability"), manifest("clinical"));
        let least = clinical.intended_use.min(IntendedUse::Demonstration);
        assert_eq!(decide(probability, &clinical, least, false, false), Decision::Undetermined);
    }

    #[test]
    fn calibration_divides_by_the_temperature_and_adds_the_bias() {
        let manifest = manifest("research");
        let calibrated = Calibrated::of(&manifest).expect("calibration");
        let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        assert!((calibrated.exam(3.0).expect("finite").value() - sigmoid(3.0 / 2.0 + 0.5)).abs() < 1e-12);
        assert!((calibrated.slice(3.0).expect("finite").value() - sigmoid(3.0 / 1.5 - 0.25)).abs() < 1e-12);
        assert!((f64::from(calibrated.cell(3.0)) - sigmoid(3.0 / 1.5 - 0.25)).abs() < 1e-6);
        assert!(calibrated.exam(f32::NAN).is_err());
    }

    #[test]
    fn attention_is_divided_among_source_slices_and_none_is_lost() {
        // Thin source slices: two take the first prepared slice.
        let thin = shares(&[(0, 0), (1, 0), (2, 1)], &[0.6, 0.4]);
        assert!(thin.iter().zip([0.3, 0.3, 0.4]).all(|(share, wanted)| (share - wanted).abs() < 1e-6), "{thin:?}");
        // Thick ones: nobody takes prepared slice 1, which lies between both.
        let shared = shares(&[(0, 0), (1, 2)], &[0.5, 0.2, 0.3]);
        assert!((shared[0] - 0.6).abs() < 1e-6 && (shared[1] - 0.4).abs() < 1e-6);
        assert!(shares(&[], &[1.0]).is_empty());
    }
}

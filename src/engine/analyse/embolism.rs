//! The embolism classifier: every network of the package over all prepared slices, and calibration.

use ndarray::Array3;

use super::AnalyseError;
use super::ensemble::{self, SliceMeans};
use super::findings::{AnalysedField, SliceFinding, TargetFinding};
use crate::engine::models::networks::EmbolismNetwork;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{Geometry, LungMask, Volume, VoxelPoint};

/// The classifier's answer for an exam.
#[derive(Debug, Clone)]
pub struct Classification {
    /// For pulmonary embolism.
    pub exam: TargetFinding,
    /// Logit of embolism in the exam of each member, before calibration.
    pub logits: Vec<f64>,
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
        logits: readings.iter().map(|reading| f64::from(reading.targets[0])).collect(),
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

//! Pictures of the exams with the worst predictions, from their prepared slices.

use ndarray::{Array3, Axis};

use super::embolism::ClassifierEvaluation;
use super::inference::Classifier;
use crate::engine::models::manifest::Calibration;
use crate::learn::train::dataset::Dataset;
use crate::learn::train::exported::ExportedFit;
use crate::learn::train::labels::Split;
use crate::learn::train::report::{Case, Picture, worst};
use crate::learn::train::{TrainError, TrainingContext};

/// Most exams of each kind: missed emboli and false alarms.
const EACH: usize = 3;

/// The test exams with the worst predictions, or the validation exams where there is no test, each with the slice of
/// greatest evidence: for an embolism that was missed, among the slices that are labelled to show it.
pub(crate) fn cases(
    context: &TrainingContext,
    fits: &[ExportedFit],
    outcome: &ClassifierEvaluation,
) -> Result<Vec<Case>, TrainError> {
    let has = |split: Split| outcome.predictions.iter().any(|one| one.split == split);
    let split = if has(Split::Test) { Split::Test } else { Split::Validation };
    let mut classifiers =
        fits.iter().map(|fit| Classifier::load(&fit.draft, context)).collect::<Result<Vec<_>, _>>()?;
    worst(&outcome.predictions, split, EACH)
        .into_iter()
        .map(|prediction| {
            // An exam of a fold was answered by its member alone.
            let members = prediction.member.map_or(0..fits.len(), |member| member..member + 1);
            let answered = members.clone().zip(&mut classifiers[members.clone()]);
            let data = fits[members.start].exams(split);
            let place = data.and_then(|data| data.exams.iter().position(|exam| exam.series == prediction.series));
            let picture = match (data, place) {
                (Some(data), Some(exam)) => {
                    let count = members.len() as f32;
                    let mut evidence: Option<Array3<f32>> = None;
                    for (member, classifier) in answered {
                        // A network that reads exams as a whole shows nothing.
                        let Some(found) = classifier.evidence(data, exam)? else { continue };
                        let found = calibrated(found, &outcome.evaluation.calibration[member]) / count;
                        evidence = Some(match evidence {
                            Some(sum) => sum + found,
                            None => found,
                        });
                    }
                    evidence.map(|evidence| picture(data, exam, &evidence)).transpose()?.flatten()
                }
                _ => None,
            };
            Ok(Case { prediction: prediction.clone(), picture })
        })
        .collect()
}

/// A cell is calibrated as a slice, because its logits are pooled to the slice's.
fn calibrated(evidence: Array3<f32>, calibration: &Calibration) -> Array3<f32> {
    evidence.mapv_into(|logit| calibration.slice(f64::from(logit)) as f32)
}

fn picture(data: &Dataset, exam: usize, evidence: &Array3<f32>) -> Result<Option<Picture>, TrainError> {
    let row = &data.exams[exam];
    let positive = |slice: &usize| row.slice_labels.get(*slice) == Some(&1);
    let greatest = |slice: usize| evidence.index_axis(Axis(0), slice).iter().copied().fold(0.0, f32::max);
    let all = 0..evidence.len_of(Axis(0));
    let shows_it = row.embolism && all.clone().any(|slice| positive(&slice));
    let candidates = all.filter(|slice| !shows_it || positive(slice));
    let Some(slice) = candidates.max_by(|a, b| greatest(*a).total_cmp(&greatest(*b))) else { return Ok(None) };
    let images = data.images(exam, &[slice])?;
    let which = if shows_it { "labelled to show embolism" } else { "of greatest attribution" };
    let caption =
        format!("Prepared slice {} of {}, {which}; attribution up to {:.2}.", slice + 1, row.slices, greatest(slice));
    Ok(Picture::of_prepared(&images[0], data.size(), &evidence.index_axis(Axis(0), slice), caption))
}

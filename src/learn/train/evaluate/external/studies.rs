//! Runs one labelled study through the analysis of the node.

use std::cmp::Reverse;
use std::path::PathBuf;

use super::labels::LabelledStudy;
use super::masks::{self, MaskError, MaskTruth};
use crate::dicom::bounded;
use crate::engine::analyse::AnalyseError;
use crate::engine::analyse::decision::at_operating_point;
use crate::engine::analyse::findings::TargetFinding;
use crate::engine::models::networks::Models;
use crate::engine::pipeline::{AnalysedSeries, FindOptions, Found, find};
use crate::engine::report::first_heat_map;
use crate::engine::volume::SeriesFiles;
use crate::learn::train::evaluate::predictions::{Prediction, TargetPrediction};
use crate::learn::train::files::{LIMITS, patient_of};
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::mean;
use crate::learn::train::report::Picture;
use crate::learn::train::volumes::Acquisition;

/// Why a study is left out.
#[derive(Debug, thiserror::Error)]
enum StudyError {
    #[error("failed: {0}")]
    Failed(#[from] AnalyseError),
    #[error("rejected: {0}")]
    Rejected(String),
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error(transparent)]
    Truth(#[from] TruthError),
    #[error("the package has no operating point")]
    NoOperatingPoint,
}

/// Why it is unknown whether a study shows embolism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum TruthError {
    #[error("labels conflict: the label says no embolism, the mask has emboli")]
    Conflict,
    #[error("the study has neither a label nor a mask")]
    Unknown,
}

/// How a study ended.
pub(super) enum StudyOutcome {
    Analysed(Box<AnalysedStudy>),
    /// The reason, and the step that gave it.
    LeftOut {
        step: &'static str,
        reason: String,
    },
}

/// A study that was analysed.
pub(super) struct AnalysedStudy {
    pub(super) prediction: Prediction,
    /// Logits of the classifier's members, before calibration.
    pub(super) logits: Vec<f64>,
    /// The predictions of the further targets.
    pub(super) targets: Vec<TargetPrediction>,
    /// Its slice of greatest attribution.
    pub(super) picture: Option<Picture>,
    pub(super) acquisition: Acquisition,
    /// The images are marked as synthetic.
    pub(super) synthetic: bool,
    /// Source slices.
    pub(super) images: usize,
    /// The ground truth from its mask; `None` without a mask, or with an empty one in spite of embolism.
    pub(super) truth: Option<MaskTruth>,
}

/// Analyses the named series of a study, or its series one after another, the one with most images first, until one can
/// be analysed.
pub(super) fn analyse(
    study: &LabelledStudy,
    series: &[SeriesFiles],
    models: &mut Models,
    options: &FindOptions,
) -> StudyOutcome {
    let left_out = |step, reason: String| StudyOutcome::LeftOut { step, reason };
    let named = |one: &&SeriesFiles| study.series.is_empty() || study.series == one.series_instance_uid.as_str();
    let mut candidates: Vec<&SeriesFiles> = series.iter().filter(named).collect();
    if candidates.is_empty() {
        let what = if series.is_empty() { "no images of the study were found" } else { "the study has no such series" };
        return left_out("images", what.to_owned());
    }
    candidates.sort_by_key(|one| Reverse(one.files.len()));
    let mut reasons = Vec::new();
    for candidate in candidates {
        match analysed(candidate, models, options) {
            Err(reason) => reasons.push(reason.to_string()),
            Ok(analysed) => {
                return match answer(study, candidate, &analysed) {
                    Ok(analysed) => StudyOutcome::Analysed(Box::new(analysed)),
                    Err(reason) => left_out("mask", reason.to_string()),
                };
            }
        }
    }
    left_out("analysis", reasons.join("; "))
}

/// The findings of a series, or why there are none.
fn analysed(
    series: &SeriesFiles,
    models: &mut Models,
    options: &FindOptions,
) -> Result<Box<AnalysedSeries>, StudyError> {
    let outcome = find(&series.files, models, options)?;
    match outcome.found {
        Found::Analysed(analysed) => Ok(analysed),
        Found::Rejected(rejected) => {
            let rejections = rejected.rejections.iter();
            let reasons: Vec<String> =
                rejections.map(|rejection| format!("{}: {}", rejection.reason, rejection.explanation)).collect();
            Err(StudyError::Rejected(reasons.join(", ")))
        }
    }
}

fn answer(study: &LabelledStudy, series: &SeriesFiles, analysed: &AnalysedSeries) -> Result<AnalysedStudy, StudyError> {
    let findings = &analysed.findings;
    let mask = study.mask.as_ref();
    let compared = |path: &PathBuf| masks::compare(path, &analysed.volume.geometry, findings.evidence.as_ref());
    let mask = mask.map(compared).transpose()?;
    let (embolism, truth) = agreed(study.embolism, mask)?;
    let probability = findings.probability.value();
    let point = findings.classifier.operating_point.as_ref().ok_or(StudyError::NoOperatingPoint)?;
    let header = series.files.iter().find_map(|path| bounded::open_header(path, &LIMITS).ok());
    let prediction = Prediction {
        series: series.series_instance_uid.to_string(),
        split: Split::Test,
        embolism,
        logit: mean(&analysed.logits),
        probability,
        standard_deviation: findings.standard_deviation,
        spread: findings.standard_deviation,
        decision: at_operating_point(probability, point),
        member: None,
        study: study.study.clone(),
        patient: header.as_ref().map_or_else(|| study.study.clone(), |header| patient_of(header, &study.study)),
    };
    let said = |finding: &TargetFinding| TargetPrediction {
        series: prediction.series.clone(),
        split: Split::Test,
        target: finding.target,
        label: study.further.iter().find(|(target, _)| *target == finding.target).map(|(_, label)| *label),
        logit: None,
        probability: finding.probability.value(),
    };
    let targets = findings.targets.iter().map(said).collect();
    let caption =
        findings.evidence.as_ref().and_then(|evidence| evidence.key_slices.first()).map(|key| {
            format!("Slice {} of {}, of greatest attribution.", key.slice + 1, analysed.volume.slices.len())
        });
    let key = first_heat_map(&analysed.volume, findings);
    Ok(AnalysedStudy {
        prediction,
        logits: analysed.logits.clone(),
        targets,
        picture: key.zip(caption).and_then(|(image, caption)| Picture::new(&image, caption)),
        acquisition: header.map(|header| Acquisition::of(&header)).unwrap_or_default(),
        synthetic: findings.synthetic,
        images: analysed.volume.slices.len(),
        truth,
    })
}

/// Whether there is embolism, and what the mask says of slices and emboli. An empty mask of an exam with embolism is
/// not used: its emboli were not drawn.
fn agreed(label: Option<bool>, mask: Option<MaskTruth>) -> Result<(bool, Option<MaskTruth>), TruthError> {
    match (label, mask) {
        (Some(false), Some(mask)) if mask.embolism => Err(TruthError::Conflict),
        (Some(true), Some(mask)) if !mask.embolism => Ok((true, None)),
        (Some(label), mask) => Ok((label, mask)),
        (None, Some(mask)) => Ok((mask.embolism, Some(mask))),
        (None, None) => Err(TruthError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::evaluate::external::masks::Hits;
    use crate::learn::train::metrics::Scored;

    #[test]
    fn an_empty_mask_of_an_exam_with_embolism_is_not_used() {
        let mask = |embolism| {
            let slices = vec![Scored { score: 0.25, positive: embolism }];
            Some(MaskTruth { embolism, slices, hits: Hits::default() })
        };
        assert_eq!(agreed(Some(true), mask(false)), Ok((true, None)));
        assert_eq!(agreed(Some(true), mask(true)), Ok((true, mask(true))));
        assert_eq!(agreed(Some(false), mask(false)), Ok((false, mask(false))));
        assert_eq!(agreed(None, mask(false)), Ok((false, mask(false))), "where there is no label, the mask decides");
        assert_eq!(agreed(None, mask(true)), Ok((true, mask(true))));
        assert_eq!(agreed(Some(true), None), Ok((true, None)));
        assert!(agreed(Some(false), mask(true)).is_err_and(|error| error.to_string().contains("labels conflict")));
        assert!(agreed(None, None).is_err());
    }
}

//! Statements that must accompany the numbers, shared by report and pictures.

use super::Context;
use crate::engine::analyse::findings::{Decision, Findings, TargetFinding};
use crate::engine::models::manifest::{Calibration, IntendedUse, Manifest, OperatingPoint};
use crate::engine::volume::{Monochromatic, Reason, Rejection, Volume};

/// Statement for a classifier without a heat map.
pub(super) const NO_EVIDENCE: &str = "The classifier looks at the exam as a whole: it gives no probabilities of slices, \
                                      no heat map and no key slices.";

/// The line on every picture; `None` for packages that a site put to clinical use.
pub(super) fn banner(findings: &Findings) -> Option<&'static str> {
    match findings.intended_use {
        IntendedUse::Demonstration => Some("RESEARCH USE ONLY - trained on synthetic images"),
        IntendedUse::Research => Some("RESEARCH USE ONLY - not for diagnosis"),
        IntendedUse::Clinical => None,
    }
}

/// The intended use as written in a manifest.
pub(super) fn intended_use(classifier: &Manifest) -> &'static str {
    match classifier.intended_use {
        IntendedUse::Demonstration => "demonstration",
        IntendedUse::Research => "research",
        IntendedUse::Clinical => "clinical",
    }
}

/// Everything a reader must know to weigh the result, as sentences.
pub(super) fn all(context: &Context) -> Vec<String> {
    let findings = context.findings;
    let use_statement = match findings.intended_use {
        IntendedUse::Demonstration => Some(
            "Research use only. The models are a demonstration, trained on synthetic training data; not for diagnosis.",
        ),
        IntendedUse::Research => Some("Research use only. Not for diagnosis."),
        IntendedUse::Clinical => None,
    };
    use_statement
        .map(str::to_owned)
        .into_iter()
        .chain(findings.synthetic.then(|| "The images say that they are synthetic.".to_owned()))
        .chain(monochromatic(context.volume))
        .chain(undetermined(findings))
        .chain(uncalibrated_exam(findings))
        .chain(uncalibrated_slices(findings))
        .chain(findings.evidence.is_none().then(|| NO_EVIDENCE.to_owned()))
        .chain(uncalibrated_targets(findings))
        .chain(quality(findings))
        .chain([enhancement(findings)])
        .chain(left_out(findings))
        .collect()
}

/// That the images are virtual monochromatic ones, if they are, and of which energy.
fn monochromatic(volume: &Volume) -> Option<String> {
    Monochromatic::of(&volume.header).map(|images| format!("The images are {images}."))
}

/// Why no decision was made, if none was.
pub(super) fn undetermined(findings: &Findings) -> Option<String> {
    if findings.decision != Decision::Undetermined {
        return None;
    }
    let band = findings.classifier.operating_point.as_ref().map(|point| point.indeterminate);
    let inside = band.is_some_and(|[low, high]| (low..high).contains(&findings.probability.value()));
    Some(match band {
        Some([low, high]) if inside => {
            format!("Undetermined: the probability lies between {} % and {} %.", percent(low), percent(high))
        }
        _ if findings.intended_use == IntendedUse::Demonstration && !findings.synthetic => {
            "Undetermined: a demonstration model makes no decision on images that are not marked synthetic.".to_owned()
        }
        _ if findings.warnings.iter().any(|warning| warning.reason == Reason::OutsideTraining) => {
            "Undetermined: the model was not trained on such images.".to_owned()
        }
        _ if findings.warnings.iter().any(|warning| warning.reason.hides_embolism()) => {
            "Undetermined: embolism cannot be excluded, because not everything was seen.".to_owned()
        }
        Some(_) if findings.completeness.limits_decision(&findings.lungs) => {
            "Undetermined: embolism in lung that was not seen cannot be excluded.".to_owned()
        }
        _ => "Undetermined: the model makes no decision on these images.".to_owned(),
    })
}

/// That the exam's probability is not calibrated, if it is not.
fn uncalibrated_exam(findings: &Findings) -> Option<String> {
    (!findings.is_calibrated()).then(|| "The probability of embolism in the exam is not calibrated.".to_owned())
}

/// That the probabilities of slices are not calibrated, if they are not.
fn uncalibrated_slices(findings: &Findings) -> Option<String> {
    let fitted = findings.classifier.calibration.iter().all(|calibration| calibration.slices_fitted);
    (findings.evidence.is_some() && !fitted)
        .then(|| "The probabilities of single slices are not calibrated: no labelled slices to fit on.".to_owned())
}

/// Which further targets have no calibrated probability, if any.
fn uncalibrated_targets(findings: &Findings) -> Option<String> {
    let names: Vec<&str> =
        findings.targets.iter().filter(|finding| !finding.calibrated).map(|finding| finding.target.meaning()).collect();
    (!names.is_empty()).then(|| format!("Not calibrated: the probabilities of {}.", names.join(", ")))
}

/// How far the networks of an ensemble differ, if there are several.
pub(super) fn standard_deviation(findings: &Findings) -> Option<String> {
    let (share, members) = (findings.standard_deviation?, findings.classifier.members());
    Some(format!("Mean of {members} networks, whose probabilities have a standard deviation of {} %.", percent(share)))
}

/// The probabilities of the further targets in one sentence, if there are any.
pub(super) fn targets(findings: &Findings) -> Option<String> {
    let of_target = |finding: &TargetFinding| format!("{} {}", finding.target.meaning(), target(finding));
    let all: Vec<String> = findings.targets.iter().map(of_target).collect();
    (!all.is_empty()).then(|| format!("Also estimated: {}.", all.join(", ")))
}

/// The probability of a further target in words.
pub(super) fn target(finding: &TargetFinding) -> String {
    let calibrated = if finding.calibrated { "" } else { " (not calibrated)" };
    let deviation = finding
        .standard_deviation
        .map_or_else(String::new, |share| format!(" (standard deviation {} %)", percent(share)));
    format!("{} %{deviation}{calibrated}", finding.probability.percent())
}

/// What is wrong with the images, if anything.
pub(super) fn quality(findings: &Findings) -> Option<String> {
    if findings.warnings.is_empty() {
        return None;
    }
    let told = |warning: &Rejection| format!("{}: {}", warning.reason, warning.explanation);
    let warnings: Vec<String> = findings.warnings.iter().map(told).collect();
    Some(format!("Image quality: {}. Analysed in spite of it; the result may be wrong.", warnings.join("; ")))
}

/// What of the series was not analysed, one sentence a cause.
pub(super) fn left_out(findings: &Findings) -> impl Iterator<Item = String> + '_ {
    findings.left_out.iter().map(|left_out| format!("{left_out}."))
}

/// How bright contrast agent makes the great vessels, or that it was not measured.
pub(super) fn enhancement(findings: &Findings) -> String {
    format!("Enhancement: {}.", findings.enhancement.explanation())
}

/// The operating point in one line.
pub(super) fn operating_point(point: &OperatingPoint) -> String {
    format!("{}; undetermined from {} to {}", point.threshold, point.indeterminate[0], point.indeterminate[1])
}

/// The calibration in one line.
pub(super) fn calibration(calibration: &Calibration) -> String {
    let Calibration { temperature, bias, isotonic, slice_temperature, slice_bias, .. } = calibration;
    let map = if isotonic.is_some() { " and an isotonic map" } else { "" };
    // Numbers are given even where they were not fitted, because they are applied.
    let [exam, slices] = [calibration.exam_fitted, calibration.slices_fitted]
        .map(|fitted| if fitted { "" } else { " (not calibrated)" });
    format!(
        "exam temperature {temperature} bias {bias}{map}{exam}; slice temperature {slice_temperature} bias \
         {slice_bias}{slices}"
    )
}

/// A share as percent, at most two decimals.
fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

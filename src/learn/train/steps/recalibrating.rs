//! From exams of a site to another version of a package.

use std::path::PathBuf;

use semver::Version;

use crate::engine::models::ModelsError;
use crate::engine::models::manifest::Manifest;
use crate::engine::models::package::Package;
use crate::learn::train::card::{self, Origin};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::evaluate::{self, Evaluation, ExternalValidation, Recalibrated};
use crate::learn::train::report::by_reason;
use crate::learn::train::{TrainError, TrainingContext, files, package};

/// Fits calibration and operating point of a package to labelled studies of a site, and writes them with the same
/// networks as another version of the package, beside it. Returns what was found as lines.
///
/// # Errors
/// A table that cannot be read, a package that cannot be used, fewer than 20 exams with or without embolism, a network
/// whose logits do not rise with the truth, or a version that is taken.
pub fn recalibrate(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    request: &ExternalValidation,
    version: &Version,
) -> Result<Vec<String>, TrainError> {
    let labels = std::fs::read(&request.labels).map_err(TrainError::file("reading", &request.labels))?;
    let Recalibrated { package, evaluation, exclusions } = evaluate::recalibrated(configuration, context, request)?;
    let written = written(&package, version, &evaluation, &files::digest(&labels), context)?;
    let left_out =
        by_reason(&exclusions).into_iter().map(|row| format!("left out, {}: {} ({})", row[0], row[1], row[2]));
    let summary = std::iter::once(format!("recalibrate: {}", written.display()));
    Ok(summary.chain(left_out).chain(evaluation.notes.iter().cloned()).chain(evaluation.lines()).collect())
}

/// Writes the other version. `labels_sha256` is that of the site's table.
fn written(
    package: &Package,
    version: &Version,
    evaluation: &Evaluation,
    labels_sha256: &str,
    context: &TrainingContext,
) -> Result<PathBuf, TrainError> {
    let networks = package.contents().map_err(ModelsError::from)?;
    let manifest = Manifest {
        version: version.clone(),
        calibration: evaluation.calibration.clone(),
        operating_point: evaluation.operating_point.clone(),
        metrics: evaluation.metrics.clone(),
        ..package.manifest().clone()
    };
    // A package of other software may have no card.
    let earlier = std::fs::read_to_string(package.directory().join("card.md")).unwrap_or_default();
    let origin = Origin { identity: &networks.identity, labels_sha256 };
    let card = card::recalibrated(&manifest, evaluation, &origin, &earlier);
    package::write_again(package, &manifest, &networks, &card, evaluation, context)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::engine::models::manifest::{Kind, Metric, OperatingPoint};

    #[test]
    fn another_version_has_the_same_networks_a_new_calibration_and_a_card_that_says_so() {
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("fixture-embolism/1.0.0");
        std::fs::create_dir_all(&place).expect("folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/fixture-embolism/1.0.0");
        for file in std::fs::read_dir(fixture).expect("fixture").flatten() {
            std::fs::copy(file.path(), place.join(file.file_name())).expect("copied");
        }
        std::fs::write(place.join("card.md"), "# fixture-embolism 1.0.0\n\nAs it was.\n").expect("card");
        let package = Package::open(&place).expect("package");
        let mut calibration = package.manifest().calibration.clone();
        calibration[0].bias = -1.25;
        let metric = |value| Metric { value, interval: Some([0.75, 0.95]) };
        let metrics = [("exams", 80.0), ("positive_exams", 40.0), ("exam_sensitivity", 0.875)];
        let metrics: BTreeMap<String, Metric> =
            metrics.map(|(name, value)| (format!("validation.{name}"), metric(value))).into();
        let chosen = "threshold for a sensitivity of 0.9".to_owned();
        let evaluation = Evaluation {
            metrics,
            calibration,
            operating_point: Some(OperatingPoint { threshold: 0.375, indeterminate: [0.25, 0.5], chosen }),
            notes: vec!["exams: temperature and bias fitted to 80".to_owned()],
            ..Evaluation::uncalibrated(Kind::EmbolismClassifier)
        };
        let context = TrainingContext::of_environment();
        let version = Version::new(1, 0, 1);
        let place = written(&package, &version, &evaluation, "00ff", &context).expect("written");
        assert_eq!(place, folder.path().join("fixture-embolism/1.0.1"));
        let again = Package::open(&place).expect("package");
        assert_eq!(again.manifest().files, package.manifest().files, "the digests of the networks, too");
        assert!((again.manifest().calibration[0].bias + 1.25).abs() < 1e-12);
        let card = std::fs::read_to_string(place.join("card.md")).expect("card");
        let identity = package.contents().expect("files").identity;
        for part in [
            "# fixture-embolism 1.0.1",
            &format!("This is fixture-embolism/1.0.0, SHA-256 `{}`, recalibrated", identity.sha256),
            "On 80 validation exams, 40 with embolism",
            "SHA-256 `00ff`",
            "Operating point: 0.375, undetermined from 0.250 to 0.500",
            "## Before the recalibration",
            "### fixture-embolism 1.0.0",
        ] {
            assert!(card.contains(part), "{part} is missing from {card}");
        }
        let other = Evaluation { calibration: package.manifest().calibration.clone(), ..evaluation };
        let taken = written(&package, &version, &other, "00ff", &context).expect_err("taken").to_string();
        assert!(taken.contains("another version"), "{taken}");
    }
}

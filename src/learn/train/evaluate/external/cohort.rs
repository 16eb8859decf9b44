//! The studies of an external validation together: metrics, tables, report.

use std::collections::BTreeMap;
use std::fmt;

use super::labels::LabelledStudy;
use super::masks::Hits;
use super::request::{ExternalValidation, file_stem};
use super::studies::AnalysedStudy;
use crate::engine::models::ModelIdentity;
use crate::engine::models::manifest::{IntendedUse, Manifest, Metric, OperatingPoint};
use crate::engine::models::networks::Models;
use crate::learn::train::TrainError;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::configuration::{self as settings, TrainConfiguration};
use crate::learn::train::evaluate::evaluation::Evaluation;
use crate::learn::train::evaluate::predictions::{Prediction, TargetPrediction, scored};
use crate::learn::train::evaluate::summary::{self, Measured};
use crate::learn::train::files;
use crate::learn::train::labels::{Exclusion, Split, tell_apart};
use crate::learn::train::metrics::Scored;
use crate::learn::train::report::{Attributes, Case, Report, add_acquisition, worst};
use crate::learn::train::table;

/// Most exams of each kind, missed emboli and false alarms, that are shown with a picture.
const EACH: usize = 3;

/// A package that took part.
struct Part {
    manifest: Manifest,
    sha256: String,
}

impl Part {
    fn new(manifest: &Manifest, identity: &ModelIdentity) -> Self {
        Self { manifest: manifest.clone(), sha256: identity.sha256.clone() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}, SHA-256 {}", self.manifest.name, self.manifest.version, self.sha256)
    }
}

/// An exam of the site.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LocalExam {
    /// Digest that stands for the patient.
    pub(super) patient: String,
    pub(super) positive: bool,
    /// Each member of the classifier, with its logit before calibration.
    pub(super) logits: Vec<(usize, f64)>,
}

/// The results so far.
pub(super) struct ExternalCohort {
    classifier: Part,
    lungs: Part,
    predictions: Vec<Prediction>,
    /// Logits of the classifier's members, study by study as the predictions.
    logits: Vec<Vec<f64>>,
    targets: Vec<TargetPrediction>,
    slices: Vec<Scored>,
    hits: Hits,
    attributes: Attributes,
    /// Exams with embolism whose masks are empty.
    undrawn: usize,
    /// Pictures of the exams with the worst predictions so far, by series.
    pictures: BTreeMap<String, Case>,
    synthetic: bool,
    images: usize,
}

impl ExternalCohort {
    pub(super) fn new(models: &Models) -> Self {
        Self {
            classifier: Part::new(models.embolism.manifest(), models.embolism.identity()),
            lungs: Part::new(models.lungs.manifest(), models.lungs.identity()),
            predictions: Vec::new(),
            logits: Vec::new(),
            targets: Vec::new(),
            slices: Vec::new(),
            hits: Hits::default(),
            attributes: Attributes::default(),
            undrawn: 0,
            pictures: BTreeMap::new(),
            synthetic: false,
            images: 0,
        }
    }

    /// That of the package; studies of a package without one are left out before.
    fn point(&self) -> OperatingPoint {
        let none = || OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen: String::new() };
        self.classifier.manifest.operating_point.clone().unwrap_or_else(none)
    }

    /// Whether no study was analysed.
    pub(super) fn is_empty(&self) -> bool {
        self.predictions.is_empty()
    }

    pub(super) fn take(&mut self, study: &LabelledStudy, analysed: AnalysedStudy) {
        let AnalysedStudy { prediction, logits, targets, picture, acquisition, synthetic, images, truth } = analysed;
        self.targets.extend(targets);
        self.attributes.add(&prediction.series, "embolus level", study.level.as_str());
        add_acquisition(&mut self.attributes, &prediction.series, &acquisition);
        self.undrawn += usize::from(study.mask.is_some() && truth.is_none());
        if let Some(truth) = truth {
            self.slices.extend(truth.slices);
            self.hits.add(truth.hits);
        }
        self.synthetic |= synthetic;
        self.images += images;
        self.logits.push(logits);
        self.predictions.push(prediction.clone());
        self.pictures.insert(prediction.series.clone(), Case { prediction, picture });
        // No more pictures are kept than are shown.
        let wanted = self.worst();
        self.pictures.retain(|series, _| wanted.contains(series));
    }

    /// Label, patient and the members' logits of every exam, and a note where patients could not be told apart.
    pub(super) fn exams(mut self) -> (Vec<LocalExam>, Vec<String>) {
        let notes = tell_apart(self.predictions.iter_mut().map(|one| (&mut one.patient, one.study.as_str())));
        let exam = |(prediction, logits): (Prediction, Vec<f64>)| LocalExam {
            patient: prediction.patient,
            positive: prediction.embolism,
            logits: logits.into_iter().enumerate().collect(),
        };
        (self.predictions.into_iter().zip(self.logits).map(exam).collect(), notes.into_iter().collect())
    }

    /// Series of the exams with the worst predictions, the worst first.
    fn worst(&self) -> Vec<String> {
        let worst = worst(&self.predictions, Split::Test, EACH);
        worst.into_iter().map(|one| one.series.clone()).collect()
    }

    fn metrics(&self, settings: &settings::Evaluation, resampling: Resampling) -> BTreeMap<String, Metric> {
        let exams = scored(&self.predictions, Split::Test);
        let point = self.point();
        let measured = Measured { point: &point, prevalence: settings.criterion.prevalence(), resampling };
        let of_exams = measured.of_exams(&exams).into_iter();
        let of_slices = summary::of_slices(&self.slices).into_iter().chain(self.hits.metrics());
        let named = of_exams.chain(of_slices).map(|(name, metric)| (format!("test.{name}"), metric));
        named
            .chain(summary::of_targets(&self.targets, &self.predictions, resampling))
            .chain(summary::of_standard_deviations(&self.predictions))
            .collect()
    }

    /// What a reader should know about the metrics, one sentence each.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "calibration and operating point are the package's own; nothing was fitted to these exams".to_owned(),
            format!("the lungs were found by {}", self.lungs),
        ];
        if self.undrawn > 0 {
            let what = "exams with embolism have empty masks: their slices and emboli are not counted";
            notes.push(format!("{} {what}", self.undrawn));
        }
        notes
    }

    pub(super) fn write(
        mut self,
        configuration: &TrainConfiguration,
        request: &ExternalValidation,
        exclusions: Vec<Exclusion>,
    ) -> Result<Vec<String>, TrainError> {
        let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
        let mut notes = self.notes();
        notes.extend(tell_apart(self.predictions.iter_mut().map(|one| (&mut one.patient, one.study.as_str()))));
        let classifier = &self.classifier.manifest;
        let out = request.folder(classifier);
        let metrics = self.metrics(&configuration.evaluation, resampling);
        notes.extend(summary::too_few(&metrics));
        let evaluation = Evaluation {
            metrics,
            calibration: classifier.calibration.clone(),
            operating_point: classifier.operating_point.clone(),
            networks_sha256: vec![self.classifier.sha256.clone()],
            notes,
        };
        table::write(&out.join("predictions.csv"), &self.predictions)?;
        table::write(&out.join("targets.csv"), &self.targets)?;
        table::write(&out.join("exclusions.csv"), &exclusions)?;
        files::write_whole(&out.join("evaluation.json"), evaluation.to_json().as_bytes())?;
        let cases = self.worst().iter().filter_map(|series| self.pictures.remove(series)).collect();
        let positive = self.predictions.iter().filter(|one| one.embolism).count();
        let of_slices = [self.images, self.slices.len(), self.slices.iter().filter(|slice| slice.positive).count()];
        let counts = [self.predictions.len(), positive].into_iter().chain(of_slices).map(|count| count.to_string());
        let labels = std::fs::read(&request.labels).map_err(TrainError::file("reading", &request.labels))?;
        let report = Report {
            title: format!("{} {} on {}", classifier.name, classifier.version, file_stem(&request.labels)),
            notice: notice([classifier, &self.lungs.manifest], self.synthetic),
            about: vec![
                ("Package", self.classifier.to_string()),
                ("Trained on", classifier.training.data.clone()),
                ("Lungs", self.lungs.to_string()),
                ("Labels, SHA-256", files::digest(&labels)),
                ("Quality checks", if request.ignore_quality { "ignored" } else { "as in service" }.to_owned()),
                ("Program", env!("CARGO_PKG_VERSION").to_owned()),
            ],
            evaluation: &evaluation,
            predictions: &self.predictions,
            attributes: self.attributes,
            cases,
            courses: Vec::new(),
            counts: vec![std::iter::once("test".to_owned()).chain(counts).collect()],
            exclusions,
            configuration: toml::to_string_pretty(&configuration.evaluation).unwrap_or_default(),
            resampling,
        };
        let left_out = report.exclusions.len();
        files::write_whole(&out.join("report.html"), report.html().as_bytes())?;
        let summary = format!(
            "evaluate: {} studies analysed, {left_out} left out, see {}",
            self.predictions.len(),
            out.display()
        );
        Ok(std::iter::once(summary).chain(evaluation.lines()).collect())
    }
}

/// What the results must not be used for, by the most restricted intended use of the packages.
fn notice(packages: [&Manifest; 2], synthetic: bool) -> &'static str {
    let [one, other] = packages.map(|package| package.intended_use);
    match one.min(other) {
        _ if synthetic => "Measured on synthetic images: nothing here says how the model does on patients.",
        IntendedUse::Demonstration => "A package is a demonstration that was trained on synthetic images alone.",
        IntendedUse::Research => "Research use only: not for decisions about patients.",
        IntendedUse::Clinical => {
            "Metrics hold for exams like these; what is put to clinical use is the site's own decision."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("fixture")
    }

    #[test]
    fn the_notice_follows_the_most_restricted_package() {
        let of = |intended_use| Manifest {
            intended_use,
            ..manifest(include_str!("../../../../../fixtures/models/fixture-lungs/1.0.0/model.toml"))
        };
        let (clinical, research, shown) =
            (of(IntendedUse::Clinical), of(IntendedUse::Research), of(IntendedUse::Demonstration));
        assert!(notice([&clinical, &shown], false).contains("demonstration"));
        assert!(notice([&research, &clinical], false).starts_with("Research use only"));
        assert!(notice([&clinical, &clinical], true).contains("synthetic images"));
    }
}

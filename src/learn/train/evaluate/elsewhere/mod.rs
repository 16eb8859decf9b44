//! A package on exams of another place, which carry exam labels alone or masks of their emboli: DICOM in, the analysis
//! that serves, and the report of an experiment out. No training folder is needed.
//!
//! Every labelled study ends as an answer or as a row of exclusions: studies without images, series that the quality
//! gate rejects, analyses that fail and masks of other images are counted with their reasons and never dropped. Tables,
//! figures and report are written together at the end; where nothing could be analysed, the reasons are the error.

mod labels;
mod masks;
mod studies;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Evaluation, Prediction, TargetPrediction, figures};
use crate::engine::models::manifest::{IntendedUse, Kind, Manifest, Metric};
use crate::engine::models::networks::Models;
use crate::engine::models::registry::Package;
use crate::engine::models::{ModelIdentity, ModelsError};
use crate::engine::volume::group_by_series;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::files::{self, LIMITS, table};
use crate::learn::train::labels::{Exclusion, Split, tell_apart};
use crate::learn::train::metrics::Scored;
use crate::learn::train::report::{Attributes, Case, Report, add_acquisition, by_reason, worst};
use crate::learn::train::{TrainError, TrainingContext, progress};
use labels::Labelled;
use masks::Hits;
use studies::{Answered, Outcome};

/// Exams that went worst, of either kind at most so many, that are shown with a picture.
const EACH: usize = 3;

/// What is evaluated on what.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Table with `StudyInstanceUID` and `pe_present_in_exam` or `mask`.
    pub labels: PathBuf,
    /// Folder with the studies, nested in any way.
    pub images: PathBuf,
    /// The package; `None` for the one that the configuration exports.
    pub package: Option<PathBuf>,
    /// Where results go; `None` for a folder of the package's own in `NAME-evaluation`, beside a table `NAME.csv`.
    pub out: Option<PathBuf>,
    /// Analyse series that the quality gate rejects too.
    pub ignore_quality: bool,
}

impl Elsewhere {
    /// Where the results of a package go.
    fn folder(&self, Manifest { name, version, .. }: &Manifest) -> PathBuf {
        let of_table = || self.labels.with_file_name(format!("{}-evaluation", file_stem(&self.labels)));
        self.out.clone().unwrap_or_else(|| of_table().join(format!("{name}-{version}")))
    }
}

/// Evaluates a package on labelled studies. Gives the figures as lines.
///
/// # Errors
/// A table that cannot be read, a package that cannot be used, or no study that could be analysed.
pub fn evaluate_elsewhere(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    request: &Elsewhere,
) -> Result<Vec<String>, TrainError> {
    let labels::Contents { studies: labelled, mut exclusions } = labels::read(&request.labels)?;
    let mut models = models(configuration, context, request)?;
    let mut grouped: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let grouping = group_by_series(std::slice::from_ref(&request.images), &LIMITS);
    for (path, rejection) in &grouping.unreadable {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        exclusions.push(Exclusion::new("images", &name, format!("{}: {}", rejection.reason, rejection.explanation)));
    }
    for series in grouping.series {
        grouped.entry(series.study_instance_uid.to_string()).or_default().push(series);
    }
    let known: BTreeSet<&str> = labelled.iter().map(|study| study.study.as_str()).collect();
    let unlabelled = grouped.keys().filter(|study| !known.contains(study.as_str()));
    exclusions.extend(unlabelled.map(|study| Exclusion::new("labels", study, "the study has no label in the table")));
    let mut cohort = Cohort::new(&models);
    let bar = progress::bar(labelled.len() as u64, "evaluate");
    for study in &labelled {
        let series = grouped.get(&study.study).map_or(&[][..], Vec::as_slice);
        match studies::analyse(study, series, &mut models, request.ignore_quality) {
            Outcome::Answered(answered) => cohort.take(study, *answered),
            Outcome::LeftOut { step, reason } => exclusions.push(Exclusion::new(step, &study.study, reason)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if cohort.predictions.is_empty() {
        return Err(nothing_analysed(labelled.len(), &exclusions));
    }
    cohort.write(configuration, request, exclusions)
}

/// That there is nothing to report, with all reasons, the most frequent first.
fn nothing_analysed(labelled: usize, exclusions: &[Exclusion]) -> TrainError {
    let rows = by_reason(exclusions);
    let reasons: Vec<String> = rows.iter().map(|row| format!("{}: {} ({})", row[0], row[1], row[2])).collect();
    TrainError::Exams(format!("none of {labelled} labelled studies could be analysed; {}", reasons.join("; ")))
}

/// The models that serve, with the package to evaluate in the classifier's place.
fn models(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    request: &Elsewhere,
) -> Result<Models, TrainError> {
    let exported = || {
        let settings = &configuration.package;
        settings.directory.join(&settings.name).join(&settings.version)
    };
    let folder = request.package.clone().unwrap_or_else(exported);
    if !folder.is_dir() {
        let problem = "there is no such package; name one with --package, or run `pe-node train export` first";
        return Err(TrainError::Exams(format!("{}: {problem}", folder.display())));
    }
    // The folders above a package say its name and version, also where it is named by a path such as `.`.
    let folder = folder.canonicalize().map_err(TrainError::file("finding", &folder))?;
    let package = Package::open(&folder).map_err(ModelsError::from)?;
    if package.manifest().kind != Kind::EmbolismClassifier {
        let problem = "the package finds no embolism; name an embolism classifier";
        return Err(TrainError::Exams(format!("{}: {problem}", folder.display())));
    }
    let lungs = context.lung_package(&configuration.data)?;
    Ok(Models::of(&lungs, &package, &context.onnxruntime)?)
}

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

/// What was found so far.
struct Cohort {
    classifier: Part,
    lungs: Part,
    predictions: Vec<Prediction>,
    targets: Vec<TargetPrediction>,
    slices: Vec<Scored>,
    hits: Hits,
    attributes: Attributes,
    /// Exams with embolism whose masks are empty.
    undrawn: usize,
    /// Pictures of the exams that went worst so far, by series.
    pictures: BTreeMap<String, Case>,
    synthetic: bool,
    images: usize,
}

impl Cohort {
    fn new(models: &Models) -> Self {
        Self {
            classifier: Part::new(models.embolism.manifest(), models.embolism.identity()),
            lungs: Part::new(models.lungs.manifest(), models.lungs.identity()),
            predictions: Vec::new(),
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

    fn threshold(&self) -> f64 {
        self.classifier.manifest.operating_point.as_ref().map_or(0.5, |point| point.threshold)
    }

    fn take(&mut self, study: &Labelled, answered: Answered) {
        let Answered { prediction, targets, picture, acquisition, synthetic, images, truth } = answered;
        self.targets.extend(targets);
        self.attributes.add(&prediction.series, "clot level", study.level.as_str());
        add_acquisition(&mut self.attributes, &prediction.series, &acquisition);
        self.undrawn += usize::from(study.mask.is_some() && truth.is_none());
        if let Some(truth) = truth {
            self.slices.extend(truth.slices);
            self.hits.add(truth.hits);
        }
        self.synthetic |= synthetic;
        self.images += images;
        self.predictions.push(prediction.clone());
        self.pictures.insert(prediction.series.clone(), Case { prediction, picture });
        // No more pictures are kept than are shown.
        let wanted = self.worst();
        self.pictures.retain(|series, _| wanted.contains(series));
    }

    /// Series of the exams that went worst, the worst first.
    fn worst(&self) -> Vec<String> {
        let worst = worst(&self.predictions, Split::Test, self.threshold(), EACH);
        worst.into_iter().map(|one| one.series.clone()).collect()
    }

    fn metrics(&self, resampling: Resampling) -> BTreeMap<String, Metric> {
        let exams = super::scored(&self.predictions, Split::Test);
        let of_exams = figures::of_exams(&exams, self.threshold(), resampling).into_iter();
        let of_slices = figures::of_slices(&self.slices).into_iter().chain(self.hits.figures());
        let of_slices = of_slices.map(|(name, metric)| (name.to_owned(), metric));
        let named = of_exams.chain(of_slices).map(|(name, metric)| (format!("test.{name}"), metric));
        named
            .chain(figures::of_targets(&self.targets, &self.predictions, resampling))
            .chain(figures::of_spread(&self.predictions))
            .collect()
    }

    /// What a reader should know of the figures, a sentence each.
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

    fn write(
        mut self,
        configuration: &TrainConfiguration,
        request: &Elsewhere,
        exclusions: Vec<Exclusion>,
    ) -> Result<Vec<String>, TrainError> {
        let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
        let mut notes = self.notes();
        notes.extend(tell_apart(self.predictions.iter_mut().map(|one| (&mut one.patient, one.study.as_str()))));
        let classifier = &self.classifier.manifest;
        let out = request.folder(classifier);
        let evaluation = Evaluation {
            metrics: self.metrics(resampling),
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
                ("Learnt from", classifier.training.data.clone()),
                ("Lungs", self.lungs.to_string()),
                ("Labels, SHA-256", files::digest(&labels)),
                ("Quality gate", if request.ignore_quality { "ignored" } else { "as in service" }.to_owned()),
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
            "evaluate: {} studies answered, {left_out} left out, see {}",
            self.predictions.len(),
            out.display()
        );
        Ok(std::iter::once(summary).chain(evaluation.lines()).collect())
    }
}

/// What the results of packages must not be used for: they are worth no more than the least of them.
fn notice(packages: [&Manifest; 2], synthetic: bool) -> &'static str {
    let [one, other] = packages.map(|package| package.intended_use);
    match one.min(other) {
        _ if synthetic => "Measured on synthetic images: nothing here says how the model does on patients.",
        IntendedUse::Demonstration => "A package is a demonstration that learnt from synthetic images alone.",
        IntendedUse::Research => "Research use only: not for decisions about patients.",
        IntendedUse::Clinical => {
            "Figures hold for exams like these; what is put to clinical use is the site's own decision."
        }
    }
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("fixture")
    }

    #[test]
    fn each_package_has_a_folder_of_its_own_beside_the_table() {
        let request = Elsewhere {
            labels: PathBuf::from("site/exams.v2.csv"),
            images: PathBuf::new(),
            package: None,
            out: None,
            ignore_quality: false,
        };
        let embolism = manifest(include_str!("../../../../../fixtures/models/fixture-embolism/1.0.0/model.toml"));
        assert_eq!(request.folder(&embolism), Path::new("site/exams.v2-evaluation/fixture-embolism-1.0.0"));
        let next = Manifest { version: "1.1.0".to_owned(), ..embolism.clone() };
        assert_ne!(request.folder(&next), request.folder(&embolism));
        let named = Elsewhere { out: Some(PathBuf::from("results")), ..request };
        assert_eq!(named.folder(&embolism), Path::new("results"));
    }

    #[test]
    fn results_are_worth_no_more_than_the_least_package() {
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

    #[test]
    fn a_run_that_analysed_nothing_says_every_reason() {
        let of = |step: &str, reason: &str| Exclusion::new(step, "1.2", reason);
        let exclusions =
            [of("images", "no images of the study were found"), of("analysis", "failed"), of("analysis", "failed")];
        let said = nothing_analysed(3, &exclusions).to_string();
        assert!(said.contains("none of 3 labelled studies could be analysed; analysis: failed (2); images: no images"));
    }
}

//! A package on exams of another place, which carry exam labels alone or masks of their emboli: DICOM in, the analysis
//! that serves, and the report of an experiment out. No training folder is needed.
//!
//! Every labelled study ends as an answer or as a row of exclusions: studies without images, series that the quality
//! gate rejects and analyses that fail are counted with their reasons and never dropped.

mod labels;
mod masks;
mod studies;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Evaluation, Prediction, TargetPrediction, figures};
use crate::config::Config;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{IntendedUse, Kind, Manifest, Metric};
use crate::engine::models::networks::Models;
use crate::engine::models::registry::{Package, Registry};
use crate::engine::volume::group_by_series;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::files::{self, LIMITS, table};
use crate::learn::train::labels::{Exclusion, Split};
use crate::learn::train::metrics::Scored;
use crate::learn::train::report::{Attributes, Case, Report, add_acquisition, worst};
use crate::learn::train::{TrainError, progress};
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
    /// Where results go.
    pub out: PathBuf,
    /// Analyse series that the quality gate rejects too.
    pub ignore_quality: bool,
}

/// Evaluates a package on labelled studies. Gives the figures as lines.
///
/// # Errors
/// A table that cannot be read, a package that cannot be used, or no study that could be analysed.
pub fn evaluate_elsewhere(configuration: &TrainConfiguration, request: &Elsewhere) -> Result<Vec<String>, TrainError> {
    let labels::Contents { studies: labelled, mut exclusions } = labels::read(&request.labels)?;
    let (mut models, package) = models(configuration, request)?;
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
    let mut cohort = Cohort::new(package.manifest());
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
    files::create_folder(&request.out)?;
    table::write(&request.out.join("exclusions.csv"), &exclusions)?;
    if cohort.predictions.is_empty() {
        let first = exclusions.first().map_or_else(String::new, |first| format!("; the first: {}", first.reason));
        return Err(TrainError::Exams(format!("none of {} labelled studies could be analysed{first}", labelled.len())));
    }
    cohort.write(configuration, request, &package, exclusions)
}

/// The models that serve, with the package to evaluate in the classifier's place.
fn models(configuration: &TrainConfiguration, request: &Elsewhere) -> Result<(Models, Package), TrainError> {
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
    let mut config = Config::load(None, std::env::vars(), &[])?;
    if !configuration.data.models_directory.as_os_str().is_empty() {
        config.models.directory.clone_from(&configuration.data.models_directory);
    }
    let registry = Registry::open(&config.models).map_err(ModelsError::from)?;
    let lungs = registry.select(Kind::LungSegmentation, &config.models.lungs).map_err(ModelsError::from)?;
    Ok((Models::of(lungs, &package, &config.onnxruntime)?, package))
}

/// What was found so far.
struct Cohort {
    manifest: Manifest,
    predictions: Vec<Prediction>,
    targets: Vec<TargetPrediction>,
    slices: Vec<Scored>,
    hits: Hits,
    attributes: Attributes,
    /// Pictures of the exams that went worst so far, by series.
    pictures: BTreeMap<String, Case>,
    synthetic: bool,
    images: usize,
}

impl Cohort {
    fn new(manifest: &Manifest) -> Self {
        Self {
            manifest: manifest.clone(),
            predictions: Vec::new(),
            targets: Vec::new(),
            slices: Vec::new(),
            hits: Hits::default(),
            attributes: Attributes::default(),
            pictures: BTreeMap::new(),
            synthetic: false,
            images: 0,
        }
    }

    fn threshold(&self) -> f64 {
        self.manifest.operating_point.as_ref().map_or(0.5, |point| point.threshold)
    }

    fn take(&mut self, study: &Labelled, answered: Answered) {
        let Answered { prediction, targets, picture, acquisition, synthetic, images, truth } = answered;
        self.targets.extend(targets);
        self.attributes.add(&prediction.series, "clot level", study.level.as_str());
        add_acquisition(&mut self.attributes, &prediction.series, &acquisition);
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
        let exams: Vec<Scored> = self.predictions.iter().map(Prediction::scored).collect();
        let of_exams = figures::of_exams(&exams, self.threshold(), resampling).into_iter();
        let of_slices = figures::of_slices(&self.slices).into_iter().chain(self.hits.figures());
        let of_slices = of_slices.map(|(name, metric)| (name.to_owned(), metric));
        let named = of_exams.chain(of_slices).map(|(name, metric)| (format!("test.{name}"), metric));
        named
            .chain(figures::of_targets(&self.targets, resampling))
            .chain(figures::of_spread(&self.predictions))
            .collect()
    }

    fn write(
        mut self,
        configuration: &TrainConfiguration,
        request: &Elsewhere,
        package: &Package,
        exclusions: Vec<Exclusion>,
    ) -> Result<Vec<String>, TrainError> {
        let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
        let digest = super::digest(package)?;
        let evaluation = Evaluation {
            metrics: self.metrics(resampling),
            calibration: self.manifest.calibration.clone(),
            operating_point: self.manifest.operating_point.clone(),
            networks_sha256: vec![digest.clone()],
            notes: vec![
                "calibration and operating point are the package's own; nothing was fitted to these exams".to_owned(),
            ],
        };
        table::write(&request.out.join("predictions.csv"), &self.predictions)?;
        table::write(&request.out.join("targets.csv"), &self.targets)?;
        files::write_whole(&request.out.join("evaluation.json"), evaluation.to_json().as_bytes())?;
        let cases = self.worst().iter().filter_map(|series| self.pictures.remove(series)).collect();
        let positive = self.predictions.iter().filter(|one| one.embolism).count();
        let of_slices = [self.images, self.slices.len(), self.slices.iter().filter(|slice| slice.positive).count()];
        let counts = [self.predictions.len(), positive].into_iter().chain(of_slices).map(|count| count.to_string());
        let labels = std::fs::read(&request.labels).map_err(TrainError::file("reading", &request.labels))?;
        let Manifest { name, version, .. } = &self.manifest;
        let report = Report {
            title: format!("{name} {version} on {}", file_stem(&request.labels)),
            notice: notice(&self.manifest, self.synthetic),
            about: vec![
                ("Package", format!("{name} {version}, SHA-256 {digest}")),
                ("Learnt from", self.manifest.training.data.clone()),
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
        files::write_whole(&request.out.join("report.html"), report.html().as_bytes())?;
        let summary = format!(
            "evaluate: {} studies answered, {left_out} left out, see {}",
            self.predictions.len(),
            request.out.display()
        );
        Ok(std::iter::once(summary).chain(evaluation.lines()).collect())
    }
}

fn notice(manifest: &Manifest, synthetic: bool) -> &'static str {
    match manifest.intended_use {
        _ if synthetic => "Measured on synthetic images: nothing here says how the model does on patients.",
        IntendedUse::Demonstration => "The package is a demonstration that learnt from synthetic images alone.",
        IntendedUse::Research => "Research use only: not for decisions about patients.",
        IntendedUse::Clinical => {
            "Figures hold for exams like these; what is put to clinical use is the site's own decision."
        }
    }
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

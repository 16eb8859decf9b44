//! From instances to results: the one function that says it all.
//!
//! [`analyse_series`] reads files, and that is all it asks of the world. The time that stands in the results and the
//! digest of the instances come from the caller, so the same job gives the same objects byte for byte.

use std::path::PathBuf;
use std::time::Instant;

use dicom_dictionary_std::tags;
use jiff::ZonedDateTime;
use serde::{Deserialize, Serialize};

use super::analyse::embolism::{classify, decide};
use super::analyse::evidence::explain;
use super::analyse::findings::{
    Decision, Evidence, Findings, Lung, Lungs, ModelIdentity, Probability, Provider, TargetFinding,
};
use super::analyse::quality::{gate_chest, gate_images};
use super::analyse::{AnalyseError, lungs};
use super::models::Models;
use super::models::manifest::IntendedUse;
use super::report::{self, Context, Pictures, ReportError, ResultObject, Results};
pub use super::report::{ResultKind, ResultReference};
use super::volume::{Geometry, LungMask, Rejection, SeriesReading, SourceSlice, Volume, read_series};
use crate::config::ReportConfig;
use crate::dicom::Uid;
use crate::dicom::bounded::Limits;
use crate::dicom::elements::text;

/// What an analysis depends on besides files and models.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// What objects may claim.
    pub limits: &'a Limits,
    /// What results to write and how.
    pub report: &'a ReportConfig,
    /// Analyse although the quality gate rejects; results say so. A series without a volume or without lungs stays
    /// rejected: there is nothing to analyse.
    pub ignore_quality: bool,
    /// Let packages for demonstration decide on images of patients.
    pub allow_demonstration: bool,
    /// Digest over the instances of the series, as the job is keyed by it.
    pub instance_set_digest: &'a str,
    /// The report on the same series when it had fewer instances, which this one takes the place of.
    pub predecessor: Option<&'a ResultReference>,
    /// Every date and time in the results: when the job was created.
    pub time: &'a ZonedDateTime,
    /// Version of this program.
    pub software_version: &'a str,
}

/// What came of a series.
#[derive(Debug)]
pub struct SeriesResult {
    /// How it ended, in numbers.
    pub summary: Summary,
    /// The result objects; empty for a rejected series.
    pub objects: Vec<ResultObject>,
    /// The lungs on the source grid, whenever the lung stage ran.
    pub lungs: Option<LungMask>,
    /// The source grid, whenever there is a volume.
    pub geometry: Option<Geometry>,
    /// The images of the volume, lowest first, whenever there is one.
    pub slices: Vec<SourceSlice>,
    /// What was found, when analysed.
    pub findings: Option<Findings>,
    /// Summary page and heat maps, when analysed.
    pub pictures: Option<Pictures>,
}

/// Why an analysis failed. What is wrong with the images is a rejection in the [`Summary`] instead.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A stage failed.
    #[error("analysing a series: {0}")]
    Analyse(#[from] AnalyseError),
    /// The results could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// How the analysis of one series ended, as the worker records it, the API answers it and the CSV lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Study Instance UID, where one could be read.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID, where one could be read.
    pub series_instance_uid: Option<Uid>,
    /// Analysed or rejected.
    pub status: Status,
    /// All quality rejections that apply, in the order of `Reason::ALL`.
    pub rejections: Vec<Rejection>,
    /// Exam probability, when analysed.
    pub probability: Option<Probability>,
    /// Its standard deviation over the networks of an ensemble, when one analysed.
    #[serde(default)]
    pub probability_spread: Option<f64>,
    /// What else the classifier says of the exam, when analysed.
    #[serde(default)]
    pub targets: Vec<TargetFinding>,
    /// Decision, when analysed.
    pub decision: Option<Decision>,
    /// Volume of the left lung, whenever the lung stage ran.
    pub left_lung_ml: Option<f64>,
    /// Volume of the right lung, whenever the lung stage ran.
    pub right_lung_ml: Option<f64>,
    /// Execution provider of the networks, when one ran.
    pub provider: Option<Provider>,
    /// Models that took part.
    pub models: Vec<ModelIdentity>,
    /// True if a package with `intended_use = "demonstration"` took part: its results stay at home.
    pub demonstration: bool,
    /// Milliseconds of each stage, in order: `read`, `quality`, `lungs`, `embolism`, `evidence`, `report`.
    pub timings_ms: Vec<(String, u64)>,
    /// The result objects.
    pub results: Vec<ResultReference>,
}

/// How an analysis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Results were made.
    Analysed,
    /// The series is not usable, for the reasons given.
    Rejected,
}

/// Analyses the files of one series: reads them to a volume, finds the lungs, gates the quality, classifies, explains
/// and reports.
///
/// What headers and images have against them does not stop the lung stage: all reasons that apply are collected, and
/// the lung volumes of a rejected series are still told.
///
/// # Errors
/// A network failed, or the result objects could not be made.
pub fn analyse_series(
    files: &[PathBuf],
    models: &mut Models,
    options: &Options,
) -> Result<SeriesResult, PipelineError> {
    let mut stages = Stages::default();
    let reading = stages.time("read", || read_series(files, options.limits));
    let mut rejections = reading.rejections.clone();
    let mut result = SeriesResult {
        summary: summary(&reading),
        objects: Vec::new(),
        lungs: None,
        geometry: None,
        slices: Vec::new(),
        findings: None,
        pictures: None,
    };
    let Some(volume) = reading.volume else {
        return Ok(result.ended(rejections, stages));
    };
    rejections.extend(stages.time("quality", || gate_images(&volume)));
    let mask = stages.time("lungs", || lungs::segment(&mut models.lungs, &volume))?;
    let measured = lungs::measure(&mask, &volume.geometry);
    result.take_lungs(&measured, models);
    rejections.extend(stages.time("quality", || gate_chest(&volume, &mask)));
    let rejections = Rejection::merged(rejections);
    result.geometry = Some(volume.geometry.clone());
    result.slices.clone_from(&volume.slices);
    let no_lungs = measured.left.is_none() && measured.right.is_none();
    if no_lungs || !(rejections.is_empty() || options.ignore_quality) {
        result.lungs = Some(mask);
        return Ok(result.ended(rejections, stages));
    }
    let findings = find(&mut stages, models, (&volume, &mask), (measured, &rejections), options)?;
    let context = Context {
        volume: &volume,
        lungs: &mask,
        findings: &findings,
        settings: options.report,
        instance_set_digest: options.instance_set_digest,
        predecessor: options.predecessor,
        time: options.time,
        software_version: options.software_version,
    };
    let Results { objects, pictures } = stages.time("report", || report::results(&context))?;
    result.take_findings(findings, objects);
    result.pictures = Some(pictures);
    result.lungs = Some(mask);
    Ok(result.ended(rejections, stages))
}

/// Embolism and evidence of a volume with lungs.
fn find(
    stages: &mut Stages,
    models: &mut Models,
    (volume, mask): (&Volume, &LungMask),
    (lungs, rejections): (Lungs, &[Rejection]),
    options: &Options,
) -> Result<Findings, PipelineError> {
    let classification = stages.time("embolism", || classify(&mut models.embolism, volume, mask))?;
    let evidence = stages.time("evidence", || {
        classification.slices.map(|of_slices| {
            let (map, key_slices) = explain(&of_slices, volume, mask, options.report.key_slices);
            Evidence { slices: of_slices.slices, key_slices, map }
        })
    });
    let probability = classification.exam.probability;
    let synthetic = text(&volume.header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES");
    let classifier = models.embolism.manifest().clone();
    let intended_use = classifier.intended_use.min(models.lungs.manifest().intended_use);
    Ok(Findings {
        probability,
        spread: classification.exam.spread,
        decision: decide(probability, &classifier, intended_use, synthetic, options.allow_demonstration),
        targets: classification.targets,
        evidence,
        field: classification.field,
        lungs,
        reasons: rejections.iter().map(|rejection| rejection.reason).collect(),
        synthetic,
        intended_use,
        classifier,
        models: models.identities(),
        provider: models.provider().clone(),
    })
}

fn summary(reading: &SeriesReading) -> Summary {
    Summary {
        study_instance_uid: reading.study_instance_uid.clone(),
        series_instance_uid: reading.series_instance_uid.clone(),
        status: Status::Rejected,
        rejections: Vec::new(),
        probability: None,
        probability_spread: None,
        targets: Vec::new(),
        decision: None,
        left_lung_ml: None,
        right_lung_ml: None,
        provider: None,
        models: Vec::new(),
        demonstration: false,
        timings_ms: Vec::new(),
        results: Vec::new(),
    }
}

impl SeriesResult {
    /// The lung stage ran: its volumes, its model and what ran it.
    fn take_lungs(&mut self, lungs: &Lungs, models: &Models) {
        let millilitres = |lung: &Option<Lung>| Some(lung.as_ref().map_or(0.0, |lung| lung.millilitres));
        self.summary.left_lung_ml = millilitres(&lungs.left);
        self.summary.right_lung_ml = millilitres(&lungs.right);
        self.summary.provider = Some(models.provider().clone());
        self.summary.models = models.identities().into_iter().take(1).collect();
        self.summary.demonstration = models.lungs.manifest().intended_use == IntendedUse::Demonstration;
    }

    fn take_findings(&mut self, findings: Findings, objects: Vec<ResultObject>) {
        self.summary.status = Status::Analysed;
        self.summary.probability = Some(findings.probability);
        self.summary.probability_spread = findings.spread;
        self.summary.targets.clone_from(&findings.targets);
        self.summary.decision = Some(findings.decision);
        self.summary.models.clone_from(&findings.models);
        self.summary.demonstration |= findings.classifier.intended_use == IntendedUse::Demonstration;
        self.summary.results = objects.iter().map(ResultObject::reference).collect();
        self.objects = objects;
        self.findings = Some(findings);
    }

    fn ended(mut self, rejections: Vec<Rejection>, stages: Stages) -> Self {
        self.summary.rejections = rejections;
        self.summary.timings_ms =
            stages.0.into_iter().map(|(name, duration)| (name, duration.as_millis() as u64)).collect();
        self
    }
}

/// How long each stage took, in the order in which they first began.
#[derive(Default)]
struct Stages(Vec<(String, std::time::Duration)>);

impl Stages {
    fn time<T>(&mut self, stage: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = work();
        match self.0.iter_mut().find(|(name, _)| name == stage) {
            Some((_, duration)) => *duration += start.elapsed(),
            None => self.0.push((stage.to_owned(), start.elapsed())),
        }
        outcome
    }
}

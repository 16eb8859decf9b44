//! From instances to results, in two steps: [`find`] and [`report()`].
//!
//! [`find`] reads files and nothing else from outside. The time in the results and the digest of the instances come
//! from the caller of [`report()`], so the same job gives the same objects byte for byte.

mod json;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
mod timings;

use std::path::PathBuf;

use dicom_dictionary_std::tags;
use jiff::ZonedDateTime;

pub use self::json::{answer, answer_with_reasons_of};
pub use self::summary::{
    AnalysedSummary, AnalysisSummary, Ending, EnhancementSummary, LungStage, LungVolumes, MissingLung, RejectedSummary,
};
pub use self::timings::{Stage, Timings};
use super::analyse::decision::{Limit, decide};
use super::analyse::embolism::classify;
use super::analyse::enhancement::Enhancement;
use super::analyse::evidence::explain;
use super::analyse::findings::{Completeness, Evidence, Findings, Lungs};
use super::analyse::quality::{ChestQuality, check_chest, check_images, ranges, severity};
use super::analyse::{AnalyseError, lungs};
use super::models::Models;
use super::models::manifest::IntendedUse;
use super::report::{self, Context, ReportError, ResultObject, Results};
pub use super::report::{ResultKind, ResultReference};
use super::volume::{
    Geometry, LeftOut, LungMask, Monochromatic, Refused, Rejection, SeriesReading, Volume, read_series,
};
use crate::config::{QualityConfig, ReportConfig, Severity};
use crate::dicom::bounded::Limits;
use crate::dicom::elements::text;
use crate::dicom::{Member, Uid, images_sha256};

/// What findings depend on besides files and models.
#[derive(Debug, Clone)]
pub struct FindOptions<'a> {
    /// Limits on what objects declare.
    pub limits: &'a Limits,
    /// What follows from a quality check, and from which value on it objects.
    pub quality: &'a QualityConfig,
    /// Analyse although quality checks reject; results say so. A series without a volume or without lungs stays
    /// rejected: there is nothing to analyse.
    pub ignore_quality: bool,
    /// Let packages for demonstration decide on images of patients.
    pub allow_demonstration: bool,
    /// How many slices to show at most.
    pub key_slices: usize,
    /// Images of the series that were sent and refused, one entry a cause; none where nobody can know.
    pub refused: &'a [Refused],
}

/// What result objects depend on besides findings.
#[derive(Debug, Clone)]
pub struct ReportOptions<'a> {
    /// What results to write and how.
    pub settings: &'a ReportConfig,
    /// Digest over what was analysed of the series; results are identified by it.
    pub instance_set_digest: &'a str,
    /// Which analysis of the series this is, from 1.
    pub version: u32,
    /// Which issue of the results it is, from 0: each has identifiers of its own.
    pub issue: u32,
    /// The earlier report on the same series with fewer instances, which this one replaces.
    pub predecessor: Option<&'a ResultReference>,
    /// Every date and time in the results: when the job was created.
    pub time: &'a ZonedDateTime,
    /// Version of this program.
    pub software_version: &'a str,
}

/// The outcome of a series, with its images.
#[derive(Debug)]
pub struct SeriesOutcome {
    study_instance_uid: Option<Uid>,
    series_instance_uid: Option<Uid>,
    timings: Timings,
    monochromatic: Option<Monochromatic>,
    /// Findings, or why there are none.
    pub found: Found,
}

/// What was found in a series. What is wrong with the images is a rejection, not an error.
#[derive(Debug)]
pub enum Found {
    /// It was analysed.
    Analysed(Box<AnalysedSeries>),
    /// It is not usable.
    Rejected(RejectedSeries),
}

/// An analysed series.
#[derive(Debug)]
pub struct AnalysedSeries {
    /// The images.
    pub volume: Volume,
    /// The lungs on the grid of the volume.
    pub lungs: LungMask,
    /// What was found.
    pub findings: Findings,
    /// Logit of embolism of each member of the classifier, before calibration.
    pub logits: Vec<f64>,
}

/// A series that was not analysed.
#[derive(Debug)]
pub struct RejectedSeries {
    /// All rejections that apply, in the order of `Reason`.
    pub rejections: Vec<Rejection>,
    /// What of the series the rejections are not about.
    pub left_out: Vec<LeftOut>,
    /// The lungs, if their stage ran.
    pub lungs: Option<RejectedLungs>,
}

/// The lungs of a series that was not analysed.
#[derive(Debug)]
pub struct RejectedLungs {
    /// Their volumes, and what found them.
    pub stage: LungStage,
    /// The lungs on the source grid.
    pub mask: LungMask,
    /// The source grid.
    pub geometry: Geometry,
    /// How bright contrast agent makes the great vessels.
    pub enhancement: Enhancement,
}

/// Reads the files of one series to a volume, finds the lungs, checks the quality, classifies and explains.
///
/// Faults of headers and images do not stop the lung stage: all reasons that apply are collected, and the lung volumes
/// of a rejected series are still reported.
///
/// # Errors
/// A network failed.
pub fn find(files: &[PathBuf], models: &mut Models, options: &FindOptions) -> Result<SeriesOutcome, AnalyseError> {
    let mut timings = Timings::default();
    let mut reading = timings.time(Stage::Read, || read_series(files, options.limits));
    reading.add_refused(options.refused);
    let SeriesReading { study_instance_uid, series_instance_uid, volume, rejections, left_out } = reading;
    let monochromatic = volume.as_ref().and_then(|volume| Monochromatic::of(&volume.header));
    let found = match volume {
        Some(volume) => examine(volume, (rejections, left_out), models, options, &mut timings)?,
        None => Found::Rejected(RejectedSeries { rejections, left_out, lungs: None }),
    };
    Ok(SeriesOutcome { study_instance_uid, series_instance_uid, timings, monochromatic, found })
}

/// Makes the result objects and pictures of an analysed series; none for a rejected one.
///
/// # Errors
/// The source lacks an attribute that every result needs.
pub fn report(outcome: &mut SeriesOutcome, options: &ReportOptions) -> Result<Option<Results>, ReportError> {
    let Found::Analysed(series) = &outcome.found else { return Ok(None) };
    let context = Context {
        volume: &series.volume,
        lungs: &series.lungs,
        findings: &series.findings,
        settings: options.settings,
        instance_set_digest: options.instance_set_digest,
        version: options.version,
        issue: options.issue,
        predecessor: options.predecessor,
        time: options.time,
        software_version: options.software_version,
    };
    outcome.timings.time(Stage::Report, || report::results(&context)).map(Some)
}

/// Finds the lungs and checks the quality of a volume, and classifies it if it is usable.
fn examine(
    volume: Volume,
    (mut rejections, left_out): (Vec<Rejection>, Vec<LeftOut>),
    models: &mut Models,
    options: &FindOptions,
    timings: &mut Timings,
) -> Result<Found, AnalyseError> {
    rejections.extend(timings.time(Stage::Quality, || check_images(&volume, options.quality)));
    let mask = timings.time(Stage::Lungs, || lungs::segment(&mut models.lungs, &volume))?;
    let measured = lungs::measure(&mask, &volume.geometry);
    let completeness = timings.time(Stage::Quality, || lungs::completeness(&volume, &mask, &measured));
    let ChestQuality { rejections: of_chest, enhancement } =
        timings.time(Stage::Quality, || check_chest(&volume, &mask, &measured, &completeness, options.quality));
    rejections.extend(of_chest);
    rejections.extend(completeness.warning());
    rejections.retain(|rejection| severity(rejection.reason, options.quality) != Severity::Off);
    let unusable = |rejection: &Rejection| severity(rejection.reason, options.quality) == Severity::Reject;
    let usable = options.ignore_quality || !rejections.iter().any(unusable);
    if usable && measured.has_lungs() {
        rejections.extend(ranges::check(&volume, models.embolism.manifest()));
        let warnings = Rejection::merged(rejections);
        let judged = Judged { lungs: measured, completeness, enhancement, warnings, left_out };
        let (findings, logits) = interpret(&volume, &mask, judged, models, options, timings)?;
        return Ok(Found::Analysed(Box::new(AnalysedSeries { volume, lungs: mask, findings, logits })));
    }
    let stage = LungStage {
        volumes: LungVolumes::from(&measured),
        model: models.lungs.identity().clone(),
        provider: models.provider().clone(),
        demonstration: models.lungs.manifest().intended_use == IntendedUse::Demonstration,
    };
    let lungs = Some(RejectedLungs { stage, mask, geometry: volume.geometry, enhancement });
    Ok(Found::Rejected(RejectedSeries { rejections: Rejection::merged(rejections), left_out, lungs }))
}

/// What is known of a volume before it is classified.
struct Judged {
    lungs: Lungs,
    completeness: Completeness,
    enhancement: Enhancement,
    warnings: Vec<Rejection>,
    left_out: Vec<LeftOut>,
}

/// Embolism and evidence of a volume with lungs, and the members' logits.
fn interpret(
    volume: &Volume,
    mask: &LungMask,
    judged: Judged,
    models: &mut Models,
    options: &FindOptions,
    timings: &mut Timings,
) -> Result<(Findings, Vec<f64>), AnalyseError> {
    let classification = timings.time(Stage::Embolism, || classify(&mut models.embolism, volume, mask))?;
    let evidence = timings.time(Stage::Evidence, || {
        classification.slices.map(|of_slices| {
            let (map, key_slices) = explain(&of_slices, volume, mask, options.key_slices);
            Evidence { slices: of_slices.slices, key_slices, map }
        })
    });
    let Judged { lungs, completeness, enhancement, warnings, left_out } = judged;
    let probability = classification.exam.probability;
    let synthetic = text(&volume.header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES");
    let classifier = models.embolism.manifest().clone();
    let intended_use = classifier.intended_use.min(models.lungs.manifest().intended_use);
    let limit = Limit::by_use(intended_use, synthetic, options.allow_demonstration)
        .max(Limit::by_images(&warnings))
        .max(Limit::by_lungs(completeness.limits_decision(&lungs)));
    let findings = Findings {
        probability,
        standard_deviation: classification.exam.standard_deviation,
        decision: decide(probability, classifier.operating_point.as_ref(), limit),
        targets: classification.targets,
        evidence,
        field: classification.field,
        lungs,
        completeness,
        enhancement,
        warnings,
        left_out,
        synthetic,
        intended_use,
        classifier,
        models: models.identities(),
        provider: models.provider().clone(),
    };
    Ok((findings, classification.logits))
}

impl SeriesOutcome {
    /// The outcome in numbers, with the result objects that were made of it.
    pub fn summary(&self, objects: &[ResultObject]) -> AnalysisSummary {
        let (left_out, enhancement) = match &self.found {
            Found::Analysed(series) => (&series.findings.left_out, series.findings.enhancement),
            Found::Rejected(series) => {
                (&series.left_out, series.lungs.as_ref().map(|lungs| lungs.enhancement).unwrap_or_default())
            }
        };
        let ending = match &self.found {
            Found::Analysed(series) => Ending::Analysed(Box::new(AnalysedSummary::new(&series.findings, objects))),
            Found::Rejected(series) => Ending::Rejected(RejectedSummary {
                rejections: series.rejections.clone(),
                lungs: series.lungs.as_ref().map(|lungs| lungs.stage.clone()),
            }),
        };
        AnalysisSummary {
            study_instance_uid: self.study_instance_uid.clone(),
            series_instance_uid: self.series_instance_uid.clone(),
            timings: self.timings.clone(),
            left_out: left_out.clone(),
            enhancement: EnhancementSummary::from(&enhancement),
            monochromatic_kev: self.monochromatic.and_then(|images| images.kev),
            ending,
        }
    }

    /// The digest of the images that were analysed, by those of the instances that hold them: what was left out has no part
    /// in it. Of a rejected series it is that of no images. `None` if an image is of none of the instances.
    pub fn images_sha256(&self, instances: &[Member]) -> Option<String> {
        let slices = self.analysed().map_or(&[][..], |series| &series.volume.slices);
        images_sha256(slices.iter().map(|slice| &slice.image), instances)
    }

    /// What was found, when analysed.
    pub fn analysed(&self) -> Option<&AnalysedSeries> {
        match &self.found {
            Found::Analysed(series) => Some(series),
            Found::Rejected(_) => None,
        }
    }

    /// The lungs and their grid, whenever the lung stage ran.
    pub fn lungs(&self) -> Option<(&LungMask, &Geometry)> {
        match &self.found {
            Found::Analysed(series) => Some((&series.lungs, &series.volume.geometry)),
            Found::Rejected(series) => series.lungs.as_ref().map(|lungs| (&lungs.mask, &lungs.geometry)),
        }
    }
}

impl AnalysedSummary {
    fn new(findings: &Findings, objects: &[ResultObject]) -> Self {
        Self {
            probability: findings.probability,
            standard_deviation: findings.standard_deviation,
            targets: findings.targets.clone(),
            decision: findings.decision,
            lungs: LungVolumes::from(&findings.lungs),
            missing: Some(MissingLung::from(&findings.completeness)),
            models: findings.models.clone(),
            provider: findings.provider.clone(),
            demonstration: findings.intended_use == IntendedUse::Demonstration,
            warnings: findings.warnings.clone(),
            results: objects.iter().map(ResultObject::reference).collect(),
        }
    }
}

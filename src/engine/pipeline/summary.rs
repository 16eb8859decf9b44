//! How the analysis of one series ended, in numbers.

use super::timings::Timings;
use crate::dicom::Uid;
use crate::engine::analyse::enhancement::{Enhancement, Vessel};
use crate::engine::analyse::findings::{
    Completeness, Decision, Lung, Lungs, ModelIdentity, Probability, Provider, SideCompleteness, TargetFinding,
};
use crate::engine::models::lineup::Packages;
use crate::engine::models::manifest::Kind;
use crate::engine::report::ResultReference;
use crate::engine::volume::{LeftOut, Reason, Rejection};

/// How the analysis of one series ended: what the worker records, the API answers and the CSV lists.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisSummary {
    /// Study Instance UID, where one could be read.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID, where one could be read.
    pub series_instance_uid: Option<Uid>,
    /// How long each stage took.
    pub timings: Timings,
    /// What of the series was not analysed, for other causes than the rejections.
    pub left_out: Vec<LeftOut>,
    /// How bright contrast agent makes the great vessels.
    pub enhancement: EnhancementSummary,
    /// Energy of virtual monochromatic images in keV, where they state it.
    pub monochromatic_kev: Option<f64>,
    /// With a prediction, or with the reasons why there is none.
    pub ending: Ending,
}

/// How an analysis ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// Results were made.
    Analysed(Box<AnalysedSummary>),
    /// The series is not usable.
    Rejected(RejectedSummary),
}

/// What was found in an analysed series.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysedSummary {
    /// Exam probability.
    pub probability: Probability,
    /// Its standard deviation over the networks of an ensemble; `None` for a single network.
    pub standard_deviation: Option<f64>,
    /// The classifier's answers for the further targets.
    pub targets: Vec<TargetFinding>,
    /// Decision.
    pub decision: Decision,
    /// Lung volumes.
    pub lungs: LungVolumes,
    /// What is missing of the lungs; `None` in rows of versions that did not look.
    pub missing: Option<MissingLung>,
    /// The models.
    pub models: Packages,
    /// Execution provider of the networks.
    pub provider: Provider,
    /// True if a package with `intended_use = "demonstration"` took part: nothing is delivered unless allowed.
    pub demonstration: bool,
    /// What is wrong with the images although they were analysed, in the order of `Reason`.
    pub warnings: Vec<Rejection>,
    /// The result objects.
    pub results: Vec<ResultReference>,
}

/// Why a series was not analysed, and how far the analysis went.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedSummary {
    /// All rejections that apply, in the order of `Reason`.
    pub rejections: Vec<Rejection>,
    /// What the lung stage gave, if it ran.
    pub lungs: Option<LungStage>,
}

/// What the lung stage gives, also for a series that is rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct LungStage {
    /// Lung volumes.
    pub volumes: LungVolumes,
    /// The segmentation model.
    pub model: ModelIdentity,
    /// What ran it.
    pub provider: Provider,
    /// True if the package is a demonstration.
    pub demonstration: bool,
}

/// Volumes of both lungs in millilitres; 0 for a lung that was not found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LungVolumes {
    /// The patient's left lung.
    pub left_ml: f64,
    /// The patient's right lung.
    pub right_ml: f64,
}

impl From<&Lungs> for LungVolumes {
    fn from(lungs: &Lungs) -> Self {
        let millilitres = |lung: &Option<Lung>| lung.as_ref().map_or(0.0, |lung| lung.millilitres);
        Self { left_ml: millilitres(&lungs.left), right_ml: millilitres(&lungs.right) }
    }
}

/// Lung that is not in the mask, in millilitres: beyond the field of view, lost, or gone by disease; 0 for a whole lung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MissingLung {
    /// Of the patient's left lung.
    pub left_ml: f64,
    /// Of the patient's right lung.
    pub right_ml: f64,
}

impl From<&Completeness> for MissingLung {
    fn from(completeness: &Completeness) -> Self {
        let millilitres = |side: &SideCompleteness| side.unseen_ml() + side.smaller_ml;
        Self { left_ml: millilitres(&completeness.left), right_ml: millilitres(&completeness.right) }
    }
}

/// Hounsfield units of the great vessels; `None` where a vessel was not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EnhancementSummary {
    /// Of the pulmonary trunk.
    pub trunk_hu: Option<f64>,
    /// Of the aorta.
    pub aorta_hu: Option<f64>,
    /// The trunk's as a multiple of the aorta's.
    pub ratio: Option<f64>,
}

impl From<&Enhancement> for EnhancementSummary {
    fn from(enhancement: &Enhancement) -> Self {
        let hounsfield = |vessel: Option<Vessel>| vessel.map(|vessel| vessel.hounsfield);
        Self {
            trunk_hu: hounsfield(enhancement.trunk),
            aorta_hu: hounsfield(enhancement.aorta),
            ratio: enhancement.ratio(),
        }
    }
}

impl AnalysisSummary {
    /// A series that was rejected before any analysis.
    pub fn rejected(study_instance_uid: &Uid, series_instance_uid: &Uid, rejections: &[Rejection]) -> Self {
        Self {
            study_instance_uid: Some(study_instance_uid.clone()),
            series_instance_uid: Some(series_instance_uid.clone()),
            timings: Timings::default(),
            left_out: Vec::new(),
            enhancement: EnhancementSummary::default(),
            monochromatic_kev: None,
            ending: Ending::Rejected(RejectedSummary { rejections: rejections.to_vec(), lungs: None }),
        }
    }

    /// What was found, when analysed.
    pub fn analysed(&self) -> Option<&AnalysedSummary> {
        match &self.ending {
            Ending::Analysed(analysed) => Some(analysed),
            Ending::Rejected(_) => None,
        }
    }

    /// Exam probability, when analysed.
    pub fn probability(&self) -> Option<Probability> {
        self.analysed().map(|analysed| analysed.probability)
    }

    /// Decision, when analysed.
    pub fn decision(&self) -> Option<Decision> {
        self.analysed().map(|analysed| analysed.decision)
    }

    /// The result objects; none for a rejected series.
    pub fn results(&self) -> &[ResultReference] {
        self.analysed().map_or(&[], |analysed| &analysed.results)
    }

    /// All that is wrong with the images: why they were not analysed, or what limits the result.
    pub fn rejections(&self) -> &[Rejection] {
        match &self.ending {
            Ending::Analysed(analysed) => &analysed.warnings,
            Ending::Rejected(rejected) => &rejected.rejections,
        }
    }

    /// The codes of [`Self::rejections`].
    pub fn reasons(&self) -> Vec<Reason> {
        self.rejections().iter().map(|rejection| rejection.reason).collect()
    }

    /// Lung volumes, whenever the lung stage ran.
    pub fn lungs(&self) -> Option<LungVolumes> {
        match &self.ending {
            Ending::Analysed(analysed) => Some(analysed.lungs),
            Ending::Rejected(rejected) => rejected.lungs.as_ref().map(|stage| stage.volumes),
        }
    }

    /// What is missing of the lungs, when analysed.
    pub fn missing_lung(&self) -> Option<MissingLung> {
        self.analysed().and_then(|analysed| analysed.missing)
    }

    /// Execution provider of the networks, when one ran.
    pub fn provider(&self) -> Option<&Provider> {
        match &self.ending {
            Ending::Analysed(analysed) => Some(&analysed.provider),
            Ending::Rejected(rejected) => rejected.lungs.as_ref().map(|stage| &stage.provider),
        }
    }

    /// The model of a kind, if it took part.
    pub fn model(&self, kind: Kind) -> Option<&ModelIdentity> {
        match (&self.ending, kind) {
            (Ending::Analysed(analysed), kind) => Some(analysed.models.of(kind)),
            (Ending::Rejected(rejected), Kind::LungSegmentation) => rejected.lungs.as_ref().map(|stage| &stage.model),
            (Ending::Rejected(_), Kind::EmbolismClassifier) => None,
        }
    }

    /// The models that took part: lungs, then embolism.
    pub fn models(&self) -> impl Iterator<Item = &ModelIdentity> {
        [Kind::LungSegmentation, Kind::EmbolismClassifier].into_iter().filter_map(|kind| self.model(kind))
    }

    /// True if a package for demonstration took part.
    pub fn is_demonstration(&self) -> bool {
        match &self.ending {
            Ending::Analysed(analysed) => analysed.demonstration,
            Ending::Rejected(rejected) => rejected.lungs.as_ref().is_some_and(|stage| stage.demonstration),
        }
    }
}

//! What the node and its analysis process say to each other: JSON, one object a line. The node sends [`Setup`] once and
//! then one [`Request`] at a time; the process answers each with a [`Reply`].

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{LogConfig, ModelsConfig, OnnxRuntimeConfig, QualityConfig, ReportConfig};
use crate::dicom::Member;
use crate::dicom::bounded::Limits;
use crate::engine::models::Provider;
use crate::engine::models::lineup::Packages;
use crate::engine::pipeline::{AnalysisSummary, ResultReference};
use crate::engine::volume::Refused;

/// The settings an analysis depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The folder of model packages, and what they may be used for.
    pub models: ModelsConfig,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntimeConfig,
    /// What objects may claim.
    pub limits: Limits,
    /// Result objects.
    pub report: ReportConfig,
    /// What quality checks do.
    pub quality: QualityConfig,
    /// Analyse rejected series too.
    pub ignore_quality: bool,
    /// Logging, to standard error.
    pub log: LogConfig,
}

/// What the process is started for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The settings.
    pub settings: Settings,
    /// The packages to load.
    pub packages: Packages,
}

/// One series to analyse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The job, for the log.
    pub job: String,
    /// Its images.
    pub files: Vec<PathBuf>,
    /// What of the series was refused, one entry a cause.
    pub refused: Vec<Refused>,
    /// What to write besides findings; nothing for a shadow model.
    pub report: Option<ReportRequest>,
}

/// The result objects to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// An empty folder for them.
    pub output: PathBuf,
    /// The instances of the series with their digests: results are identified by those that are analysed.
    pub instances: Vec<Member>,
    /// Which analysis of the series this is, from 1.
    pub version: u32,
    /// Which issue of the results, from 0; each has identifiers of its own.
    pub issue: u32,
    /// The report that the series has now, if it has one.
    pub predecessor: Option<ResultReference>,
    /// When the job was made.
    pub time: Timestamp,
}

/// What the process answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Setup`]: the models are loaded.
    Ready(Ready),
    /// To [`Setup`]: they cannot be loaded.
    Unable {
        /// Why, and what to do.
        reason: String,
    },
    /// To a [`Request`]: the series was processed.
    Done {
        /// The outcome in numbers.
        summary: Box<AnalysisSummary>,
        /// Names of the result files in the output folder, in the order of the results in the summary.
        files: Vec<String>,
    },
    /// To a [`Request`]: it failed; another attempt may succeed.
    Failed {
        /// Why.
        error: String,
    },
}

/// What runs the networks, and the models that were loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Execution provider.
    pub provider: Provider,
    /// The models.
    pub models: Packages,
}

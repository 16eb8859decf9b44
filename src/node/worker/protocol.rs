//! What the node and its analysis process say to each other: JSON, one object a line. The node sends [`Setup`] once and
//! then one [`Request`] at a time; the process answers each with a [`Reply`].

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Config, LogConfig, ModelsConfig, OnnxRuntimeConfig, ReportConfig};
use crate::dicom::bounded::Limits;
use crate::engine::models::registry::Packages;
use crate::engine::models::{ModelIdentity, Provider};
use crate::engine::pipeline::{ResultReference, Summary};

/// The settings an analysis depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The folder of model packages, and what they may be used for.
    pub models: ModelsConfig,
    /// The packages to load.
    pub packages: Packages,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntimeConfig,
    /// What objects may claim.
    pub limits: Limits,
    /// Result objects.
    pub report: ReportConfig,
    /// Analyse rejected series too.
    pub ignore_quality: bool,
    /// Logging, to standard error.
    pub log: LogConfig,
}

impl Setup {
    /// The settings of a configuration, with these models.
    pub(super) fn of(config: &Config, packages: Packages) -> Self {
        Self {
            models: config.models.clone(),
            packages,
            onnxruntime: config.onnxruntime.clone(),
            limits: config.limits,
            report: config.report.clone(),
            ignore_quality: config.analysis.ignore_quality,
            log: config.log.clone(),
        }
    }
}

/// One series to analyse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The job, for the log.
    pub job: String,
    /// Its images.
    pub files: Vec<PathBuf>,
    /// An empty folder for the result objects; without one none is written, and the summary names none.
    pub output: Option<PathBuf>,
    /// Digest of the instance set.
    pub instances_sha256: String,
    /// The report on fewer instances of the series, if there is one.
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
    /// To a [`Request`]: it ended.
    Done {
        /// In numbers.
        summary: Box<Summary>,
        /// Names of the result files in the output folder, in the order of `summary.results`.
        files: Vec<String>,
    },
    /// To a [`Request`]: it failed; another attempt may succeed.
    Failed {
        /// Why.
        error: String,
    },
}

/// What runs the networks, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Execution provider.
    pub provider: Provider,
    /// Active models: lungs, then embolism.
    pub models: Vec<ModelIdentity>,
}

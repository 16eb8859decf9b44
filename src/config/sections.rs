//! The resolved settings, one type a section. `configs/default.toml` says what each key means.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::destination::DestinationConfig;
use super::network::Network;
use super::quality::QualityConfig;
use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Concept};
use crate::engine::models::selection::Selection;

/// All settings of the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The DICOM service.
    pub dicom: DicomConfig,
    /// The HTTP service.
    pub http: HttpConfig,
    /// Where things are kept.
    pub storage: StorageConfig,
    /// When a series counts as complete.
    pub study: StudyConfig,
    /// Model packages.
    pub models: ModelsConfig,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntimeConfig,
    /// Jobs and the analysis process.
    pub analysis: AnalysisConfig,
    /// What quality checks do.
    pub quality: QualityConfig,
    /// What received objects may claim.
    pub limits: Limits,
    /// Result objects.
    pub report: ReportConfig,
    /// Logging.
    pub log: LogConfig,
    /// Where results are sent.
    #[serde(default)]
    pub destinations: Vec<DestinationConfig>,
}

/// `[dicom]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct DicomConfig {
    pub listen: SocketAddr,
    pub ae_title: AeTitle,
    pub peers: Vec<PeerConfig>,
    pub maximum_associations: usize,
    pub maximum_pdu_bytes: u32,
    pub idle_timeout_seconds: u64,
}

/// One entry of `dicom.peers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Calling AE title; `*` for any.
    pub ae_title: String,
    /// Network it may call from.
    pub network: Network,
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub allowed_origins: Vec<String>,
    pub maximum_uploads: usize,
}

/// `[storage]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct StorageConfig {
    pub path: PathBuf,
    pub minimum_free_mib: u64,
}

/// `[study]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct StudyConfig {
    pub quiet_seconds: f64,
}

/// `[models]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct ModelsConfig {
    pub directory: PathBuf,
    pub lungs: Selection,
    pub embolism: Selection,
    pub allow_demonstration: bool,
}

/// `[onnxruntime]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct OnnxRuntimeConfig {
    pub library: PathBuf,
    pub device: DeviceConfig,
    pub threads: usize,
}

/// `onnxruntime.device`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceConfig {
    /// CUDA where it is available, the CPU otherwise; the log says which.
    Auto,
    /// The CPU.
    Cpu,
    /// One CUDA device and nothing else.
    Cuda(u32),
}

/// A text that names no device.
#[derive(Debug, thiserror::Error)]
#[error("onnxruntime.device = `{0}`: \"auto\", \"cpu\" or \"cuda:N\" was expected")]
pub struct DeviceError(String);

impl TryFrom<String> for DeviceConfig {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        let device = match text.as_str() {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            other => other.strip_prefix("cuda:").and_then(|number| number.parse().ok()).map(Self::Cuda),
        };
        device.ok_or(DeviceError(text))
    }
}

impl From<DeviceConfig> for String {
    fn from(device: DeviceConfig) -> Self {
        match device {
            DeviceConfig::Auto => "auto".to_owned(),
            DeviceConfig::Cpu => "cpu".to_owned(),
            DeviceConfig::Cuda(number) => format!("cuda:{number}"),
        }
    }
}

/// `[analysis]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct AnalysisConfig {
    pub attempts: u32,
    pub timeout_seconds: u64,
    pub memory_limit_mib: u64,
    pub ignore_quality: bool,
}

/// `[report]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct ReportConfig {
    pub segment_groups: bool,
    pub single_frame_secondary_capture: bool,
    pub key_slices: usize,
    pub station_name: String,
    pub list_superseded: bool,
    pub not_analysed: bool,
    pub overdue_minutes: u64,
    pub procedure: Concept,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct LogConfig {
    pub filter: String,
    pub format: LogFormat,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

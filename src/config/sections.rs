//! The resolved settings, one type a section. `configs/default.toml` says what each key means.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::destination::DestinationConfig;
use super::network::Network;
use super::public_url::PublicUrl;
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
    /// The image viewer.
    pub viewer: ViewerConfig,
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
    pub called_title_in_any_case: bool,
    pub user_identity: UserIdentityConfig,
}

/// `dicom.user_identity`: what a caller is told that names a user and asks for a positive response
/// ([PS3.7 D.3.3.7](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.7.html)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIdentityConfig {
    /// Nothing: the association is accepted without a response, and the caller decides how to go on.
    Ignore,
    /// A positive response, although nothing was checked.
    Acknowledge,
    /// The association is rejected.
    Reject,
}

/// One entry of `dicom.peers`. What it may do beyond sending objects is granted by name.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own, granted by name")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Calling AE title; `*` for any.
    pub ae_title: String,
    /// Network it may call from.
    pub network: Network,
    /// It may correct what stored objects say of patient and study.
    #[serde(default)]
    pub may_correct: bool,
    /// It may reject stored objects by rejection notes.
    #[serde(default)]
    pub may_reject: bool,
    /// Host and port it listens on: C-MOVE to it, and reports on its storage commitments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// C-FIND.
    #[serde(default)]
    pub may_query: bool,
    /// C-MOVE and C-GET.
    #[serde(default)]
    pub may_retrieve: bool,
    /// Storage Commitment.
    #[serde(default)]
    pub may_commit: bool,
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub public_url: PublicUrl,
    pub trusted_proxies: Vec<Network>,
    pub allowed_origins: Vec<String>,
    pub maximum_uploads: usize,
}

/// `[viewer]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct ViewerConfig {
    pub directory: PathBuf,
}

/// `[storage]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "configs/default.toml documents every key")]
pub struct StorageConfig {
    pub path: PathBuf,
    pub minimum_free_mib: u64,
    pub hide_quality_rejections: bool,
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
    pub presentation_state: bool,
    pub encapsulated_pdf: bool,
    pub parametric_map: bool,
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

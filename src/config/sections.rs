//! The resolved settings, one type a section. `configs/default.toml` says what each key means.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Concept};

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

/// An IP network: address and prefix length, `192.168.10.0/24`; an address alone is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// True if `address` lies inside. IPv4 addresses mapped to IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (address, prefix) =
            text.split_once('/').map_or((text.as_str(), None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{text}` is not a network such as 192.168.10.0/24"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| {
            prefix
                .parse::<u8>()
                .ok()
                .filter(|prefix| *prefix <= longest)
                .ok_or(format!("`{text}`: the prefix length goes from 0 to {longest}"))
        })?;
        Ok(Self { address, prefix })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.prefix)
    }
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
    pub lungs: String,
    pub embolism: String,
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
    /// CUDA when it can be had, the CPU otherwise; which one is said aloud.
    Auto,
    /// The CPU.
    Cpu,
    /// One CUDA device and nothing else.
    Cuda(u32),
}

impl TryFrom<String> for DeviceConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            other => other
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or(format!("onnxruntime.device = `{text}`: \"auto\", \"cpu\" or \"cuda:N\" was expected")),
        }
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
pub struct ReportConfig {
    pub segment_groups: bool,
    pub single_frame_secondary_capture: bool,
    pub key_slices: usize,
    pub station_name: String,
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

/// One entry of `[[destinations]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawDestination", into = "RawDestination")]
pub struct DestinationConfig {
    /// Its name, unique, as shown in the API and in metrics.
    pub name: String,
    /// Attempts at an object that is refused before its delivery is a dead letter.
    pub attempts: u32,
    /// How long a destination that takes nothing at all is waited for before a delivery is a dead letter.
    pub give_up_after_hours: u32,
    /// How results get there.
    pub transport: Transport,
}

/// How results get to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// C-STORE.
    Dicom {
        /// Host and port.
        address: String,
        /// Called AE title.
        ae_title: AeTitle,
    },
    /// STOW-RS.
    Stow {
        /// Base of the DICOMweb service; `/studies` is appended.
        url: String,
        /// Value of the Authorization header, if any.
        authorization: String,
    },
}

impl DestinationConfig {
    /// Leaves secrets out.
    pub(super) fn redact(&mut self) {
        if let Transport::Stow { authorization, .. } = &mut self.transport
            && !authorization.is_empty()
        {
            "(set)".clone_into(authorization);
        }
    }
}

/// A destination as typed: which keys it needs depends on its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDestination {
    name: String,
    kind: String,
    #[serde(default = "default_attempts")]
    attempts: u32,
    #[serde(default = "default_give_up_after_hours")]
    give_up_after_hours: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ae_title: Option<AeTitle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization: Option<String>,
}

fn default_attempts() -> u32 {
    10
}

/// A week: longer than the longest weekend of whoever mends the destination.
fn default_give_up_after_hours() -> u32 {
    168
}

impl TryFrom<RawDestination> for DestinationConfig {
    type Error = String;

    fn try_from(raw: RawDestination) -> Result<Self, String> {
        let wrong = |problem: &str| format!("destination `{}` of kind `{}`: {problem}", raw.name, raw.kind);
        let transport = match (raw.kind.as_str(), raw.address, raw.ae_title, raw.url, raw.authorization) {
            ("dicom", Some(address), Some(ae_title), None, None) => Transport::Dicom { address, ae_title },
            ("dicom", ..) => return Err(wrong("it needs `address` and `ae_title`, and no other key")),
            ("stow", None, None, Some(url), authorization) => {
                Transport::Stow { url, authorization: authorization.unwrap_or_default() }
            }
            ("stow", ..) => return Err(wrong("it needs `url`, and `authorization` where the service asks for it")),
            _ => return Err(wrong("`kind` is \"dicom\" or \"stow\"")),
        };
        if raw.attempts == 0 {
            return Err(wrong("`attempts` starts at 1"));
        }
        let RawDestination { name, attempts, give_up_after_hours, .. } = raw;
        Ok(Self { name, attempts, give_up_after_hours, transport })
    }
}

impl From<DestinationConfig> for RawDestination {
    fn from(destination: DestinationConfig) -> Self {
        let empty = Self {
            name: destination.name,
            attempts: destination.attempts,
            give_up_after_hours: destination.give_up_after_hours,
            kind: String::new(),
            address: None,
            ae_title: None,
            url: None,
            authorization: None,
        };
        match destination.transport {
            Transport::Dicom { address, ae_title } => {
                Self { kind: "dicom".to_owned(), address: Some(address), ae_title: Some(ae_title), ..empty }
            }
            Transport::Stow { url, authorization } => {
                let authorization = (!authorization.is_empty()).then_some(authorization);
                Self { kind: "stow".to_owned(), url: Some(url), authorization, ..empty }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        assert!(network("192.168.10.0/24").expect("network").contains(address("192.168.10.7")));
        assert!(!network("192.168.10.0/24").expect("network").contains(address("192.168.11.7")));
        assert!(network("0.0.0.0/0").expect("network").contains(address("8.8.8.8")));
        assert!(network("10.0.0.5").expect("network").contains(address("::ffff:10.0.0.5")));
        assert!(!network("::1/128").expect("network").contains(address("127.0.0.1")));
        assert!(network("10.0.0.0/33").is_err());
    }
}

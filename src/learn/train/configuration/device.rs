//! The device of a fit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checks::SettingError;

/// `fit.device`: `auto`, `cpu`, `cuda:N` or `vulkan:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FitDevice {
    /// A GPU that the program was built for, where there is one; otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Gpu(GpuInterface, usize),
}

/// How the program speaks to a GPU. Each numbers the GPUs from 0, its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum GpuInterface {
    /// NVIDIA's; feature `cuda`.
    Cuda,
    /// That of any manufacturer; feature `vulkan`.
    Vulkan,
}

impl FromStr for FitDevice {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let gpu = || {
            let (interface, number) = text.split_once(':')?;
            Some(Self::Gpu(interface.parse().ok()?, number.parse().ok()?))
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => gpu().ok_or_else(|| {
                let expected = "\"auto\", \"cpu\", \"cuda:N\" or \"vulkan:N\" was expected";
                SettingError::new(format!("fit.device = {text:?}"), expected)
            }),
        }
    }
}

impl fmt::Display for FitDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Gpu(interface, number) => write!(formatter, "{interface}:{number}"),
        }
    }
}

impl Serialize for FitDevice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FitDevice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

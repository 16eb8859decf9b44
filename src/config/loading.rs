//! How settings are put together and checked.

use std::path::Path;

use super::error::ConfigError;
use super::layers::Layered;
use super::sections::Config;
use crate::dicom::AeTitle;

/// The commented defaults. They are also the reference of all keys.
pub const DEFAULTS: &str = include_str!("../../configs/default.toml");

impl Config {
    /// Merges the layers and validates the result. `overrides` are `KEY=VALUE` texts from flags. `environment` are the
    /// process's variables; those that begin with `PE_NODE__` count.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layered = Layered::defaults(DEFAULTS)?;
        if let Some(path) = file {
            layered.merge_file(path)?;
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix("PE_NODE__") {
                layered.merge_value(
                    &format!("environment variable {name}"),
                    &key.to_lowercase().replace("__", "."),
                    &value,
                )?;
            }
        }
        layered.merge_flags(overrides)?;
        Self::resolve(layered)
    }

    /// The defaults with the changes of some `KEY=VALUE` texts. The environment has no influence.
    pub fn from_defaults(overrides: &[&str]) -> Result<Self, ConfigError> {
        let mut layered = Layered::defaults(DEFAULTS)?;
        layered.merge_flags(overrides)?;
        Self::resolve(layered)
    }

    fn resolve(layered: Layered) -> Result<Self, ConfigError> {
        let config: Self = layered.typed()?;
        config.validate()?;
        Ok(config)
    }

    /// The settings as TOML, with secrets left out.
    pub fn to_toml(&self) -> String {
        let mut shown = self.clone();
        for destination in &mut shown.destinations {
            destination.redact();
        }
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}"))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |message: String| Err(ConfigError::Invalid(message));
        if !(self.study.quiet_seconds.is_finite() && self.study.quiet_seconds >= 0.0) {
            return invalid(format!(
                "study.quiet_seconds = {}: a number of seconds from 0 was expected",
                self.study.quiet_seconds
            ));
        }
        // Each association may hold one such PDU in memory.
        if !(16_384..=67_108_864).contains(&self.dicom.maximum_pdu_bytes) {
            return invalid(format!(
                "dicom.maximum_pdu_bytes = {}: 16384 to 67108864 was expected",
                self.dicom.maximum_pdu_bytes
            ));
        }
        if self.dicom.maximum_associations == 0 || self.dicom.idle_timeout_seconds == 0 {
            return invalid(
                "dicom.maximum_associations, dicom.idle_timeout_seconds: at least 1 was expected".to_owned(),
            );
        }
        for peer in &self.dicom.peers {
            if peer.address.is_some() && (peer.ae_title == "*" || AeTitle::parse(&peer.ae_title).is_err()) {
                return invalid(
                    "dicom.peers: an `address` belongs to an AE title of 1 to 16 characters, not to `*`".to_owned(),
                );
            }
        }
        if self.analysis.attempts == 0 {
            return invalid("analysis.attempts = 0: at least 1 was expected".to_owned());
        }
        if let Some(problem) = self.quality.problem() {
            return invalid(problem);
        }
        for (index, destination) in self.destinations.iter().enumerate() {
            if self.destinations[..index].iter().any(|other| other.name == destination.name) {
                return invalid(format!("destinations: the name `{}` is given twice", destination.name));
            }
        }
        Ok(())
    }
}

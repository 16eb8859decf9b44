//! The flags that every command with a configuration has.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigError};

/// Flags of every command that reads the configuration.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Configuration file; only what differs from the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set study.quiet_seconds=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Settings {
    /// Merges and validates all layers.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), std::env::vars(), &self.overrides)
    }
}

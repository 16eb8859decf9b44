//! What can be wrong with settings.

use std::path::PathBuf;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A layer is not TOML.
    #[error("{origin} is not valid TOML: {message}")]
    Syntax {
        /// Which layer.
        origin: String,
        /// What the parser said, with line and column.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{hint}; `pe-node config show` lists all keys")]
    UnknownKey {
        /// Which layer.
        origin: String,
        /// The dotted key.
        key: String,
        /// ", did you mean ...?" or nothing.
        hint: String,
    },
    /// A value that does not fit its key.
    #[error("settings: {0}")]
    Invalid(String),
}

//! Settings: defaults < file < environment < flags, merged as raw TOML, then resolved and validated once.
//!
//! Each part of the program receives its own section, never the whole [`Config`].

pub(crate) mod layers;
mod sections;

use std::path::{Path, PathBuf};

pub use sections::*;

/// The commented defaults, which are also the reference of every key.
pub const DEFAULTS: &str = include_str!("../configs/default.toml");

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

impl Config {
    /// Merges the layers and validates the result. `overrides` are `KEY=VALUE` texts from flags; `environment` are the
    /// process's variables, of which those that begin with `PE_NODE__` count.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layered = layers::Layered::defaults(DEFAULTS)?;
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
        layered.resolve()
    }

    /// The settings as TOML, with secrets left out.
    pub fn to_toml(&self) -> String {
        let mut shown = self.clone();
        for destination in &mut shown.destinations {
            destination.redact();
        }
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().expect("temporary folder");
        let path = directory.path().join("node.toml");
        std::fs::write(&path, file).expect("write");
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Config::load(Some(&path), std::iter::empty(), &overrides)
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let directory = tempfile::tempdir().expect("temporary folder");
        let path = directory.path().join("node.toml");
        std::fs::write(&path, "[study]\nquiet_seconds = 5\n[dicom]\nae_title = \"FILE\"\nlisten = \"127.0.0.1:1\"")
            .expect("write");
        let environment =
            [("PE_NODE__DICOM__AE_TITLE".to_owned(), "ENV".to_owned()), ("HOME".to_owned(), "x".to_owned())];
        let config = Config::load(Some(&path), environment, &["dicom.listen=127.0.0.1:2".to_owned()]).expect("valid");
        assert!((config.study.quiet_seconds - 5.0).abs() < f64::EPSILON);
        assert_eq!(config.dicom.ae_title.as_str(), "ENV");
        assert_eq!(config.dicom.listen.port(), 2);
        assert_eq!(config.http.listen.port(), 8080);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = load("[dicom]\nlissen = \"127.0.0.1:1\"", &[]).expect_err("unknown key").to_string();
        assert!(error.contains("`dicom.lissen`") && error.contains("did you mean `dicom.listen`"), "{error}");
        let error = load("", &["studi.quiet_seconds=1"]).expect_err("unknown key").to_string();
        assert!(error.contains("`study.quiet_seconds`"), "{error}");
    }

    #[test]
    fn a_destination_needs_what_its_kind_needs() {
        let destination = "[[destinations]]\nname = \"pacs\"\nkind = \"dicom\"\naddress = \"10.0.0.1:104\"\n";
        assert!(load(destination, &[]).expect_err("no AE title").to_string().contains("ae_title"));
        let config = load(&format!("{destination}ae_title = \"PACS\""), &[]).expect("valid");
        assert_eq!(config.destinations.len(), 1);
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "[[destinations]]\nname = \"a\"\nkind = \"stow\"\nurl = \"http://h/dicomweb\"\nauthorization = \"Bearer s3cret\"";
        assert!(!load(text, &[]).expect("valid").to_toml().contains("s3cret"));
    }
}

//! Merging layers of settings as raw TOML, with the defaults as the list of known keys.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::ConfigError;

/// Tables whose entries the defaults do not list.
const OPEN: &str = "destinations";

/// Layers of settings, merged: a table that only ever holds known keys.
pub(crate) struct Layered {
    table: Table,
}

impl Layered {
    /// Begins with the defaults.
    pub(crate) fn defaults(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { table: parse("the built-in defaults", text)? })
    }

    /// Merges a file's text over the settings so far.
    pub(crate) fn merge_text(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let layer = parse(origin, text)?;
        let known = self.keys();
        merge(origin, "", &mut self.table, layer, &known)
    }

    /// Merges one dotted key over the settings so far. The value is read as TOML where it is TOML, as a text otherwise.
    pub(crate) fn merge_value(&mut self, origin: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        let known = self.keys();
        require_known(origin, key, &known)?;
        let value = match self.at(key) {
            Some(Value::String(_)) => Value::String(value.trim_matches('"').to_owned()),
            _ => toml::from_str::<Table>(&format!("value = {value}"))
                .ok()
                .and_then(|mut table| table.remove("value"))
                .unwrap_or_else(|| Value::String(value.to_owned())),
        };
        let mut layer = Table::new();
        layer.insert(key.rsplit('.').next().unwrap_or(key).to_owned(), value);
        for part in key.split('.').rev().skip(1) {
            layer = Table::from_iter([(part.to_owned(), Value::Table(layer))]);
        }
        merge(origin, "", &mut self.table, layer, &known)
    }

    /// Merges a file over the settings so far.
    pub(crate) fn merge_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.merge_text(&path.display().to_string(), &text)
    }

    /// Merges `KEY=VALUE` texts from flags over the settings so far.
    pub(crate) fn merge_flags(&mut self, overrides: &[impl AsRef<str>]) -> Result<(), ConfigError> {
        for text in overrides.iter().map(AsRef::as_ref) {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| ConfigError::Invalid(format!("--set {text}: KEY=VALUE was expected")))?;
            self.merge_value(&format!("--set {text}"), key.trim(), value.trim())?;
        }
        Ok(())
    }

    /// The typed settings, not validated.
    pub(crate) fn typed<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        self.table.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid(error.message().to_owned()))
    }

    fn at(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    fn keys(&self) -> Vec<String> {
        fn collect(prefix: &str, table: &Table, keys: &mut Vec<String>) {
            for (name, value) in table {
                let key = join(prefix, name);
                if let Value::Table(inner) = value {
                    collect(&key, inner, keys);
                }
                keys.push(key);
            }
        }
        let mut keys = vec![OPEN.to_owned()];
        collect("", &self.table, &mut keys);
        keys
    }
}

fn parse(origin: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax { origin: origin.to_owned(), message: error.to_string() })
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn merge(origin: &str, prefix: &str, into: &mut Table, layer: Table, known: &[String]) -> Result<(), ConfigError> {
    for (name, value) in layer {
        let key = join(prefix, &name);
        require_known(origin, &key, known)?;
        match (into.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(layer)) => merge(origin, &key, inner, layer, known)?,
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
    Ok(())
}

fn require_known(origin: &str, key: &str, known: &[String]) -> Result<(), ConfigError> {
    if known.iter().any(|candidate| candidate == key) {
        return Ok(());
    }
    let nearest = known.iter().min_by_key(|candidate| strsim::damerau_levenshtein(key, candidate));
    Err(ConfigError::UnknownKey {
        origin: origin.to_owned(),
        key: key.to_owned(),
        hint: nearest.map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`?")),
    })
}

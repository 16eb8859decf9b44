//! Checks of settings.

use std::ops::RangeInclusive;

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingError {
    setting: String,
    problem: String,
}

impl SettingError {
    /// Names the setting, with its value or what is the matter with it, and what was expected instead.
    pub(super) fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into() }
    }
}

/// A number from 0 to 1.
pub(super) fn share(key: &str, value: f64) -> Result<(), SettingError> {
    in_range(key, value, 0.0..=1.0)
}

pub(super) fn in_range(key: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), SettingError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("a number from {} to {} was expected", range.start(), range.end());
    Err(SettingError::new(format!("{key} = {value}"), expected))
}

pub(super) fn at_least_one(counts: &[(&str, usize)]) -> Result<(), SettingError> {
    match counts.iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(SettingError::new(format!("{key} = 0"), "at least 1 was expected")),
        None => Ok(()),
    }
}

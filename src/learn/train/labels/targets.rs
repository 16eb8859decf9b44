//! Labels of an exam as a whole.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::models::target::Target;

/// Labels of an exam, target by target; `None` where a label is unknown. That of embolism is always known.
///
/// In tables one text: `pulmonary-embolism=1;left-sided-pe=0`, without the unknown ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetLabels([Option<bool>; Target::COUNT]);

impl TargetLabels {
    /// An exam of which only this is known.
    pub(crate) fn of_embolism(embolism: bool) -> Self {
        let mut labels = [None; Target::COUNT];
        labels[Target::PulmonaryEmbolism.index()] = Some(embolism);
        Self(labels)
    }

    /// The same with the label of one target replaced.
    #[must_use]
    pub(crate) fn with(mut self, target: Target, label: Option<bool>) -> Self {
        self.0[target.index()] = label;
        self
    }

    /// Whether there is embolism.
    pub(crate) fn embolism(self) -> bool {
        self.0[Target::PulmonaryEmbolism.index()] == Some(true)
    }

    /// The label of a target.
    pub(crate) fn of(self, target: Target) -> Option<bool> {
        self.0[target.index()]
    }
}

impl fmt::Display for TargetLabels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Target::ALL.into_iter().filter_map(|target| Some((target, self.of(target)?)));
        let texts: Vec<String> = known.map(|(target, label)| format!("{target}={}", u8::from(label))).collect();
        formatter.write_str(&texts.join(";"))
    }
}

/// A text that is not a list of labels of an exam.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetLabelsError {
    #[error("`{0}`: NAME=0 or NAME=1 was expected")]
    Part(String),
    #[error("`{0}` is not a target")]
    Target(String),
    #[error("`{0}` does not say whether there is embolism")]
    NoEmbolism(String),
}

impl std::str::FromStr for TargetLabels {
    type Err = TargetLabelsError;

    fn from_str(text: &str) -> Result<Self, TargetLabelsError> {
        let mut labels = [None; Target::COUNT];
        for part in text.split(';') {
            let (name, label) = match part.rsplit_once('=') {
                Some((name, "0")) => (name, false),
                Some((name, "1")) => (name, true),
                _ => return Err(TargetLabelsError::Part(part.to_owned())),
            };
            let target: Target = name.parse().map_err(|_| TargetLabelsError::Target(name.to_owned()))?;
            labels[target.index()] = Some(label);
        }
        match labels[Target::PulmonaryEmbolism.index()] {
            Some(_) => Ok(Self(labels)),
            None => Err(TargetLabelsError::NoEmbolism(text.to_owned())),
        }
    }
}

impl Serialize for TargetLabels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back_as_they_were_written() {
        let labels = TargetLabels::of_embolism(true)
            .with(Target::LeftSidedPe, Some(true))
            .with(Target::RightSidedPe, Some(false));
        assert_eq!(labels.to_string(), "pulmonary-embolism=1;left-sided-pe=1;right-sided-pe=0");
        assert_eq!(labels.to_string().parse(), Ok(labels));
        assert_eq!(labels.of(Target::ChronicPe), None);
        assert!("left-sided-pe=1".parse::<TargetLabels>().is_err());
        assert!("pulmonary-embolism=2".parse::<TargetLabels>().is_err());
    }
}

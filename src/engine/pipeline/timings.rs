//! How long each stage of an analysis took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, Serializer};
use strum::{Display, IntoStaticStr};

/// A stage of the analysis, in the order in which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Stage {
    /// Files to a volume.
    Read,
    /// Quality checks, before and after the lungs are known.
    Quality,
    /// Lung segmentation.
    Lungs,
    /// Classification.
    Embolism,
    /// Heat map and key slices.
    Evidence,
    /// Result objects.
    Report,
}

/// How long each stage that ran took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings(BTreeMap<Stage, Duration>);

impl Timings {
    /// Does some work and adds its time to that of a stage.
    pub(super) fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = work();
        *self.0.entry(stage).or_default() += start.elapsed();
        outcome
    }

    /// Each stage with its time, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Duration)> {
        self.0.iter().map(|(stage, time)| (*stage, *time))
    }

    /// All stages together.
    pub fn total(&self) -> Duration {
        self.0.values().sum()
    }
}

impl FromIterator<(Stage, Duration)> for Timings {
    fn from_iter<T: IntoIterator<Item = (Stage, Duration)>>(stages: T) -> Self {
        Self(stages.into_iter().collect())
    }
}

/// Stage to milliseconds.
impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(stage, time)| (stage, time.as_millis() as u64)))
    }
}

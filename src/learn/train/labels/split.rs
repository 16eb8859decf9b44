//! Which exams are for training, for validation and for the test. Splits are by patient: no patient is in two splits.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exam::{Cohort, Exam};
use crate::learn::train::configuration::Data;

/// What an exam is used for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Split {
    /// Weights are fitted to it.
    Train,
    /// Checkpoint, calibration and operating point are chosen on it.
    Validation,
    /// Metrics come from it.
    Test,
}

impl Split {
    /// The name in tables and metrics.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// The place of an exam once the patients are split. In tables `train`, `validation`, `test` or `fold-N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the same split in every fit.
    Fixed(Split),
    /// In this fold: it validates the fit of that number, and the others are fitted to it.
    Fold(usize),
}

impl Place {
    /// What the exam is used for in the fit of a number.
    pub(crate) fn split(self, fit: usize) -> Split {
        match self {
            Self::Fixed(split) => split,
            Self::Fold(fold) if fold == fit => Split::Validation,
            Self::Fold(_) => Split::Train,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(split) => formatter.write_str(split.name()),
            Self::Fold(fold) => write!(formatter, "fold-{fold}"),
        }
    }
}

/// A text that does not name a split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a split")]
pub(crate) struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let fold = || text.strip_prefix("fold-").and_then(|fold| fold.parse().ok()).map(Self::Fold);
        text.parse().map(Self::Fixed).ok().or_else(fold).ok_or_else(|| PlaceError(text.to_owned()))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Splits patients, those with and without embolism separately, so both are in each split. Exams of cohorts given for
/// validation or test are used for that.
pub(crate) fn assign_places(exams: &[Exam], data: &Data) -> Vec<Place> {
    let separate = |root: &std::path::Path| !root.as_os_str().is_empty();
    let validation = if separate(&data.validation_root) { 0.0 } else { data.validation_fraction };
    let test = if separate(&data.test_root) { 0.0 } else { data.test_fraction };
    let mut patients: BTreeMap<&str, bool> = BTreeMap::new();
    for exam in exams.iter().filter(|exam| exam.cohort == Cohort::Main) {
        *patients.entry(&exam.patient).or_default() |= exam.embolism();
    }
    let mut random = ChaCha8Rng::seed_from_u64(data.split_seed);
    let mut places = BTreeMap::new();
    for wanted in [true, false] {
        let mut group: Vec<&str> =
            patients.iter().filter(|(_, positive)| **positive == wanted).map(|(patient, _)| *patient).collect();
        group.shuffle(&mut random);
        let count = |share: f64| (share * group.len() as f64).round() as usize;
        let (test, validation) = (count(test), count(validation));
        for (index, patient) in group.into_iter().enumerate() {
            let place = match index.checked_sub(test) {
                None => Place::Fixed(Split::Test),
                Some(rest) if data.folds >= 2 => Place::Fold(rest % data.folds),
                Some(rest) if rest < validation => Place::Fixed(Split::Validation),
                Some(_) => Place::Fixed(Split::Train),
            };
            places.insert(patient, place);
        }
    }
    exams
        .iter()
        .map(|exam| match exam.cohort {
            Cohort::Main => places[exam.patient.as_str()],
            Cohort::Validation => Place::Fixed(Split::Validation),
            Cohort::Test => Place::Fixed(Split::Test),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::exam::testing::exam;
    use super::*;

    fn exams() -> Vec<Exam> {
        (0..100).map(|index| exam(index, &format!("{}", index / 2), index % 8 == 0)).collect()
    }

    fn data(folds: usize) -> Data {
        let mut data = crate::learn::train::TrainConfiguration::load(None, &[]).expect("defaults").data;
        (data.validation_fraction, data.test_fraction, data.folds) = (0.2, 0.2, folds);
        data
    }

    #[test]
    fn no_patient_is_in_two_splits_and_both_classes_are_in_each() {
        let exams = exams();
        let places = assign_places(&exams, &data(0));
        for pair in places.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
        for split in [Split::Train, Split::Validation, Split::Test] {
            for embolism in [true, false] {
                let found = exams.iter().zip(&places);
                assert!(found.clone().any(|(exam, place)| exam.embolism() == embolism && place.split(0) == split));
            }
        }
    }

    #[test]
    fn every_exam_outside_the_test_validates_exactly_one_fold() {
        let exams = exams();
        let places = assign_places(&exams, &data(4));
        for (pair, place) in places.chunks(2).zip(places.iter().step_by(2)) {
            assert_eq!(pair[0], pair[1]);
            let splits: Vec<Split> = (0..4).map(|fit| place.split(fit)).collect();
            let validates = splits.iter().filter(|split| **split == Split::Validation).count();
            let tests = splits.iter().filter(|split| **split == Split::Test).count();
            assert!((validates, tests) == (1, 0) || (validates, tests) == (0, 4), "{splits:?}");
        }
        for fold in 0..4 {
            let positive =
                exams.iter().zip(&places).filter(|(exam, place)| exam.embolism() && **place == Place::Fold(fold));
            assert!(positive.count() >= 2);
        }
    }
}

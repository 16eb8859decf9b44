//! Which exams are fitted to, which choose, which measure. Splits go by patient: who is in one split is in no other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Cohort, Exam};
use crate::learn::train::configuration::Data;

/// What an exam is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Split {
    /// Weights are fitted to it.
    Train,
    /// Checkpoint, calibration and operating point are chosen on it.
    Validation,
    /// Figures come from it.
    Test,
}

impl Split {
    /// The name in tables and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Where an exam stands when the patients are dealt out once. In tables `train`, `validation`, `test` or `fold-N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// For one purpose in every fit.
    Fixed(Split),
    /// In this fold: validates the fit of that number, and is fitted to by the others.
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

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = [Split::Train, Split::Validation, Split::Test].into_iter().find(|split| split.name() == text);
        let fold = || text.strip_prefix("fold-").and_then(|fold| fold.parse().ok()).map(Self::Fold);
        split.map(Self::Fixed).or_else(fold).ok_or_else(|| format!("`{text}` is no split"))
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

/// Deals out patients, those with and without embolism apart so that both are everywhere. Exams of cohorts given for
/// validation or test are used for that.
pub(crate) fn deal(exams: &[Exam], data: &Data, seed: u64) -> Vec<Place> {
    let separate = |root: &std::path::Path| !root.as_os_str().is_empty();
    let validation = if separate(&data.validation_root) { 0.0 } else { data.validation_fraction };
    let test = if separate(&data.test_root) { 0.0 } else { data.test_fraction };
    let mut patients: BTreeMap<&str, bool> = BTreeMap::new();
    for exam in exams.iter().filter(|exam| exam.cohort == Cohort::Main) {
        *patients.entry(&exam.patient).or_default() |= exam.embolism();
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
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
    use super::super::testing::exam;
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
        let places = deal(&exams, &data(0), 3);
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
        let places = deal(&exams, &data(4), 3);
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

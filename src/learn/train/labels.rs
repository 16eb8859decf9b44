//! Step `labels`: `train.csv` to exams with labels and splits.
//!
//! RSPECT's columns are read by name; only the first five of its table are required. An empty slice label means
//! unlabelled, never 0. An indeterminate exam is neither positive nor negative and is left out. Every exclusion is a
//! row with its reason. Splits go by patient: who is in one split is in no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::files::{CohortFiles, table};

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

/// One exam of the table `exams.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exam {
    /// Study Instance UID.
    pub(crate) study: String,
    /// Series Instance UID.
    pub(crate) series: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
    /// What it is used for.
    pub(crate) split: Split,
    /// Embolism in the exam.
    pub(crate) embolism: bool,
    /// Slices of the series in the table.
    pub(crate) slices: usize,
    /// Slices that carry a label.
    pub(crate) labelled_slices: usize,
    /// Slices labelled positive.
    pub(crate) positive_slices: usize,
    /// Cohort that it comes from.
    pub(crate) root: String,
}

/// One row of `exclusions.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exclusion {
    /// Series Instance UID, or the study's where there is none.
    pub(crate) series: String,
    /// Step that excluded it.
    pub(crate) step: String,
    /// Why.
    pub(crate) reason: String,
}

/// One row of `slices.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SliceLabel {
    /// Series Instance UID.
    pub(crate) series: String,
    /// SOP Instance UID.
    pub(crate) instance: String,
    /// Embolism on the slice; empty where unlabelled.
    pub(crate) embolism: Option<u8>,
}

/// Labels of one exam as they stand in `train.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Labelled {
    study: String,
    series: String,
    negative: bool,
    indeterminate: bool,
    slices: BTreeMap<String, Option<u8>>,
}

/// What the step found.
pub(crate) struct Labels {
    pub(crate) exams: Vec<Exam>,
    pub(crate) slices: Vec<SliceLabel>,
    pub(crate) exclusions: Vec<Exclusion>,
}

/// Reads the tables of all cohorts and draws the splits.
pub(crate) fn read(configuration: &TrainConfiguration) -> Result<Labels, TrainError> {
    let data = &configuration.data;
    let mut labels = Labels { exams: Vec::new(), slices: Vec::new(), exclusions: Vec::new() };
    let others = [(&data.validation_root, Split::Validation), (&data.test_root, Split::Test)];
    let [validation, test] = others.map(|(root, _)| !root.as_os_str().is_empty());
    read_cohort(configuration, &data.root, &mut labels)?;
    let fractions =
        [if validation { 0.0 } else { data.validation_fraction }, if test { 0.0 } else { data.test_fraction }];
    split_by_patient(&mut labels.exams, fractions, configuration.fit.seed);
    for (root, split) in others {
        if !root.as_os_str().is_empty() {
            read_separate_cohort(configuration, root, split, &mut labels)?;
        }
    }
    Ok(labels)
}

/// Reads a cohort that is one split as a whole; patients met before are left out.
fn read_separate_cohort(
    configuration: &TrainConfiguration,
    root: &Path,
    split: Split,
    labels: &mut Labels,
) -> Result<(), TrainError> {
    let before = labels.exams.len();
    read_cohort(configuration, root, labels)?;
    let read = labels.exams.split_off(before);
    let known: BTreeSet<&str> = labels.exams.iter().map(|exam| exam.patient.as_str()).collect();
    let (shared, own): (Vec<Exam>, Vec<Exam>) =
        read.into_iter().partition(|exam| known.contains(exam.patient.as_str()));
    labels.exclusions.extend(shared.iter().map(|exam| exclusion(&exam.series, "the patient is in another split")));
    labels.exams.extend(own.into_iter().map(|exam| Exam { split, ..exam }));
    Ok(())
}

fn exclusion(series: &str, reason: impl Into<String>) -> Exclusion {
    Exclusion { series: series.to_owned(), step: "labels".to_owned(), reason: reason.into() }
}

fn read_cohort(configuration: &TrainConfiguration, root: &Path, labels: &mut Labels) -> Result<(), TrainError> {
    let path = root.join("train.csv");
    let mut labelled = parse(&path)?;
    if configuration.data.maximum_exams > 0 {
        labelled.truncate(configuration.data.maximum_exams);
    }
    let files = CohortFiles::find(root, labelled.iter().map(|exam| (exam.study.as_str(), exam.series.as_str())))?;
    for exam in labelled {
        if exam.indeterminate {
            labels.exclusions.push(exclusion(&exam.series, "the exam is indeterminate"));
            continue;
        }
        let patient = match files.patient(&exam.series) {
            Ok(patient) => patient,
            Err(reason) => {
                labels.exclusions.push(exclusion(&exam.series, reason));
                continue;
            }
        };
        let count = |wanted: fn(&Option<u8>) -> bool| exam.slices.values().filter(|label| wanted(label)).count();
        let positive_slices = count(|label| *label == Some(1));
        if exam.negative && positive_slices > 0 {
            let reason = format!("labels conflict: a negative exam with {positive_slices} positive slices");
            labels.exclusions.push(exclusion(&exam.series, reason));
            continue;
        }
        labels.exams.push(Exam {
            study: exam.study,
            patient,
            split: Split::Train,
            embolism: !exam.negative,
            slices: exam.slices.len(),
            labelled_slices: count(Option::is_some),
            positive_slices,
            root: root.display().to_string(),
            series: exam.series.clone(),
        });
        let series = exam.series;
        labels.slices.extend(exam.slices.into_iter().map(|(instance, embolism)| SliceLabel {
            series: series.clone(),
            instance,
            embolism,
        }));
    }
    Ok(())
}

/// Reads `train.csv`: exams in the order of their first row.
fn parse(path: &Path) -> Result<Vec<Labelled>, TrainError> {
    let mut reader = table::reader(path)?;
    let headers = reader.headers().map_err(|error| table::error(path, &error))?.clone();
    let column = |name: &str| headers.iter().position(|header| header.trim() == name);
    let required = |name: &str| {
        column(name).ok_or_else(|| TrainError::table(path, Some(1), format!("the column `{name}` is missing")))
    };
    let study = required("StudyInstanceUID")?;
    let series = required("SeriesInstanceUID")?;
    let instance = required("SOPInstanceUID")?;
    let present = required("pe_present_on_image")?;
    let negative = required("negative_exam_for_pe")?;
    let indeterminate = column("indeterminate");

    let mut exams: Vec<Labelled> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| table::error(path, &error))?;
        let line = record.position().map(csv::Position::line);
        let text = |column: usize| record.get(column).unwrap_or_default().trim();
        let flag = |column: usize, name: &str| match text(column) {
            "" => Ok(None),
            "0" => Ok(Some(0)),
            "1" => Ok(Some(1)),
            other => Err(TrainError::table(path, line, format!("{name} = `{other}`: 0, 1 or nothing was expected"))),
        };
        let negative = flag(negative, "negative_exam_for_pe")?
            .ok_or_else(|| TrainError::table(path, line, "negative_exam_for_pe is empty: 0 or 1 was expected"))?
            == 1;
        let indeterminate = match indeterminate {
            Some(column) => flag(column, "indeterminate")? == Some(1),
            None => false,
        };
        let index = *places.entry(text(series).to_owned()).or_insert_with(|| {
            exams.push(Labelled {
                study: text(study).to_owned(),
                series: text(series).to_owned(),
                negative,
                indeterminate,
                slices: BTreeMap::new(),
            });
            exams.len() - 1
        });
        let exam = &mut exams[index];
        if exam.negative != negative || exam.indeterminate != indeterminate {
            return Err(TrainError::table(path, line, "the exam's labels differ from those in its earlier rows"));
        }
        let label = flag(present, "pe_present_on_image")?;
        if exam.slices.insert(text(instance).to_owned(), label).is_some() {
            return Err(TrainError::table(path, line, "the SOP instance is listed twice"));
        }
    }
    if exams.is_empty() {
        return Err(TrainError::table(path, None, "no exams are listed"));
    }
    Ok(exams)
}

/// Draws validation and test patients, positive and negative ones apart so that both are in every split.
fn split_by_patient(exams: &mut [Exam], [validation, test]: [f64; 2], seed: u64) {
    let mut patients: BTreeMap<String, bool> = BTreeMap::new();
    for exam in exams.iter() {
        *patients.entry(exam.patient.clone()).or_default() |= exam.embolism;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut splits = BTreeMap::new();
    for wanted in [true, false] {
        let mut group: Vec<&String> =
            patients.iter().filter(|(_, positive)| **positive == wanted).map(|(patient, _)| patient).collect();
        group.shuffle(&mut random);
        let validation = (validation * group.len() as f64).round() as usize;
        let test = (test * group.len() as f64).round() as usize;
        for (index, patient) in group.into_iter().enumerate() {
            let split = match index {
                index if index < validation => Split::Validation,
                index if index < validation + test => Split::Test,
                _ => Split::Train,
            };
            splits.insert(patient.clone(), split);
        }
    }
    for exam in exams {
        exam.split = splits[&exam.patient];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe,indeterminate";

    fn parsed(rows: &str) -> Result<Vec<Labelled>, TrainError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("train.csv");
        std::fs::write(&path, format!("{HEADER}\n{rows}")).expect("written");
        parse(&path)
    }

    #[test]
    fn an_empty_slice_label_is_unlabelled_and_not_negative() {
        let exams = parsed("1.1,1.2,1.3,,0,0\n1.1,1.2,1.4,1,0,0\n1.1,1.2,1.5,0,0,0\n").expect("readable");
        assert_eq!(exams.len(), 1);
        assert_eq!(exams[0].slices.values().copied().collect::<Vec<_>>(), [None, Some(1), Some(0)]);
    }

    #[test]
    fn broken_rows_are_reported_with_their_line() {
        for (rows, problem) in [
            ("1.1,1.2,1.3,2,0,0\n", "line 2: pe_present_on_image"),
            ("1.1,1.2,1.3,0,,0\n", "line 2: negative_exam_for_pe is empty"),
            ("1.1,1.2,1.3,0,0,0\n1.1,1.2,1.3,0,0,0\n", "line 3: the SOP instance is listed twice"),
            ("1.1,1.2,1.3,0,0,0\n1.1,1.2,1.4,0,1,0\n", "line 3: the exam's labels differ"),
            ("1.1,1.2\n", "line 2"),
            ("", "no exams are listed"),
        ] {
            let error = parsed(rows).expect_err("broken").to_string();
            assert!(error.contains(problem), "{error} does not say {problem}");
        }
    }

    #[test]
    fn no_patient_is_in_two_splits_and_both_classes_are_in_each() {
        let mut exams: Vec<Exam> = (0..100)
            .map(|index| Exam {
                study: format!("1.{index}"),
                series: format!("2.{index}"),
                patient: format!("{}", index / 2),
                split: Split::Train,
                embolism: index % 8 == 0,
                slices: 1,
                labelled_slices: 0,
                positive_slices: 0,
                root: String::new(),
            })
            .collect();
        split_by_patient(&mut exams, [0.2, 0.2], 3);
        for pair in exams.chunks(2) {
            assert_eq!(pair[0].split, pair[1].split);
        }
        for split in [Split::Train, Split::Validation, Split::Test] {
            for embolism in [true, false] {
                assert!(exams.iter().any(|exam| exam.split == split && exam.embolism == embolism));
            }
        }
    }
}

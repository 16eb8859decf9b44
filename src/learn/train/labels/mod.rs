//! Step `labels`: tables of labels to exams, slice labels, and what each exam is used for.
//!
//! An empty slice label means unlabelled, never 0. An indeterminate exam is neither positive nor negative and is left
//! out. Every exclusion is a row with its reason and the line of the table that gave it.

mod patients;
mod split;
mod table;
mod targets;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::Data;
use super::files::CohortFiles;
use crate::engine::models::target::Target;
pub(crate) use patients::tell_apart;
pub(crate) use split::{Place, Split, deal};
pub(crate) use table::Further;
use table::Labelled;
pub(crate) use targets::TargetLabels;

/// Which of the configured cohorts an exam comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cohort {
    /// `data.root`.
    Main,
    /// `data.validation_root`.
    Validation,
    /// `data.test_root`.
    Test,
}

/// One exam of the table `exams.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exam {
    /// Study Instance UID.
    pub(crate) study: String,
    /// Series Instance UID.
    pub(crate) series: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
    /// Cohort that it comes from.
    pub(crate) cohort: Cohort,
    /// What is known of it as a whole.
    pub(crate) targets: TargetLabels,
    /// Slices of the series in the table.
    pub(crate) slices: usize,
    /// Slices that carry a label.
    pub(crate) labelled_slices: usize,
    /// Slices labelled positive.
    pub(crate) positive_slices: usize,
    /// Folder of the cohort.
    pub(crate) root: String,
}

impl Exam {
    /// Embolism in the exam.
    pub(crate) fn embolism(&self) -> bool {
        self.targets.embolism()
    }
}

/// One row of a table of exclusions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exclusion {
    /// Series Instance UID, or the study's where there is none.
    pub(crate) series: String,
    /// Step that excluded it.
    pub(crate) step: String,
    /// Why.
    pub(crate) reason: String,
}

impl Exclusion {
    pub(crate) fn new(step: &str, series: &str, reason: impl Into<String>) -> Self {
        Self { series: series.to_owned(), step: step.to_owned(), reason: reason.into() }
    }
}

/// One row of `slices.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SliceLabel {
    /// Series Instance UID.
    pub(crate) series: String,
    /// SOP Instance UID.
    pub(crate) instance: String,
    /// Embolism on the slice, 1 or 0; empty where unlabelled.
    pub(crate) embolism: Option<u8>,
}

/// What the step found.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) exams: Vec<Exam>,
    pub(crate) slices: Vec<SliceLabel>,
    pub(crate) exclusions: Vec<Exclusion>,
    /// What a reader should know of the exams, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Reads the tables of all cohorts. A patient of an earlier cohort is left out of a later one.
pub(crate) fn read(data: &Data) -> Result<Labels, TrainError> {
    let mut labels = Labels::default();
    let cohorts =
        [(&data.root, Cohort::Main), (&data.validation_root, Cohort::Validation), (&data.test_root, Cohort::Test)];
    for (root, cohort) in cohorts {
        if cohort == Cohort::Main || !root.as_os_str().is_empty() {
            labels.read_cohort(data, root, cohort)?;
        }
    }
    if labels.exams.is_empty() {
        let reason =
            labels.exclusions.first().map_or_else(String::new, |first| format!("; the first: {}", first.reason));
        return Err(TrainError::Exams(format!("every listed exam had to be left out{reason}")));
    }
    Ok(labels)
}

impl Labels {
    fn exclude(&mut self, series: &str, reason: impl Into<String>) {
        self.exclusions.push(Exclusion::new("labels", series, reason));
    }

    fn read_cohort(&mut self, data: &Data, root: &Path, cohort: Cohort) -> Result<(), TrainError> {
        let mut contents = table::read(&root.join(&data.labels))?;
        for (line, problem) in contents.strays {
            self.exclude("", format!("line {line}: {problem}"));
        }
        if data.maximum_exams > 0 {
            contents.exams.truncate(data.maximum_exams);
        }
        let wanted = contents.exams.iter().map(|exam| (exam.study.as_str(), exam.series.as_str()));
        let files = CohortFiles::find(root, wanted)?;
        let (mut exams, mut slices) = (Vec::new(), Vec::new());
        for labelled in contents.exams {
            let named = if labelled.series.is_empty() { labelled.study.clone() } else { labelled.series.clone() };
            match exam_of(labelled, &files, root, cohort) {
                Ok((exam, of_exam)) => {
                    exams.push(exam);
                    slices.push(of_exam);
                }
                Err(reason) => self.exclude(&named, reason),
            }
        }
        let shown = exams.iter_mut().map(|exam| (&mut exam.patient, exam.study.as_str()));
        self.notes.extend(tell_apart(shown).map(|said| format!("{}: {said}", root.display())));
        self.add(exams.into_iter().zip(slices));
        Ok(())
    }

    /// Adds the exams of a cohort whose patients are in none that came before.
    fn add(&mut self, exams: impl Iterator<Item = (Exam, Vec<SliceLabel>)>) {
        let before: BTreeSet<String> = self.exams.iter().map(|exam| exam.patient.clone()).collect();
        for (exam, slices) in exams {
            if before.contains(&exam.patient) {
                self.exclude(&exam.series, "the patient is in another cohort, which comes first");
            } else {
                self.exams.push(exam);
                self.slices.extend(slices);
            }
        }
    }
}

/// An exam with its slices, or why it cannot be used.
fn exam_of(
    labelled: Labelled,
    files: &CohortFiles,
    root: &Path,
    cohort: Cohort,
) -> Result<(Exam, Vec<SliceLabel>), String> {
    if let Some(problem) = labelled.problem {
        return Err(problem);
    }
    let Labelled { study, series, targets, slices, .. } = labelled;
    let series = if series.is_empty() { files.largest_series(&study)?.to_owned() } else { series };
    let patient = files.patient(&series)?;
    let count = |wanted: Option<bool>| slices.values().filter(|label| **label == wanted).count();
    let positive_slices = count(Some(true));
    if !targets.embolism() && positive_slices > 0 {
        return Err(format!("labels conflict: a negative exam with {positive_slices} positive slices"));
    }
    // The ratio of the ventricles may be high without embolism; all else that is said of one is not.
    let of_embolism = |target: &&Target| **target != Target::RvLvRatioGte1 && targets.of(**target) == Some(true);
    if !targets.embolism()
        && let Some(target) = Target::ALL[1..].iter().find(of_embolism)
    {
        return Err(format!("labels conflict: a negative exam with {target}"));
    }
    let exam = Exam {
        study,
        patient,
        cohort,
        targets,
        slices: slices.len(),
        labelled_slices: slices.len() - count(None),
        positive_slices,
        root: root.display().to_string(),
        series: series.clone(),
    };
    let rows = slices.into_iter().map(|(instance, label)| SliceLabel {
        series: series.clone(),
        instance,
        embolism: label.map(u8::from),
    });
    Ok((exam, rows.collect()))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An exam of ten labelled slices.
    pub(crate) fn exam(index: usize, patient: &str, embolism: bool) -> Exam {
        Exam {
            study: format!("1.{index}"),
            series: format!("2.{index}"),
            patient: patient.to_owned(),
            cohort: Cohort::Main,
            targets: TargetLabels::of_embolism(embolism),
            slices: 10,
            labelled_slices: 10,
            positive_slices: 0,
            root: String::new(),
        }
    }
}

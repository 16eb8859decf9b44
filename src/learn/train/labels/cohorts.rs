//! The labels of all cohorts.

use std::collections::BTreeSet;
use std::path::Path;

use super::exam::{Cohort, Exam, Exclusion, SliceLabel};
use super::exclusion_list::ExclusionList;
use super::patients::tell_apart;
use super::row_error::RowProblem;
use super::table::{self, LabelledExam};
use crate::engine::models::target::Target;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::Data;
use crate::learn::train::files::{CohortFiles, SeriesError};

/// What the step found.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) exams: Vec<Exam>,
    pub(crate) slices: Vec<SliceLabel>,
    pub(crate) exclusions: Vec<Exclusion>,
    /// What a reader should know about the exams, one sentence each.
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
    if !data.exclude.as_os_str().is_empty() {
        labels.leave_out(&data.exclude)?;
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
        for problem in contents.strays {
            self.exclude("", problem.to_string());
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
                Err(reason) => self.exclude(&named, reason.to_string()),
            }
        }
        let shown = exams.iter_mut().map(|exam| (&mut exam.patient, exam.study.as_str()));
        self.notes.extend(tell_apart(shown).map(|said| format!("{}: {said}", root.display())));
        self.add(exams.into_iter().zip(slices));
        Ok(())
    }

    /// The same of some series alone.
    pub(crate) fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self {
            exams: self.exams.iter().filter(|exam| wanted(&exam.series)).cloned().collect(),
            slices: self.slices.iter().filter(|slice| wanted(&slice.series)).cloned().collect(),
            ..Self::default()
        }
    }

    /// Leaves out the exams that a list names.
    fn leave_out(&mut self, path: &Path) -> Result<(), TrainError> {
        let list = ExclusionList::read(path)?;
        let without = list.without_exam(&self.exams);
        let (named, rest): (Vec<Exam>, Vec<Exam>) =
            std::mem::take(&mut self.exams).into_iter().partition(|exam| list.names(exam));
        self.exams = rest;
        let series: BTreeSet<&str> = named.iter().map(|exam| exam.series.as_str()).collect();
        self.slices.retain(|slice| !series.contains(slice.series.as_str()));
        self.notes.push(format!(
            "{}: {} rows, {} exams left out; {without} rows name no exam of the tables",
            path.display(),
            list.rows(),
            named.len()
        ));
        for exam in &named {
            self.exclude(&exam.series, format!("it is on the list {}", path.display()));
        }
        Ok(())
    }

    /// Adds the exams of a cohort whose patients are in no earlier one.
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

/// Why the labels of an exam cannot be used.
#[derive(Debug, thiserror::Error)]
enum ExamError {
    #[error(transparent)]
    Row(#[from] RowProblem),
    #[error(transparent)]
    Series(#[from] SeriesError),
    #[error("labels conflict: a negative exam with {0} positive slices")]
    PositiveSlices(usize),
    #[error("labels conflict: a negative exam with {0}")]
    PositiveTarget(Target),
}

/// An exam with its slices.
fn exam_of(
    labelled: LabelledExam,
    files: &CohortFiles,
    root: &Path,
    cohort: Cohort,
) -> Result<(Exam, Vec<SliceLabel>), ExamError> {
    if let Some(problem) = labelled.problem {
        return Err(problem.into());
    }
    let LabelledExam { study, series, targets, slices, .. } = labelled;
    let series = if series.is_empty() { files.largest_series(&study)?.to_owned() } else { series };
    let patient = files.patient(&series)?;
    let count = |wanted: Option<bool>| slices.values().filter(|label| **label == wanted).count();
    let positive_slices = count(Some(true));
    if !targets.embolism() && positive_slices > 0 {
        return Err(ExamError::PositiveSlices(positive_slices));
    }
    // The ratio of the ventricles may be high without embolism; every other target implies embolism.
    let of_embolism = |target: &&Target| **target != Target::RvLvRatioGte1 && targets.of(**target) == Some(true);
    if !targets.embolism()
        && let Some(target) = Target::ALL[1..].iter().find(of_embolism)
    {
        return Err(ExamError::PositiveTarget(*target));
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

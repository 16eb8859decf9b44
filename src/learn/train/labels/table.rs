//! Tables of labels as people write them: RSPECT's `train.csv`, one row per slice, and a hospital's own, one row per
//! exam.
//!
//! Columns are found by name. A row that cannot be read excludes its exam, which is named with the row's line; a table
//! that cannot be read ends the step.

use std::collections::BTreeMap;
use std::path::Path;

use csv::StringRecord;

use super::row_error::{RowError, RowProblem};
use super::targets::TargetLabels;
use crate::cohort::columns::{self, flag, place};
use crate::engine::models::target::Target;
use crate::learn::train::TrainError;
use crate::learn::train::table;

/// Labels of one exam as listed in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabelledExam {
    pub(super) study: String,
    /// Empty where the table names studies alone.
    pub(super) series: String,
    pub(super) targets: TargetLabels,
    /// Slice label by SOP Instance UID, `None` for unlabelled; empty where the table has no slices.
    pub(super) slices: BTreeMap<String, Option<bool>>,
    /// Why the exam cannot be used, with the line that says so.
    pub(super) problem: Option<RowProblem>,
}

/// What a table holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// In the order of their first row.
    pub(super) exams: Vec<LabelledExam>,
    /// Rows that name no exam.
    pub(super) strays: Vec<RowProblem>,
}

/// Reads a table of either layout: RSPECT's if it has a column `SOPInstanceUID`, otherwise one row per exam with
/// `StudyInstanceUID`, `pe_present_in_exam` and perhaps `SeriesInstanceUID`. In a table of RSPECT's layout, an exam
/// without slice labels is one row that names no SOP instance and, if need be, no series.
pub(super) fn read(path: &Path) -> Result<Contents, TrainError> {
    let mut reader = table::flexible_reader(path)?;
    let headers = reader.headers().map_err(|error| table::error(path, &error))?.clone();
    let columns = Columns::find(&headers).map_err(|problem| TrainError::table(path, Some(1), problem.to_string()))?;
    let mut contents = Contents::default();
    let mut places = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| table::error(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        columns.take(&record, line, headers.len(), &mut contents, &mut places);
    }
    if contents.exams.is_empty() {
        return Err(TrainError::table(path, None, "no exams are listed"));
    }
    Ok(contents)
}

/// Indices of the columns.
struct Columns {
    study: usize,
    series: Option<usize>,
    embolism: Embolism,
    slices: Option<Slices>,
    indeterminate: Option<usize>,
    further: Further,
}

/// How the table says whether there is embolism.
#[derive(Clone, Copy)]
enum Embolism {
    /// `negative_exam_for_pe`.
    Negative(usize),
    /// `pe_present_in_exam`.
    Present(usize),
}

#[derive(Clone, Copy)]
struct Slices {
    instance: usize,
    label: usize,
}

/// RSPECT's columns of the further targets.
const FURTHER: [(&str, Target); 6] = [
    ("leftsided_pe", Target::LeftSidedPe),
    ("rightsided_pe", Target::RightSidedPe),
    ("central_pe", Target::CentralPe),
    (columns::RATIO_AT_LEAST_ONE, Target::RvLvRatioGte1),
    ("chronic_pe", Target::ChronicPe),
    ("acute_and_chronic_pe", Target::AcuteAndChronicPe),
];

/// Those of them that a table has, with their indices.
pub(crate) struct Further {
    columns: Vec<(&'static str, Target, usize)>,
    ratio_below_one: Option<usize>,
}

impl Further {
    pub(crate) fn find(headers: &StringRecord) -> Self {
        let column = |name: &str| place(headers, name);
        Self {
            columns: FURTHER.iter().filter_map(|(name, target)| Some((*name, *target, column(name)?))).collect(),
            ratio_below_one: column(columns::RATIO_BELOW_ONE),
        }
    }

    /// The further targets of a row.
    pub(crate) fn read(&self, record: &StringRecord) -> Result<Vec<(Target, bool)>, RowError> {
        let mut known = Vec::new();
        for (name, target, column) in &self.columns {
            let said = flag(record, *column, name)?;
            let said = if *target == Target::RvLvRatioGte1 { self.ratio(record, said)? } else { said };
            known.extend(said.map(|said| (*target, said)));
        }
        Ok(known)
    }

    /// The ratio of the ventricles was assessed in positive exams only: where neither of its two columns says yes, it
    /// is not known.
    fn ratio(&self, record: &StringRecord, at_least_one: Option<bool>) -> Result<Option<bool>, RowError> {
        let Some(column) = self.ratio_below_one else { return Ok(at_least_one) };
        match (at_least_one, flag(record, column, columns::RATIO_BELOW_ONE)?) {
            (Some(true), Some(true)) => Err(RowError::VentricleRatio),
            (Some(true), _) => Ok(Some(true)),
            (_, Some(true)) => Ok(Some(false)),
            _ => Ok(None),
        }
    }
}

impl Columns {
    fn find(headers: &StringRecord) -> Result<Self, RowError> {
        let column = |name: &str| place(headers, name);
        let required = |name: &'static str| column(name).ok_or(RowError::MissingColumn(name));
        let study = required(columns::STUDY)?;
        let indeterminate = column(columns::INDETERMINATE);
        let further = Further::find(headers);
        let (series, embolism, slices) =
            if let (None, Some(present)) = (column(columns::INSTANCE), column(columns::EXAM_POSITIVE)) {
                (column(columns::SERIES), Embolism::Present(present), None)
            } else {
                let slices = Slices { label: required(columns::SLICE_LABEL)?, instance: required(columns::INSTANCE)? };
                let negative = Embolism::Negative(required(columns::EXAM_NEGATIVE)?);
                (Some(required(columns::SERIES)?), negative, Some(slices))
            };
        Ok(Self { study, series, embolism, slices, indeterminate, further })
    }

    /// Adds one row to the contents.
    fn take(
        &self,
        record: &StringRecord,
        line: u64,
        width: usize,
        contents: &mut Contents,
        places: &mut BTreeMap<String, usize>,
    ) {
        let text = |column: usize| record.get(column).unwrap_or_default().trim();
        let (study, series) = (text(self.study), self.series.map(text).unwrap_or_default());
        let key = if series.is_empty() { study } else { series };
        let of_slice = self.slices.is_some_and(|slices| !text(slices.instance).is_empty());
        if key.is_empty() || (of_slice && series.is_empty()) {
            contents.strays.push(RowProblem { line, error: RowError::NoExam });
            return;
        }
        let read = if record.len() == width {
            self.exam_of(record)
        } else {
            Err(RowError::Cells { found: record.len(), expected: width })
        };
        let place = places.entry(key.to_owned()).or_insert_with(|| {
            contents.exams.push(LabelledExam {
                study: study.to_owned(),
                series: series.to_owned(),
                targets: read.clone().unwrap_or(TargetLabels::of_embolism(false)),
                slices: BTreeMap::new(),
                problem: None,
            });
            contents.exams.len() - 1
        });
        let exam = &mut contents.exams[*place];
        let outcome = read.and_then(|targets| self.join(exam, record, targets));
        if let (Err(error), None) = (outcome, &exam.problem) {
            exam.problem = Some(RowProblem { line, error });
        }
    }

    /// The labels of the exam as a whole in a row.
    fn exam_of(&self, record: &StringRecord) -> Result<TargetLabels, RowError> {
        let (name, column) = match self.embolism {
            Embolism::Negative(column) => (columns::EXAM_NEGATIVE, column),
            Embolism::Present(column) => (columns::EXAM_POSITIVE, column),
        };
        let said = flag(record, column, name)?.ok_or(RowError::Empty(name))?;
        let embolism = said == matches!(self.embolism, Embolism::Present(_));
        if let Some(column) = self.indeterminate
            && flag(record, column, columns::INDETERMINATE)? == Some(true)
        {
            return Err(RowError::Indeterminate);
        }
        let known = self.further.read(record)?.into_iter();
        Ok(known.fold(TargetLabels::of_embolism(embolism), |labels, (target, said)| labels.with(target, Some(said))))
    }

    /// Adds a row to its exam.
    fn join(&self, exam: &mut LabelledExam, record: &StringRecord, targets: TargetLabels) -> Result<(), RowError> {
        if exam.problem.is_none() && exam.targets != targets {
            return Err(RowError::OtherExamLabels);
        }
        let Some(Slices { instance, label }) = self.slices else {
            // One row per exam: the same row again changes nothing.
            return Ok(());
        };
        let label = flag(record, label, columns::SLICE_LABEL)?;
        let instance = record.get(instance).unwrap_or_default().trim();
        if instance.is_empty() {
            return match label {
                None => Ok(()),
                Some(_) => Err(RowError::NoInstance),
            };
        }
        match exam.slices.insert(instance.to_owned(), label) {
            Some(before) if before != label => Err(RowError::OtherSliceLabel),
            Some(_) => Err(RowError::Repeated),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe,indeterminate";

    fn read_text(text: &str) -> Result<Contents, TrainError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("train.csv");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    fn exams(rows: &str) -> Vec<LabelledExam> {
        read_text(&format!("{HEADER}\n{rows}")).expect("readable").exams
    }

    #[test]
    fn an_empty_slice_label_is_unlabelled_and_not_negative() {
        let exams = exams("1.1,1.2,1.3,,0,0\n1.1,1.2,1.4,1,0,0\n1.1,1.2,1.5,0,0,0\n");
        assert_eq!(exams.len(), 1);
        assert_eq!(exams[0].slices.values().copied().collect::<Vec<_>>(), [None, Some(true), Some(false)]);
        assert!(exams[0].targets.embolism() && exams[0].problem.is_none());
    }

    #[test]
    fn a_broken_row_excludes_its_exam_alone_and_is_named_by_its_line() {
        for (row, problem) in [
            ("1.1,1.2,1.4,2,0,0", "line 3: pe_present_on_image = `2`"),
            ("1.1,1.2,1.4,0,,0", "line 3: negative_exam_for_pe is empty"),
            ("1.1,1.2,1.3,0,0,0", "line 3: the SOP instance is listed twice"),
            ("1.1,1.2,1.3,1,0,0", "line 3: the SOP instance has another label"),
            ("1.1,1.2,1.4,0,1,0", "line 3: the exam's labels differ"),
            ("1.1,1.2,1.4,0,0,1", "line 3: the exam is indeterminate"),
            ("1.1,1.2", "line 3: 2 cells, 6 were expected"),
            ("1.1,1.2,,0,0,0", "line 3: the row has a slice label and no SOPInstanceUID"),
        ] {
            let exams = exams(&format!("1.1,1.2,1.3,0,0,0\n{row}\n2.1,2.2,2.3,0,1,0\n"));
            let found = exams[0].problem.clone().expect("a problem").to_string();
            assert!(found.starts_with(problem), "{found} does not say {problem}");
            assert_eq!((exams.len(), &exams[1].problem), (2, &None));
        }
    }

    #[test]
    fn a_row_without_exam_and_a_table_without_exams_are_reported() {
        let contents = read_text(&format!("{HEADER}\n,,1.3,0,0,0\n1.1,1.2,1.3,0,0,0\n")).expect("readable");
        assert_eq!(
            contents.strays.iter().map(RowProblem::to_string).collect::<Vec<_>>(),
            ["line 2: the row names no exam"]
        );
        let error = read_text(HEADER).expect_err("empty").to_string();
        assert!(error.contains("no exams are listed"), "{error}");
        let error = read_text("StudyInstanceUID,label\n1,1\n").expect_err("no labels").to_string();
        assert!(error.contains("line 1: the column `pe_present_on_image` is missing"), "{error}");
    }

    #[test]
    fn exams_without_slice_labels_are_listed_among_others_in_one_row_each() {
        let exams = exams("1.1,1.2,1.3,1,0,0\n2.1,2.2,,,0,0\n3.1,,,,1,0\n");
        assert!(exams.iter().all(|exam| exam.problem.is_none()));
        assert_eq!(exams.iter().map(|exam| exam.slices.len()).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!((exams[1].series.as_str(), exams[2].series.as_str()), ("2.2", ""));
        assert!(exams[1].targets.embolism() && !exams[2].targets.embolism());
    }

    #[test]
    fn two_columns_are_enough_for_exam_labels() {
        let contents = read_text("pe_present_in_exam,StudyInstanceUID\n1,1.1\n0,2.1\n,3.1\n0,1.1\n").expect("readable");
        let [first, second, third] = &contents.exams[..] else { panic!("three exams") };
        let said = |exam: &LabelledExam| exam.problem.as_ref().map_or_else(String::new, RowProblem::to_string);
        assert!(first.series.is_empty() && first.slices.is_empty());
        assert!(!second.targets.embolism() && second.problem.is_none());
        assert!(said(third).starts_with("line 4: pe_present_in_exam"));
        assert!(said(first).starts_with("line 5: the exam's labels differ"));
    }

    #[test]
    fn further_labels_are_known_where_they_were_assessed() {
        let header = format!("{HEADER},leftsided_pe,rv_lv_ratio_gte_1,rv_lv_ratio_lt_1");
        let contents =
            read_text(&format!("{header}\n1,1.2,1.3,1,0,0,1,0,1\n2,2.2,2.3,0,1,0,0,0,0\n")).expect("readable");
        let [positive, negative] = [0, 1].map(|exam| contents.exams[exam].targets);
        assert_eq!(positive.of(Target::LeftSidedPe), Some(true));
        assert_eq!(positive.of(Target::RvLvRatioGte1), Some(false));
        assert_eq!(negative.of(Target::LeftSidedPe), Some(false));
        assert_eq!(negative.of(Target::RvLvRatioGte1), None);
        assert_eq!(negative.of(Target::CentralPe), None);
    }
}

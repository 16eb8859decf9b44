//! Labels of studies of another site: one row per study.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::cohort::columns::{self, flag, place};
use crate::engine::models::target::Target;
use crate::learn::train::TrainError;
use crate::learn::train::labels::{Exclusion, Further, RowError};
use crate::learn::train::table;

/// One study of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabelledStudy {
    pub(super) study: String,
    /// The series to analyse; empty for any that can be analysed.
    pub(super) series: String,
    /// Embolism; `None` where the mask decides.
    pub(super) embolism: Option<bool>,
    /// Labels of the further targets.
    pub(super) further: Vec<(Target, bool)>,
    /// Level of the most proximal embolus, or empty.
    pub(super) level: String,
    /// NIfTI mask of the emboli.
    pub(super) mask: Option<PathBuf>,
}

/// What a table holds.
#[derive(Debug, Default)]
pub(super) struct StudyTable {
    pub(super) studies: Vec<LabelledStudy>,
    /// Rows that cannot be used, with their lines.
    pub(super) exclusions: Vec<Exclusion>,
}

/// Reads a table with the columns `StudyInstanceUID` and `pe_present_in_exam` (0 or 1) or `mask` (a NIfTI file, its
/// path from the table's folder), or both, and perhaps `SeriesInstanceUID`, `level` and RSPECT's columns on the exam,
/// such as `central_pe`. Where there is a mask and no label, the mask decides whether there is embolism. An exam with
/// embolism by its label and an empty mask counts as an exam; its slices and emboli are unknown.
///
/// # Errors
/// A table without these columns or without rows. A broken row is an exclusion.
pub(super) fn read(path: &Path) -> Result<StudyTable, TrainError> {
    let mut reader = table::flexible_reader(path)?;
    let headers = reader.headers().map_err(|error| table::error(path, &error))?.clone();
    let columns = Columns::find(&headers).map_err(|problem| TrainError::table(path, Some(1), problem.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut contents = StudyTable::default();
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| table::error(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        match columns.read(&record, folder) {
            Err((study, problem)) => {
                contents.exclusions.push(Exclusion::new("labels", &study, format!("line {line}: {problem}")));
            }
            Ok(labelled) => match lines.insert(labelled.study.clone(), line) {
                None => contents.studies.push(labelled),
                Some(first) => contents.repeated(&labelled, first, line),
            },
        }
    }
    if lines.is_empty() && contents.exclusions.is_empty() {
        return Err(TrainError::table(path, None, "no studies are listed"));
    }
    Ok(contents)
}

impl StudyTable {
    /// A study that is listed again: harmless if both rows agree, otherwise the study is excluded.
    fn repeated(&mut self, again: &LabelledStudy, first: u64, line: u64) {
        if self.studies.contains(again) {
            return;
        }
        self.studies.retain(|study| study.study != again.study);
        let reason = format!("line {line}: the row contradicts line {first}");
        self.exclusions.push(Exclusion::new("labels", &again.study, reason));
    }
}

/// Indices of the columns.
struct Columns {
    study: usize,
    series: Option<usize>,
    present: Option<usize>,
    level: Option<usize>,
    mask: Option<usize>,
    further: Further,
}

impl Columns {
    fn find(headers: &StringRecord) -> Result<Self, RowError> {
        let column = |name: &str| place(headers, name);
        let found = Self {
            study: column(columns::STUDY).ok_or(RowError::MissingColumn(columns::STUDY))?,
            series: column(columns::SERIES),
            present: column(columns::EXAM_POSITIVE),
            level: column("level"),
            mask: column("mask"),
            further: Further::find(headers),
        };
        if found.present.is_none() && found.mask.is_none() {
            return Err(RowError::NoLabelColumn);
        }
        Ok(found)
    }

    /// Reads one row: the labelled study, or the study and what is wrong with the row.
    fn read(&self, record: &StringRecord, folder: &Path) -> Result<LabelledStudy, (String, RowError)> {
        let text = |column: usize| record.get(column).unwrap_or_default().trim();
        let optional = |column: Option<usize>| column.map(text).unwrap_or_default();
        let study = text(self.study);
        let problem = |problem: RowError| Err((study.to_owned(), problem));
        if study.is_empty() {
            return problem(RowError::NoStudy);
        }
        let said = |column| flag(record, column, columns::EXAM_POSITIVE);
        let (embolism, further) = match (self.present.map_or(Ok(None), said), self.further.read(record)) {
            (Ok(embolism), Ok(further)) => (embolism, further),
            (Err(wrong), _) => return problem(wrong.into()),
            (_, Err(wrong)) => return problem(wrong),
        };
        let mask = Some(optional(self.mask)).filter(|path| !path.is_empty()).map(|path| folder.join(path));
        if embolism.is_none() && mask.is_none() {
            return problem(RowError::NoLabel);
        }
        Ok(LabelledStudy {
            study: study.to_owned(),
            series: optional(self.series).to_owned(),
            embolism,
            further,
            level: optional(self.level).to_owned(),
            mask,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<StudyTable, TrainError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn two_columns_are_enough_and_a_mask_can_replace_the_label() {
        let found = parsed("StudyInstanceUID,pe_present_in_exam\n1.2,1\n1.3,0\n").expect("readable").studies;
        assert_eq!(found.iter().map(|study| study.embolism).collect::<Vec<_>>(), [Some(true), Some(false)]);
        let found =
            parsed("\u{feff}StudyInstanceUID,mask,level\n1.2,masks/a.nii.gz,lobar\n").expect("readable").studies;
        assert!(found[0].mask.as_ref().is_some_and(|path| path.ends_with("masks/a.nii.gz")));
        assert_eq!((found[0].embolism, found[0].level.as_str()), (None, "lobar"));
    }

    #[test]
    fn broken_rows_are_left_out_with_their_lines_and_contradictions_exclude_the_study() {
        let text = "StudyInstanceUID,pe_present_in_exam\n1.2,1\n1.3,yes\n,1\n1.4,\n1.2,1\n1.5,0\n1.5,1\n";
        let StudyTable { studies, exclusions } = parsed(text).expect("readable");
        assert_eq!(studies.iter().map(|study| study.study.as_str()).collect::<Vec<_>>(), ["1.2"]);
        let reasons: Vec<&str> = exclusions.iter().map(|exclusion| exclusion.reason.as_str()).collect();
        assert!(reasons[0].contains("line 3: pe_present_in_exam = `yes`"), "{reasons:?}");
        assert!(reasons[1].contains("line 4: the row names no study"), "{reasons:?}");
        assert!(reasons[2].contains("line 5: the row has neither"), "{reasons:?}");
        assert!(
            reasons[3].contains("line 8: the row contradicts line 7") && exclusions[3].series == "1.5",
            "{reasons:?}"
        );
    }

    #[test]
    fn further_targets_are_read_as_rspect_writes_them() {
        let header = "StudyInstanceUID,pe_present_in_exam,central_pe,rv_lv_ratio_gte_1,rv_lv_ratio_lt_1";
        let found = parsed(&format!("{header}\n1.2,1,1,0,1\n1.3,0,,0,0\n1.4,1,x,0,0\n")).expect("readable");
        assert_eq!(found.studies[0].further, [(Target::CentralPe, true), (Target::RvLvRatioGte1, false)]);
        assert_eq!(found.studies[1].further, []);
        assert!(found.exclusions[0].reason.starts_with("line 4: central_pe = `x`"), "{:?}", found.exclusions);
    }

    #[test]
    fn a_table_without_usable_labels_is_refused() {
        for (text, problem) in [
            ("pe_present_in_exam\n1\n", "`StudyInstanceUID` is missing"),
            ("StudyInstanceUID,label\n1.2,1\n", "`pe_present_in_exam` and `mask`"),
            ("StudyInstanceUID,pe_present_in_exam\n", "no studies are listed"),
            ("", "`StudyInstanceUID` is missing"),
        ] {
            let error = parsed(text).expect_err("refused").to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}

//! A table of exams with labels, as a hospital writes it: a study or its accession number, and whether there is embolism.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ExportError;
use super::exclusion::{Exclusion, ExclusionReason};

/// Names that the column of studies may have.
const STUDY: [&str; 3] = ["StudyInstanceUID", "study_instance_uid", "study"];
/// Names that the column of accession numbers may have.
const ACCESSION: [&str; 3] = ["AccessionNumber", "accession_number", "accession"];
/// Names that the column of labels may have.
const LABEL: [&str; 3] = ["pe_present_in_exam", "label", "pe"];

/// How an exam is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// By Study Instance UID.
    Study(String),
    /// By accession number.
    Accession(String),
}

impl Name {
    pub(super) fn text(&self) -> &str {
        let (Self::Study(text) | Self::Accession(text)) = self;
        text
    }
}

/// One row that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Line in the table, counted from 1.
    pub(super) line: u64,
    pub(super) name: Name,
    /// Embolism in the exam.
    pub(super) present: bool,
}

/// Reads the table: the rows, and those that cannot be read.
pub(super) fn read(path: &Path) -> Result<(Vec<Row>, Vec<Exclusion>), ExportError> {
    let failed = |line: Option<u64>, problem: String| ExportError::Table { path: path.to_owned(), line, problem };
    let file = std::fs::File::open(path).map_err(|error| failed(None, error.to_string()))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let broken = |error: csv::Error| failed(error.position().map(csv::Position::line), error.to_string());
    let headers = reader.headers().map_err(broken)?.clone();
    let column =
        |names: &[&str]| headers.iter().position(|header| names.contains(&header.trim_start_matches('\u{feff}')));
    let (study, accession) = (column(&STUDY), column(&ACCESSION));
    let label = column(&LABEL).ok_or_else(|| failed(Some(1), format!("there is no column {}", LABEL[0])))?;
    if study.is_none() && accession.is_none() {
        return Err(failed(Some(1), format!("there is no column {} nor {}", STUDY[0], ACCESSION[0])));
    }
    let (mut rows, mut exclusions) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default().to_owned();
        let name = match (text(study), text(accession)) {
            (study, _) if !study.is_empty() => Name::Study(study),
            (_, accession) => Name::Accession(accession),
        };
        let present = match text(Some(label)).as_str() {
            "1" => Ok(true),
            "0" => Ok(false),
            other => Err(ExclusionReason::Label(other.to_owned())),
        };
        let problem = if name.text().is_empty() { Err(ExclusionReason::NoExam) } else { present };
        match problem {
            Ok(present) => rows.push(Row { line, name, present }),
            Err(reason) => exclusions.push(Exclusion::new(line, name.text(), &reason)),
        }
    }
    Ok((rows, exclusions))
}

/// Of rows that name the same study, the first is kept if all agree, and none if they do not.
pub(super) fn agreed<T: Ord + Clone>(rows: Vec<(T, Row)>) -> (Vec<(T, Row)>, Vec<Exclusion>) {
    let mut lines: BTreeMap<T, Vec<(u64, bool)>> = BTreeMap::new();
    for (study, row) in &rows {
        lines.entry(study.clone()).or_default().push((row.line, row.present));
    }
    let (mut kept, mut exclusions) = (Vec::new(), Vec::new());
    for (study, row) in rows {
        let same = &lines[&study];
        let first = same[0].0;
        let reason = if same.iter().any(|(_, present)| *present != row.present) {
            ExclusionReason::Contradiction(same.iter().map(|(line, _)| *line).collect())
        } else if row.line != first {
            ExclusionReason::Repeated(first)
        } else {
            kept.push((study, row));
            continue;
        };
        exclusions.push(Exclusion::new(row.line, row.name.text(), &reason));
    }
    (kept, exclusions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Vec<Row>, Vec<Exclusion>), ExportError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).expect("write");
        read(&path)
    }

    #[test]
    fn exams_are_named_by_study_or_accession_number_and_broken_rows_by_their_line() {
        let (rows, exclusions) =
            parsed("\u{feff}accession,StudyInstanceUID,label\nA-1,,1\n,1.2.3, 0 \nA-2,,maybe\n,,1\nA-3\n")
                .expect("readable");
        let found: Vec<_> = rows.iter().map(|row| (row.line, row.name.clone(), row.present)).collect();
        assert_eq!(found, [(2, Name::Accession("A-1".to_owned()), true), (3, Name::Study("1.2.3".to_owned()), false),]);
        let lines: Vec<u64> = exclusions.iter().map(|exclusion| exclusion.line).collect();
        assert_eq!(lines, [4, 5, 6]);
        assert!(exclusions[0].reason.contains("`maybe`") && exclusions[1].reason.contains("names no exam"));
    }

    #[test]
    fn a_table_without_its_columns_is_an_error() {
        assert!(parsed("study,finding\n1.2,1\n").expect_err("no label").to_string().contains("pe_present_in_exam"));
        assert!(parsed("label\n1\n").expect_err("no exam").to_string().contains("AccessionNumber"));
    }

    #[test]
    fn the_first_of_rows_that_agree_is_kept_and_none_of_those_that_do_not() {
        let row = |line, present| Row { line, name: Name::Study("s".to_owned()), present };
        let rows = vec![
            ("a", row(2, true)),
            ("b", row(3, true)),
            ("a", row(4, true)),
            ("b", row(5, false)),
            ("c", row(6, false)),
        ];
        let (kept, exclusions) = agreed(rows);
        assert_eq!(kept.iter().map(|(study, _)| *study).collect::<Vec<_>>(), ["a", "c"]);
        let reasons: Vec<&str> = exclusions.iter().map(|exclusion| exclusion.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "the labels on the lines 3, 5 contradict each other",
                "the exam is listed on line 2 already",
                "the labels on the lines 3, 5 contradict each other",
            ]
        );
    }
}

//! A table that says what each exam is used for, in place of a draw: an experiment's own `splits.csv`, or one that a site
//! or another group keeps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::exam::Exam;
use super::split::{Place, Split};
use crate::cohort::columns;
use crate::learn::train::{TrainError, table};

/// Columns that may name an exam, and those that may say what it is used for.
const EXAM: [&str; 4] = ["series", columns::SERIES, "study", columns::STUDY];
const PLACE: [&str; 2] = ["place", "split"];

/// The places of exams by study or series.
pub(crate) struct SplitTable {
    path: PathBuf,
    /// With the line that says so.
    places: BTreeMap<String, (Place, u64)>,
}

impl SplitTable {
    /// # Errors
    /// A table without the columns, a place that does not exist, an exam with two places.
    pub(crate) fn read(path: &Path, folds: usize) -> Result<Self, TrainError> {
        let mut reader = table::flexible_reader(path)?;
        let headers = reader.headers().map_err(|error| table::error(path, &error))?.clone();
        let (exams, of_place) = columns(&headers).ok_or_else(|| {
            let wanted = format!("one of the columns {} and one of {} are needed", EXAM.join(", "), PLACE.join(", "));
            TrainError::table(path, Some(1), wanted)
        })?;
        let mut places: BTreeMap<String, (Place, u64)> = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(|error| table::error(path, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let refused = |problem: String| TrainError::table(path, Some(line), problem);
            let place = place(record.get(of_place).unwrap_or_default(), folds).map_err(refused)?;
            let cells = exams.iter().filter_map(|column| record.get(*column)).map(str::trim);
            let exam = cells.into_iter().find(|cell| !cell.is_empty());
            let exam = exam.ok_or_else(|| refused("the row names no exam".to_owned()))?;
            match places.insert(exam.to_owned(), (place, line)) {
                Some((other, before)) if other != place => {
                    return Err(refused(format!("{exam} is in {place} here and in {other} in line {before}")));
                }
                _ => {}
            }
        }
        Ok(Self { path: path.to_owned(), places })
    }

    /// The place of each exam; `None` for those that the table does not name.
    ///
    /// # Errors
    /// A patient in two splits: what is learned from one exam would be tested on another of the same patient.
    pub(crate) fn places(&self, exams: &[Exam]) -> Result<Vec<Option<Place>>, TrainError> {
        let mut of_patients: BTreeMap<&str, (Place, &str)> = BTreeMap::new();
        let mut place = |exam| {
            let Some((place, line)) = self.of(exam) else { return Ok(None) };
            let (other, series) = *of_patients.entry(&exam.patient).or_insert((place, &exam.series));
            if other == place {
                return Ok(Some(place));
            }
            let series =
                format!("series {} is in {place}, series {series} of the same patient in {other}", exam.series);
            Err(TrainError::table(&self.path, Some(line), format!("{series}; put both in one")))
        };
        exams.iter().map(&mut place).collect()
    }

    fn of(&self, exam: &Exam) -> Option<(Place, u64)> {
        self.places.get(&exam.series).or_else(|| self.places.get(&exam.study)).copied()
    }
}

/// The columns that name an exam, in the order in which they are asked, and the column of its place.
fn columns(headers: &StringRecord) -> Option<(Vec<usize>, usize)> {
    let found =
        |names: &[&str]| -> Vec<usize> { names.iter().filter_map(|name| columns::place(headers, name)).collect() };
    let exams = found(&EXAM);
    (!exams.is_empty()).then_some((exams, *found(&PLACE).first()?))
}

/// The place in a cell; `val` and `valid` are what others call validation.
fn place(cell: &str, folds: usize) -> Result<Place, String> {
    let place: Place = match cell.trim() {
        "val" | "valid" => Place::Fixed(Split::Validation),
        cell => cell
            .parse()
            .map_err(|_| format!("`{cell}`: train, validation, test or fold-0, fold-1, ... was expected"))?,
    };
    match place {
        Place::Fold(fold) if fold >= folds => Err(format!("{place}, but data.folds = {folds}; folds count from 0")),
        place => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exam::testing::exam;
    use super::*;

    fn read(text: &str, folds: usize) -> Result<SplitTable, TrainError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("splits.csv");
        std::fs::write(&path, text).expect("written");
        SplitTable::read(&path, folds)
    }

    fn places(text: &str, folds: usize) -> Result<Vec<Option<String>>, String> {
        let exams = [exam(0, "a", true), exam(1, "b", false), exam(2, "b", false)];
        let places = read(text, folds).and_then(|table| table.places(&exams)).map_err(|error| error.to_string())?;
        Ok(places.into_iter().map(|place| place.map(|place| place.to_string())).collect())
    }

    fn some(places: &[&str]) -> Vec<Option<String>> {
        places.iter().map(|place| (!place.is_empty()).then(|| (*place).to_owned())).collect()
    }

    #[test]
    fn a_table_of_series_or_of_studies_says_what_each_exam_is_used_for() {
        let own = places("series,place,slice_labels_used\n2.0,train,true\n2.1,test,true\n2.2,test,true\n", 0);
        assert_eq!(own, Ok(some(&["train", "test", "test"])));
        let other = places("StudyInstanceUID,split\n1.0,val\n9.9,train\n", 0);
        assert_eq!(other, Ok(some(&["validation", "", ""])), "an exam that is not named has no place");
        let folds = places("series,place\n2.0,fold-1\n2.1,test\n2.2,test\n", 2);
        assert_eq!(folds, Ok(some(&["fold-1", "test", "test"])));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_line() {
        let problem = |text: &str| places(text, 2).expect_err("refused");
        let patient = problem("series,place\n2.0,train\n2.1,test\n2.2,train\n");
        assert!(
            patient.contains("line 4: series 2.2 is in train, series 2.1 of the same patient in test"),
            "{patient}"
        );
        let twice = problem("series,place\n2.0,train\n2.0,test\n");
        assert!(twice.contains("line 3: 2.0 is in test here and in train in line 2"), "{twice}");
        let fold = problem("series,place\n2.0,fold-2\n");
        assert!(fold.contains("data.folds = 2"), "{fold}");
        assert!(problem("series,place\n2.0,learn\n").contains("`learn`: train, validation, test"));
        assert!(problem("series\n2.0\n").contains("one of place, split"));
    }
}

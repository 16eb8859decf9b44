//! Stored studies with labels to the layout that training reads: `train/STUDY/SERIES/SOP.dcm` and `train.csv`.
//!
//! It only reads the archive, so the node may be running. Of a study one series is given: the one that the node analysed,
//! or of several the one with the most slices. Files stay as they were received, patient data included.

mod labels;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::archive::ArchiveReader;
use super::queue::JobState;
use super::store::{HeldSeries, StoreError};
use crate::cohort::{ExamRow, Layout, TableError, image_name, write_table};
use crate::dicom::Uid;
use labels::{Name, Row};

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The table of labels.
    #[error(
        "{path}{place}: {problem}; a table has the columns StudyInstanceUID or AccessionNumber, and pe_present_in_exam \
         (0 or 1)", path = path.display(), place = line.map_or_else(String::new, |line| format!(", line {line}"))
    )]
    Table {
        /// The file.
        path: PathBuf,
        /// Its line, where one is at fault.
        line: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error("{action} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A table cannot be written.
    #[error(transparent)]
    Write(#[from] TableError),
}

impl ExportError {
    fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.to_owned(), source }
    }
}

/// What is exported, and how.
#[derive(Debug, Clone)]
pub struct Export {
    /// The table of labels.
    pub labels: PathBuf,
    /// Folder for `train/`, `train.csv` and `exclusions.csv`.
    pub out: PathBuf,
    /// Also series that the node rejected.
    pub include_rejected: bool,
    /// Copies instead of hard links.
    pub copy: bool,
}

/// A row of the table of labels that could not be served: a row of `exclusions.csv`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Exclusion {
    /// Its line in the table of labels.
    pub line: u64,
    /// The exam as that row names it.
    pub exam: String,
    /// Why.
    pub reason: String,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Exams.
    pub exams: usize,
    /// Exams with embolism.
    pub positive: usize,
    /// Slices.
    pub slices: usize,
    /// Rows of the table of labels that could not be served.
    pub excluded: usize,
}

impl Export {
    /// Exports; `exam` is called after each exam with how many there are. The tables are written last, whole or not at
    /// all, so an export that was broken off is done again and goes on where it was.
    pub async fn run(&self, archive: &ArchiveReader, exam: impl Fn(usize)) -> Result<Exported, ExportError> {
        let (rows, mut exclusions) = labels::read(&self.labels)?;
        let mut named = Vec::with_capacity(rows.len());
        for row in rows {
            match study_of(archive, &row.name).await? {
                Ok(study) => named.push((study, row)),
                Err(reason) => exclusions.push(excluded(&row, reason)),
            }
        }
        let (wanted, repeated) = labels::agreed(named);
        exclusions.extend(repeated);
        let mut exams = Vec::with_capacity(wanted.len());
        let mut slices = 0;
        for (study, row) in &wanted {
            match self.series_of(archive, study).await? {
                Ok(series) => match self.write(archive, study, &series)? {
                    Ok(count) => {
                        slices += count;
                        exams.push(ExamRow {
                            study: study.to_string(),
                            series: series.series_instance_uid.to_string(),
                            pe_present_in_exam: u8::from(row.present),
                        });
                    }
                    Err(reason) => exclusions.push(excluded(row, reason)),
                },
                Err(reason) => exclusions.push(excluded(row, reason)),
            }
            exam(wanted.len());
        }
        exclusions.sort_by_key(|exclusion| exclusion.line);
        fs::create_dir_all(&self.out).map_err(ExportError::disk("creating the folder", &self.out))?;
        write_table(&self.out.join("exclusions.csv"), &exclusions)?;
        write_table(&Layout::below(&self.out).labels(), &exams)?;
        let positive = exams.iter().filter(|exam| exam.pe_present_in_exam == 1).count();
        Ok(Exported { exams: exams.len(), positive, slices, excluded: exclusions.len() })
    }

    /// The series of a study to export, or why there is none.
    async fn series_of(&self, archive: &ArchiveReader, study: &Uid) -> Result<Result<HeldSeries, String>, ExportError> {
        let Some(held) = archive.index().held_series(study).await? else {
            return Ok(Err("the archive does not have the study".to_owned()));
        };
        Ok(choose(held, self.include_rejected))
    }

    /// Puts the slices of a series into their folder, all or none. Gives how many, or why it is none.
    fn write(
        &self,
        archive: &ArchiveReader,
        study: &Uid,
        series: &HeldSeries,
    ) -> Result<Result<usize, String>, ExportError> {
        let parent = Layout::below(&self.out).study(study.as_str());
        let place = parent.join(series.series_instance_uid.as_str());
        let mut files = Vec::with_capacity(series.slices.len());
        for (instance, blob) in &series.slices {
            let path = blob.map(|blob| archive.path(blob));
            match path.and_then(|path| Some((fs::metadata(&path).ok()?.len(), path))) {
                Some((bytes, path)) => files.push((image_name(instance.as_str()), path, bytes)),
                None => return Ok(Err(format!("the archive no longer has the image {instance}"))),
            }
        }
        let draft = parent.join(format!(".partial-{}", series.series_instance_uid));
        remove(&draft)?;
        if is_complete(&place, &files) {
            return Ok(Ok(files.len()));
        }
        remove(&place)?;
        fs::create_dir_all(&draft).map_err(ExportError::disk("creating the folder", &draft))?;
        for (name, from, _) in &files {
            self.put(from, &draft.join(name))?;
        }
        fs::rename(&draft, &place).map_err(ExportError::disk("naming the folder", &place))?;
        Ok(Ok(files.len()))
    }

    /// Links a file where that is wanted and can be, and copies it otherwise.
    fn put(&self, from: &Path, to: &Path) -> Result<(), ExportError> {
        if !self.copy && fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        fs::copy(from, to).map(drop).map_err(ExportError::disk("copying to", to))
    }
}

fn excluded(row: &Row, reason: String) -> Exclusion {
    Exclusion { line: row.line, exam: row.name.text().to_owned(), reason }
}

/// The study of a name, or why it is none.
async fn study_of(archive: &ArchiveReader, name: &Name) -> Result<Result<Uid, String>, ExportError> {
    match name {
        Name::Study(text) => Ok(Uid::parse(text).map_err(|error| error.to_string())),
        Name::Accession(number) => {
            let mut studies = archive.index().studies_of_accession(number).await?;
            Ok(match (studies.pop(), studies.len()) {
                (Some(study), 0) => Ok(study),
                (Some(_), more) => Err(format!("{} studies have the accession number", more + 1)),
                (None, _) => Err("no study in the archive has the accession number".to_owned()),
            })
        }
    }
}

/// The series that was analysed, of several the one with the most slices; or why there is none.
fn choose(held: Vec<HeldSeries>, include_rejected: bool) -> Result<HeldSeries, String> {
    let usable = |series: &HeldSeries| match series.state {
        JobState::Analysed => true,
        JobState::Rejected => include_rejected && !series.slices.is_empty(),
        JobState::Queued | JobState::Running | JobState::Failed => false,
    };
    let reason = match held.as_slice() {
        [] => "no series of the study is complete yet, or none has CT images".to_owned(),
        held => {
            let state = |series: &HeldSeries| {
                let reasons: Vec<&str> = series.reasons.iter().map(|reason| reason.code()).collect();
                let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
                format!("{}{reasons}", series.state)
            };
            format!("no series of the study was analysed: {}", held.iter().map(state).collect::<Vec<_>>().join("; "))
        }
    };
    // Analysed ones first, then the larger one; the last of equals, so that a repetition takes the same.
    let rank = |series: &HeldSeries| (series.state == JobState::Analysed, series.slices.len());
    held.into_iter().filter(usable).max_by_key(rank).ok_or(reason)
}

fn remove(folder: &Path) -> Result<(), ExportError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(ExportError::disk("removing the folder", folder))
    } else {
        Ok(())
    }
}

/// True if the folder holds exactly these files in their sizes.
fn is_complete(folder: &Path, files: &[(String, PathBuf, u64)]) -> bool {
    let size = |name: &str| fs::metadata(folder.join(name)).ok().map(|metadata| metadata.len());
    let count = fs::read_dir(folder).map_or(0, Iterator::count);
    count == files.len() && files.iter().all(|(name, _, bytes)| size(name) == Some(*bytes))
}

#[cfg(test)]
mod tests;

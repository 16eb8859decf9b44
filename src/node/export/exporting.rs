//! Exports from the archive to the layout of training.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ExportError;
use super::exclusion::{ExamError, Exclusion, ExclusionReason};
use super::labels::{self, Name, Row};
use crate::cohort::{ExamRow, Layout, image_name, write_table};
use crate::dicom::Uid;
use crate::node::archive::ArchiveReader;
use crate::node::queue::JobState;
use crate::node::store::HeldSeries;

/// What is exported, and how.
#[derive(Debug, Clone)]
pub struct Export {
    /// The table of labels.
    pub labels: PathBuf,
    /// Folder for `train/`, `train.csv` and `exclusions.csv`.
    pub out: PathBuf,
    /// Include series that the node rejected.
    pub include_rejected: bool,
    /// Copies instead of hard links.
    pub copy: bool,
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
    /// Rows of the table of labels that could not be exported.
    pub excluded: usize,
}

impl Export {
    /// Exports; `exam` is called after each exam, with the number of all. The tables are written last, whole or not at
    /// all. An interrupted export that is run again continues where it stopped.
    pub async fn run(&self, archive: &ArchiveReader, exam: impl Fn(usize)) -> Result<Exported, ExportError> {
        let (rows, mut exclusions) = labels::read(&self.labels)?;
        let mut named = Vec::with_capacity(rows.len());
        for row in rows {
            match study_of(archive, &row.name).await {
                Ok(study) => named.push((study, row)),
                Err(error) => exclusions.push(excluded(&row, error)?),
            }
        }
        let (wanted, repeated) = labels::agreed(named);
        exclusions.extend(repeated);
        let mut exams = Vec::with_capacity(wanted.len());
        let mut slices = 0;
        for (study, row) in &wanted {
            match self.export_study(archive, study).await {
                Ok((series, count)) => {
                    slices += count;
                    exams.push(ExamRow {
                        study: study.to_string(),
                        series: series.to_string(),
                        pe_present_in_exam: u8::from(row.present),
                    });
                }
                Err(error) => exclusions.push(excluded(row, error)?),
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

    /// Exports one series of a study. Returns its identifier and its number of slices.
    async fn export_study(&self, archive: &ArchiveReader, study: &Uid) -> Result<(Uid, usize), ExamError> {
        let held = archive.index().held_series(study).await?.ok_or(ExclusionReason::UnknownStudy)?;
        let series = choose(held, self.include_rejected)?;
        let slices = self.write(archive, study, &series)?;
        Ok((series.series_instance_uid, slices))
    }

    /// Puts the slices of a series into their folder, all or none. Returns how many.
    fn write(&self, archive: &ArchiveReader, study: &Uid, series: &HeldSeries) -> Result<usize, ExamError> {
        let parent = Layout::below(&self.out).study(study.as_str());
        let place = parent.join(series.series_instance_uid.as_str());
        let mut files = Vec::with_capacity(series.slices.len());
        for (instance, blob) in &series.slices {
            let path = blob.map(|blob| archive.path(blob));
            match path.and_then(|path| Some((fs::metadata(&path).ok()?.len(), path))) {
                Some((bytes, path)) => files.push((image_name(instance.as_str()), path, bytes)),
                None => return Err(ExclusionReason::LostImage(instance.clone()).into()),
            }
        }
        let draft = parent.join(format!(".partial-{}", series.series_instance_uid));
        remove(&draft)?;
        if is_complete(&place, &files) {
            return Ok(files.len());
        }
        remove(&place)?;
        fs::create_dir_all(&draft).map_err(ExportError::disk("creating the folder", &draft))?;
        for (name, from, _) in &files {
            self.put(from, &draft.join(name))?;
        }
        fs::rename(&draft, &place).map_err(ExportError::disk("naming the folder", &place))?;
        Ok(files.len())
    }

    /// Links a file if that is wanted and possible; copies it otherwise.
    fn put(&self, from: &Path, to: &Path) -> Result<(), ExportError> {
        if !self.copy && fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        fs::copy(from, to).map(drop).map_err(ExportError::disk("copying to", to))
    }
}

/// The row of an exam that is left out.
fn excluded(row: &Row, error: ExamError) -> Result<Exclusion, ExportError> {
    match error {
        ExamError::Excluded(reason) => Ok(Exclusion::new(row.line, row.name.text(), &reason)),
        ExamError::Failed(error) => Err(error),
    }
}

/// The study of a name.
async fn study_of(archive: &ArchiveReader, name: &Name) -> Result<Uid, ExamError> {
    match name {
        Name::Study(text) => Ok(Uid::parse(text).map_err(ExclusionReason::from)?),
        Name::Accession(number) => {
            let mut studies = archive.index().studies_of_accession(number).await?;
            match (studies.pop(), studies.len()) {
                (Some(study), 0) => Ok(study),
                (Some(_), more) => Err(ExclusionReason::AmbiguousAccession(more + 1).into()),
                (None, _) => Err(ExclusionReason::UnknownAccession.into()),
            }
        }
    }
}

/// The series that was analysed; of several, the one with the most slices.
fn choose(held: Vec<HeldSeries>, include_rejected: bool) -> Result<HeldSeries, ExclusionReason> {
    let usable = |series: &HeldSeries| match series.state {
        JobState::Analysed => true,
        JobState::Rejected => include_rejected && !series.slices.is_empty(),
        JobState::Queued | JobState::Running | JobState::Failed => false,
    };
    let reason = if held.is_empty() { ExclusionReason::NoSeries } else { ExclusionReason::NotAnalysed(states(&held)) };
    // Analysed ones first, then the larger one; of equals the last, so a repetition chooses the same.
    let rank = |series: &HeldSeries| (series.state == JobState::Analysed, series.slices.len());
    held.into_iter().filter(usable).max_by_key(rank).ok_or(reason)
}

/// The states of the series of a study, in words.
fn states(held: &[HeldSeries]) -> String {
    let state = |series: &HeldSeries| {
        let reasons: Vec<&str> = series.reasons.iter().map(|reason| reason.code()).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!("{}{reasons}", series.state)
    };
    held.iter().map(state).collect::<Vec<_>>().join("; ")
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

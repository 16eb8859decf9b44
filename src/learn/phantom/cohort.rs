//! Many exams: the RSPECT layout with the ground truth beside it.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::truth::{Folders, Written};
use super::{Exam, PhantomError, Preset, Recipe};

/// What to write.
#[derive(Debug, Clone)]
pub struct Cohort {
    /// Where; made if missing.
    pub folder: PathBuf,
    /// Number of exams; with twins, rounded up to an even number.
    pub exams: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Sampling.
    pub preset: Preset,
    /// Exams 2n and 2n + 1 differ by the emboli alone; the first has them.
    pub twins: bool,
    /// All patients lie feet first; otherwise one in ten does.
    pub feet_first: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Exams.
    pub exams: usize,
    /// Exams with emboli.
    pub positive: usize,
    /// Slices.
    pub slices: usize,
    /// Slices with visible emboli.
    pub positive_slices: usize,
}

impl Cohort {
    /// Number of exams, whole pairs with twins.
    pub fn count(&self) -> usize {
        if self.twins { self.exams.next_multiple_of(2) } else { self.exams }
    }

    /// The recipe of one exam.
    pub fn recipe(&self, index: usize) -> Recipe {
        let recipe = Recipe { feet_first: self.feet_first, ..Recipe::new(self.preset, self.seed, index) };
        if self.twins {
            let first = index.is_multiple_of(2);
            Recipe { anatomy: index / 2, pe: Some(first), twin: Some(index ^ 1), ..recipe }
        } else {
            recipe
        }
    }
}

/// Writes a cohort; `done` is called after each exam, from any thread.
pub fn write_cohort(cohort: &Cohort, done: impl Fn() + Sync) -> Result<Summary, PhantomError> {
    let folders = Folders::below(&cohort.folder);
    let write = |index: usize| {
        let written = Exam::draw(&cohort.recipe(index)).write_all(&folders)?;
        done();
        Ok(written)
    };
    // Light exams are small: one a thread. Clinical ones are rendered one after the other, their slices in parallel.
    let written: Vec<Written> = match cohort.preset {
        Preset::Light => (0..cohort.count()).into_par_iter().map(write).collect::<Result<_, PhantomError>>()?,
        Preset::Clinical => (0..cohort.count()).map(write).collect::<Result<_, PhantomError>>()?,
    };
    fs::create_dir_all(folders.truth()).map_err(|source| PhantomError::File { path: folders.truth(), source })?;
    table(&folders.slice_table(), written.iter().flat_map(|exam| &exam.rows))?;
    table(&folders.exam_table(), written.iter().map(|exam| &exam.record))?;
    Ok(Summary {
        exams: written.len(),
        positive: written.iter().filter(|exam| exam.record.pe == 1).count(),
        slices: written.iter().map(|exam| exam.record.slices).sum(),
        positive_slices: written.iter().map(|exam| exam.record.positive_slices).sum(),
    })
}

fn table<T: Serialize>(path: &Path, rows: impl Iterator<Item = T>) -> Result<(), PhantomError> {
    let failed = |source: csv::Error| PhantomError::Table { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    writer.flush().map_err(|source| PhantomError::File { path: path.to_owned(), source })
}

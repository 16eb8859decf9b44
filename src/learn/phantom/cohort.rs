//! Many exams: the RSPECT layout with the ground truth beside it.

use std::path::PathBuf;

use rayon::prelude::*;

use super::error::{PhantomError, create_folder};
use super::exam::Exam;
use super::recipe::{Preset, Recipe, Site};
use super::rows::Rows;
use crate::cohort::{Layout, write_table};

/// What to write.
#[derive(Debug, Clone)]
pub struct Cohort {
    /// Where; made if missing.
    pub folder: PathBuf,
    /// Number of exams; paired ones are rounded up to an even number.
    pub exams: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Sampling.
    pub preset: Preset,
    /// Patients and scanners.
    pub site: Site,
    /// Exams 2n and 2n + 1 differ in the emboli alone; the first has them.
    pub paired: bool,
    /// All patients lie feet first; otherwise one in ten does.
    pub feet_first: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CohortSummary {
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
    /// Number of exams, in whole pairs where they are paired.
    pub fn count(&self) -> usize {
        if self.paired { self.exams.next_multiple_of(2) } else { self.exams }
    }

    /// The recipe of one exam.
    pub fn recipe(&self, index: usize) -> Recipe {
        let recipe =
            Recipe { site: self.site, feet_first: self.feet_first, ..Recipe::new(self.preset, self.seed, index) };
        if self.paired {
            let first = index.is_multiple_of(2);
            Recipe { anatomy: index / 2, pe: Some(first), paired_with: Some(index ^ 1), ..recipe }
        } else {
            recipe
        }
    }
}

/// Writes a cohort; `done` is called after each exam, from any thread.
pub fn write_cohort(cohort: &Cohort, done: impl Fn() + Sync) -> Result<CohortSummary, PhantomError> {
    let layout = Layout::below(&cohort.folder);
    let write = |index: usize| {
        let rows = Exam::draw(&cohort.recipe(index)).write_with_rows(&layout)?;
        done();
        Ok(rows)
    };
    // Small exams: one per thread. Clinical ones are rendered one after the other, their slices in parallel.
    let written: Vec<Rows> = match cohort.preset {
        Preset::Light | Preset::Tiny => {
            (0..cohort.count()).into_par_iter().map(write).collect::<Result<_, PhantomError>>()?
        }
        Preset::Clinical => (0..cohort.count()).map(write).collect::<Result<_, PhantomError>>()?,
    };
    // A cohort without exams has its tables too.
    create_folder(&layout.truth())?;
    write_table(&layout.labels(), written.iter().flat_map(|exam| &exam.slices))?;
    write_table(&layout.truth_table(), written.iter().map(|exam| &exam.truth))?;
    Ok(CohortSummary {
        exams: written.len(),
        positive: written.iter().filter(|exam| exam.truth.pe == 1).count(),
        slices: written.iter().map(|exam| exam.truth.slices).sum(),
        positive_slices: written.iter().map(|exam| exam.truth.positive_slices).sum(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use ndarray::Axis;
    use nifti::{IntoNdArray, NiftiObject, ReaderOptions};

    use super::*;
    use crate::cohort::{Mask, TruthRow};

    fn cohort(folder: &Path, exams: usize, paired: bool) -> Cohort {
        Cohort {
            folder: folder.to_owned(),
            exams,
            seed: 11,
            preset: Preset::Tiny,
            site: Site::Internal,
            paired,
            feet_first: false,
        }
    }

    /// All files below a folder with their bytes.
    fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn a_cohort_has_the_same_bytes_on_one_thread_and_on_four() {
        let write = |threads: usize| {
            let folder = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| write_cohort(&cohort(folder.path(), 2, false), || ())).unwrap();
            files(folder.path())
        };
        let (one, four) = (write(1), write(4));
        assert!(one.keys().eq(four.keys()));
        for (path, bytes) in &one {
            assert!(*bytes == four[path], "{} differs", path.display());
        }
    }

    #[test]
    fn slice_labels_match_the_emboli_and_every_positive_exam_shows_one() {
        let folder = tempfile::tempdir().unwrap();
        let cohort = cohort(folder.path(), 4, true);
        for index in 0..cohort.count() {
            let exam = Exam::draw(&cohort.recipe(index));
            let written = exam.write_with_rows(&Layout::below(folder.path())).unwrap();
            let record: &TruthRow = &written.truth;
            assert_eq!(record.pe, u8::from(index.is_multiple_of(2)));
            assert_eq!(record.positive_slices > 0, record.pe == 1);
            assert_eq!(record.clot_ml > 0.0, record.pe == 1);
            let mask = Layout::below(folder.path()).mask(&record.series_instance_uid, Mask::Emboli);
            let mask = ReaderOptions::new().read_file(mask).unwrap().into_volume().into_ndarray::<u8>().unwrap();
            for (slice, row) in written.slices.iter().enumerate() {
                let embolus = mask.index_axis(Axis(2), slice).iter().any(|&value| value > 0);
                assert!(embolus || row.pe_present_on_image == 0, "exam {index}, slice {slice}");
            }
        }
    }

    #[test]
    fn paired_exams_differ_at_the_emboli_alone() {
        let cohort = cohort(Path::new(""), 2, true);
        let [with, without] = [0, 1].map(|index| Exam::draw(&cohort.recipe(index)));
        let size = with.geometry().size;
        let masks: Vec<Vec<u8>> = with.slices().map(|slice| slice.emboli).collect();
        // The point spread and motion carry an embolus some pixels; faint shares of a voxel are not in the mask.
        let near_embolus = |slice: usize, row: usize, column: usize| {
            let rows = row.saturating_sub(6)..(row + 7).min(size[1]);
            let columns = column.saturating_sub(6)..(column + 7).min(size[0]);
            masks[slice.saturating_sub(1)..(slice + 2).min(size[2])]
                .iter()
                .any(|mask| rows.clone().any(|row| columns.clone().any(|column| mask[row * size[0] + column] > 0)))
        };
        let mut changed = 0;
        for slice in 0..size[2] {
            let (with, without) = (with.slice(slice), without.slice(slice));
            assert_eq!(with.lungs, without.lungs);
            for index in (0..with.stored.len()).filter(|&index| with.stored[index] != without.stored[index]) {
                let (row, column) = (index / size[0], index % size[0]);
                assert!(near_embolus(slice, row, column), "slice {slice}, row {row}, column {column}");
                changed += 1;
            }
        }
        assert!(changed > 0);
    }

    #[test]
    fn every_positive_exam_of_tiny_slices_shows_an_embolus() {
        for site in [Site::Internal, Site::External] {
            for index in 0..12 {
                let exam = Exam::draw(&Recipe { site, pe: Some(true), ..Recipe::new(Preset::Tiny, 4, index) });
                let size = exam.geometry().size;
                assert!(size[..2] == [128, 128] && (40..=60).contains(&size[2]), "{size:?}");
                assert!(exam.slices().any(|slice| slice.shows_emboli), "exam {index}, {site:?}");
                assert!(exam.slice(0).lungs.iter().all(|&label| label == 0), "exam {index}, {site:?}");
            }
        }
    }

    #[test]
    fn another_site_has_other_patients_and_scanners() {
        let folder = tempfile::tempdir().unwrap();
        let write = |site: Site| {
            let recipe = Recipe { site, ..Recipe::new(Preset::Tiny, 9, 0) };
            Exam::draw(&recipe).write(&Layout::below(folder.path())).unwrap()
        };
        let [internal, external] = [Site::Internal, Site::External].map(write);
        assert_eq!([internal.site, external.site], ["internal", "external"]);
        assert_ne!(internal.patient_id, external.patient_id);
        assert_ne!(internal.study_instance_uid, external.study_instance_uid);
        assert_ne!(internal.scanner, external.scanner);
        assert_ne!(internal.kernel, external.kernel);
    }

    #[test]
    fn the_slice_table_has_all_columns_of_rspect() {
        let folder = tempfile::tempdir().unwrap();
        let summary = write_cohort(&cohort(folder.path(), 1, false), || ()).unwrap();
        let mut table = csv::Reader::from_path(folder.path().join("train.csv")).unwrap();
        let expected = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe,\
                        qa_motion,qa_contrast,flow_artifact,rv_lv_ratio_gte_1,rv_lv_ratio_lt_1,leftsided_pe,\
                        chronic_pe,true_filling_defect_not_pe,rightsided_pe,acute_and_chronic_pe,central_pe,\
                        indeterminate";
        assert_eq!(table.headers().unwrap().iter().collect::<Vec<_>>().join(","), expected);
        let rows = table.records().map(|row| row.unwrap());
        let count = rows
            .filter(|row| {
                folder.path().join("train").join(&row[0]).join(&row[1]).join(format!("{}.dcm", &row[2])).exists()
            })
            .count();
        assert_eq!(count, summary.slices);
    }

    #[test]
    fn dciodvfy_finds_no_error_in_the_images() {
        let folder = tempfile::tempdir().unwrap();
        // Exams of both sites, with all their ways of storing pixels, and of two presets.
        let of = |site: Site| (0..8).map(move |index| Recipe { site, ..Recipe::new(Preset::Light, 11, index) });
        for recipe in of(Site::Internal).chain(of(Site::External)).chain([Recipe::new(Preset::Clinical, 11, 0)]) {
            Exam::draw(&recipe).write_slice(&Layout::below(folder.path()), 40).unwrap();
        }
        for path in files(&folder.path().join("train")).keys() {
            let Ok(output) = Command::new("dciodvfy").arg(folder.path().join("train").join(path)).output() else {
                return crate::testing::skip("dciodvfy");
            };
            let report = String::from_utf8_lossy(&output.stderr).into_owned();
            // Debian's dciodvfy is older than Synthetic Data (0008,001C), which the standard has since 2023.
            let errors: Vec<&str> =
                report.lines().filter(|line| line.starts_with("Error") && !line.contains("(0x0008,0x001c)")).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }
}

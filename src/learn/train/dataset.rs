//! Prepared exams on disk, read slice by slice: a step reads only the slices that it draws.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::TrainError;
use super::volumes::{self, PreparedExam};

/// Prepared exams of one split.
#[derive(Debug, Clone)]
pub(crate) struct Dataset {
    folder: PathBuf,
    size: [usize; 2],
    neighbours: usize,
    pub(crate) exams: Vec<PreparedExam>,
}

impl Dataset {
    pub(crate) fn new(folder: PathBuf, size: [usize; 2], neighbours: usize, exams: Vec<PreparedExam>) -> Self {
        Self { folder, size, neighbours, exams }
    }

    /// Rows and columns of a prepared slice.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Channels of a network's input.
    pub(crate) fn channels(&self) -> usize {
        2 * self.neighbours + 1
    }

    /// Reads the given slices of an exam, as they were prepared.
    pub(crate) fn images(&self, exam: usize, slices: &[usize]) -> Result<Vec<Vec<f32>>, TrainError> {
        let path = volumes::images_path(&self.folder, &self.exams[exam].series);
        let file = File::open(&path).map_err(TrainError::file("opening", &path))?;
        let pixels = self.size[0] * self.size[1];
        slices
            .iter()
            .map(|slice| {
                let mut image = vec![0.0_f32; pixels];
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut image);
                let offset = (slice * bytes.len()) as u64;
                file.read_exact_at(bytes, offset).map_err(TrainError::file("reading", &path))?;
                Ok(image)
            })
            .collect()
    }

    /// Reads an exam's targets: one byte a slice (embolism).
    pub(crate) fn targets(&self, exam: usize) -> Result<Vec<u8>, TrainError> {
        let path = volumes::targets_path(&self.folder, &self.exams[exam].series);
        std::fs::read(&path).map_err(TrainError::file("reading", &path))
    }

    /// Reads the lung masks of the given slices of an exam.
    pub(crate) fn masks(&self, exam: usize, slices: &[usize]) -> Result<Vec<Vec<u8>>, TrainError> {
        self.bytes(&volumes::targets_path(&self.folder, &self.exams[exam].series), slices)
    }

    /// Reads the embolus masks of the given slices of an exam; `None` where nobody drew them.
    pub(crate) fn emboli(&self, exam: usize, slices: &[usize]) -> Result<Option<Vec<Vec<u8>>>, TrainError> {
        let path = volumes::emboli_path(&self.folder, &self.exams[exam].series);
        if !self.exams[exam].embolism {
            return Ok(Some(vec![vec![0; self.size[0] * self.size[1]]; slices.len()]));
        }
        if path.is_file() { self.bytes(&path, slices).map(Some) } else { Ok(None) }
    }

    fn bytes(&self, path: &Path, slices: &[usize]) -> Result<Vec<Vec<u8>>, TrainError> {
        let file = File::open(path).map_err(TrainError::file("opening", path))?;
        let pixels = self.size[0] * self.size[1];
        slices
            .iter()
            .map(|slice| {
                let mut mask = vec![0_u8; pixels];
                file.read_exact_at(&mut mask, (slice * pixels) as u64).map_err(TrainError::file("reading", path))?;
                Ok(mask)
            })
            .collect()
    }

    /// The network's input for the given slices of an exam, `[n, C, H, W]` row by row: each slice with its neighbours
    /// as channels, as [`crate::engine::volume::preparation::Preparer::batch`] lays them. `vary` sees every image once.
    pub(crate) fn batch(
        &self,
        exam: usize,
        slices: &[usize],
        mut vary: impl FnMut(Vec<f32>) -> Vec<f32>,
    ) -> Result<Vec<f32>, TrainError> {
        let last = self.exams[exam].slices - 1;
        let channel = |slice: usize, channel: usize| (slice + channel).saturating_sub(self.neighbours).min(last);
        let mut wanted: Vec<usize> =
            slices.iter().flat_map(|slice| (0..self.channels()).map(|index| channel(*slice, index))).collect();
        let order = wanted.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let images: Vec<Vec<f32>> = self.images(exam, &wanted)?.into_iter().map(&mut vary).collect();
        let mut batch = Vec::with_capacity(order.len() * self.size[0] * self.size[1]);
        for slice in order {
            let place = wanted.binary_search(&slice).unwrap_or_default();
            batch.extend_from_slice(&images[place]);
        }
        Ok(batch)
    }
}

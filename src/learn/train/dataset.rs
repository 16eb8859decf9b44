//! Prepared exams on disk, read slice by slice: a step reads only the slices that it draws.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use half::f16;
use ndarray::Array4;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::{Negatives, PixelFormat, Supervision, TrainConfiguration};
use super::crops::{self, Prepared};
use super::labels::{Split, TargetLabels};
use super::loss::UNLABELLED;
use super::provenance::Provenance;
use super::stage::Made;
use super::{slices, supervision};
use crate::engine::volume::preparation::Preparation;

/// A prepared exam with what a fit uses of it; one row of `prepared.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreparedExam {
    /// Study Instance UID.
    pub(crate) study: String,
    /// Series Instance UID; the images lie in `<series>.images`.
    pub(crate) series: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
    /// Folder of its cohort.
    pub(crate) root: String,
    /// What the exam is used for.
    pub(crate) split: Split,
    /// Embolism in the exam.
    pub(crate) embolism: bool,
    /// Labels of the exam as a whole.
    pub(crate) targets: TargetLabels,
    /// Prepared slices.
    pub(crate) slices: usize,
    /// Source slices whose label in the table is used.
    pub(crate) labelled_source_slices: usize,
    /// Prepared slices of which it is known whether they show an embolus.
    pub(crate) labelled_slices: usize,
    /// Prepared slices with embolism.
    pub(crate) positive_slices: usize,
    /// The images are marked as synthetic: SyntheticData (0008,001C) is YES.
    pub(crate) synthetic: bool,
    /// Emboli were put into an exam without: it is an augmentation and no further exam.
    #[serde(default)]
    pub(crate) inserted: bool,
    /// Digest of what it was prepared from: files, lungs, slice labels. Other sources give another exam.
    pub(crate) sources_sha256: String,
    /// Label of each prepared slice: 1, 0, or [`UNLABELLED`].
    #[serde(skip)]
    pub(crate) slice_labels: Vec<u8>,
}

/// What decides which slice labels of an exam are used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// What the exam is used for.
    pub(crate) split: Split,
    /// Whether the exam is one of those whose slice labels are used.
    pub(crate) slice_labels: bool,
    /// Shares of the labels that are used.
    pub(crate) supervision: Supervision,
    /// Seed of the draw.
    pub(crate) seed: u64,
}

/// What a prepared exam is made from.
#[derive(Serialize)]
struct ExamSources<'a> {
    /// Digest of what the crop was made from.
    crop: &'a str,
    slice_labels: &'a [u8],
}

impl PreparedExam {
    /// Maps the labels of source slices that are used (from the folder of the step `slices`) to the prepared slices of
    /// an exam.
    pub(crate) fn new(prepared: &Made<Prepared>, labels: &Path, usage: Use) -> Result<Self, TrainError> {
        let (exam, value) = (&prepared.exam, &prepared.value);
        let mut source = slices::labels(labels, &exam.series)?;
        if !usage.slice_labels {
            source.fill(None);
        } else if usage.split != Split::Test {
            source = supervision::used_slice_labels(&exam.series, source, usage.supervision, usage.seed);
        }
        let labelled_source_slices = source.iter().flatten().count();
        if usage.supervision.negatives == Negatives::Free && !exam.embolism() {
            source.fill(Some(false));
        }
        let unlabelled = Self {
            study: exam.study.clone(),
            series: exam.series.clone(),
            patient: exam.patient.clone(),
            root: exam.root.clone(),
            split: usage.split,
            embolism: exam.embolism(),
            targets: exam.targets,
            slices: value.slices,
            labelled_source_slices,
            labelled_slices: 0,
            positive_slices: 0,
            synthetic: value.synthetic,
            inserted: false,
            sources_sha256: String::new(),
            slice_labels: Vec::new(),
        };
        Ok(unlabelled.labelled(prepared, &source))
    }

    /// The same with labels of its source slices, `None` for those that are unlabelled.
    fn labelled(self, prepared: &Made<Prepared>, source: &[Option<bool>]) -> Self {
        let slice_labels = on_prepared(source, &prepared.value);
        let count = |wanted: fn(u8) -> bool| slice_labels.iter().filter(|label| wanted(**label)).count();
        let sources = ExamSources { crop: &prepared.sources_sha256, slice_labels: &slice_labels };
        Self {
            labelled_slices: count(|label| label != UNLABELLED),
            positive_slices: count(|label| label == 1),
            sources_sha256: Provenance { made: "prepared exam", version: 1, sources }.sha256(),
            slice_labels,
            ..self
        }
    }

    /// The exams that were made of this one by putting emboli into it.
    pub(crate) fn with_emboli<'a>(&'a self, prepared: &'a Made<Prepared>) -> impl Iterator<Item = Self> + 'a {
        prepared.value.inserted.iter().enumerate().map(|(number, inserted)| {
            let known: Vec<Option<bool>> = inserted.slice_labels.iter().copied().map(Some).collect();
            let inserted = Self {
                series: crops::inserted_name(&self.series, number),
                embolism: true,
                targets: TargetLabels::of_embolism(true),
                labelled_source_slices: 0,
                inserted: true,
                ..self.clone()
            };
            inserted.labelled(prepared, &known)
        })
    }

    /// Whether slices that show an embolus are known, so that these can stand for an exam with embolism.
    pub(crate) fn shows_emboli(&self) -> bool {
        self.positive_slices > 0
    }
}

/// Labels of source slices on prepared ones: positive if one of its source slices is, unlabelled if all of them are. A
/// slice of a negative exam is negative only where its label says so.
///
/// Where slices are thicker than the prepared step, a prepared slice may have no source slice of its own; in an exam
/// that is labelled throughout it takes the label of its two neighbours where they agree.
fn on_prepared(source: &[Option<bool>], prepared: &Prepared) -> Vec<u8> {
    let mut labels = vec![UNLABELLED; prepared.slices];
    for (label, place) in source.iter().zip(prepared.of_source_slices()) {
        if let (Some(label), Some(place)) = (label, place)
            && let Some(found) = labels.get_mut(place)
        {
            let label = u8::from(*label);
            *found = if *found == UNLABELLED { label } else { label.max(*found) };
        }
    }
    if source.iter().all(Option::is_some) {
        let known = |label: &&u8| **label != UNLABELLED;
        for place in 0..labels.len() {
            let before = labels[..place].iter().rfind(known).copied();
            let after = labels[place + 1..].iter().find(known).copied();
            if labels[place] == UNLABELLED && before == after {
                labels[place] = before.unwrap_or(UNLABELLED);
            }
        }
    }
    labels
}

/// Prepared exams of one split.
#[derive(Debug, Clone)]
pub(crate) struct Dataset {
    folder: PathBuf,
    size: [usize; 2],
    neighbours: usize,
    pixels: PixelFormat,
    pub(crate) exams: Vec<PreparedExam>,
}

impl Dataset {
    /// Exams whose images lie in `folder`, prepared as the configuration says.
    pub(crate) fn new(folder: PathBuf, configuration: &TrainConfiguration, exams: Vec<PreparedExam>) -> Self {
        let Preparation { size, neighbours, .. } = configuration.input;
        Self { folder, size, neighbours, pixels: configuration.work.pixels, exams }
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
        let path = crops::images_path(&self.folder, &self.exams[exam].series);
        match self.pixels {
            PixelFormat::F32 => self.read(&path, slices),
            PixelFormat::F16 => {
                let halves: Vec<Vec<u16>> = self.read(&path, slices)?;
                let wide = |half: u16| f16::from_bits(half).to_f32();
                Ok(halves.into_iter().map(|image| image.into_iter().map(wide).collect()).collect())
            }
        }
    }

    /// Label of each prepared slice of an exam: 1, 0, or [`UNLABELLED`].
    pub(crate) fn slice_labels(&self, exam: usize) -> &[u8] {
        &self.exams[exam].slice_labels
    }

    /// Reads the lung masks of the given slices of an exam.
    pub(crate) fn masks(&self, exam: usize, slices: &[usize]) -> Result<Vec<Vec<u8>>, TrainError> {
        self.read(&crops::classes_path(&self.folder, &self.exams[exam].series), slices)
    }

    /// Reads the embolus masks of the given slices of an exam. `None` for a slice whose label is not used: its mask would
    /// give the label away. `None`, too, for all slices of an exam with embolism that has no masks.
    pub(crate) fn emboli(&self, exam: usize, slices: &[usize]) -> Result<Vec<Option<Vec<u8>>>, TrainError> {
        let of_exam = &self.exams[exam];
        let path = crops::emboli_path(&self.folder, &of_exam.series);
        let has_masks = self.has_masks(exam);
        let mask = |slice: &usize| match of_exam.slice_labels[*slice] {
            UNLABELLED => Ok(None),
            _ if !has_masks => Ok(None),
            _ if of_exam.embolism => self.read(&path, &[*slice]).map(|masks| masks.into_iter().next()),
            _ => Ok(Some(vec![0; self.size[0] * self.size[1]])),
        };
        slices.iter().map(mask).collect()
    }

    /// Whether the masks of an exam's labelled slices are known: an exam without embolism needs no file of them.
    pub(crate) fn has_masks(&self, exam: usize) -> bool {
        let of_exam = &self.exams[exam];
        let there = || crops::emboli_path(&self.folder, &of_exam.series).is_file();
        of_exam.labelled_slices > 0 && (!of_exam.embolism || there())
    }

    /// Reads slices of a file that holds nothing but pixels.
    fn read<P: Pod>(&self, path: &Path, slices: &[usize]) -> Result<Vec<Vec<P>>, TrainError> {
        let file = File::open(path).map_err(TrainError::file("opening", path))?;
        let slice = |slice: &usize| {
            let mut pixels = vec![P::zeroed(); self.size[0] * self.size[1]];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut pixels);
            let offset = (slice * bytes.len()) as u64;
            file.read_exact_at(bytes, offset).map_err(TrainError::file("reading", path))?;
            Ok(pixels)
        };
        slices.iter().map(slice).collect()
    }

    /// The network's input for the given slices of an exam, `[n, C, H, W]` row by row: each slice with its neighbours
    /// as channels, as [`crate::engine::volume::preparation::Preparer::batch`] orders them. `vary` is applied once to
    /// every image.
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

    /// Slices of an exam `[N, C, H, W]` as for serving.
    pub(crate) fn served_batch(&self, exam: usize, slices: &[usize]) -> Result<Array4<f32>, TrainError> {
        let [rows, columns] = self.size;
        let values = self.batch(exam, slices, |image| image)?;
        Array4::from_shape_vec((slices.len(), self.channels(), rows, columns), values)
            .map_err(|error| TrainError::Export(error.to_string()))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A training exam of twenty slices, some of them labelled.
    pub(crate) fn prepared_exam(index: usize, embolism: bool, labelled_slices: usize) -> PreparedExam {
        let targets = TargetLabels::of_embolism(embolism);
        PreparedExam {
            study: format!("1.{index}"),
            series: format!("2.{index}"),
            patient: format!("3.{index}"),
            root: String::new(),
            split: Split::Train,
            embolism,
            targets,
            slices: 20,
            labelled_source_slices: labelled_slices,
            labelled_slices,
            positive_slices: if embolism { labelled_slices } else { 0 },
            synthetic: true,
            inserted: false,
            sources_sha256: String::new(),
            slice_labels: vec![UNLABELLED; 20],
        }
    }
}

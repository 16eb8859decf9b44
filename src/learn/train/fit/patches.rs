//! Fitting the encoder to patches, where the cohort has masks of the emboli.
//!
//! An embolus of a few millimetres is a few cells of a slice of thousands. A patch around it holds the same information
//! at a fraction of the arithmetic, and every embolus counts the same however large it is. The encoder is fully
//! convolutional, so the same weights then read whole slices.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::draw;
use super::embolism::{EmbolismTask, touched};
use super::task::{Task, fork, require_numbers};
use crate::learn::train::TrainError;
use crate::learn::train::augmentation::{Variation, Window};
use crate::learn::train::configuration::{CELL, Fit};
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::loss::{self, Terms, UNLABELLED};
use crate::learn::train::network::EmbolismNetwork;

/// Passes over the training exams in an epoch: patches are cheap compared with the validation that ends it.
const PASSES: usize = 8;
/// Patches drawn of an exam in a step: around an embolus where there is one, and anywhere.
const OF_EXAM: usize = 2;

/// What a fit to patches needs: the same exams, targets and validation as the fit to slices, and which of the exams
/// have masks. Of others no patch says anything.
pub(crate) struct PatchTask<'a> {
    whole: &'a EmbolismTask<'a>,
    /// Their places among the training exams.
    with_masks: Vec<usize>,
}

/// Patches and the cells of the attribution map that an embolus touches, row by row.
pub(crate) struct PatchBatch {
    images: Vec<f32>,
    cells: Vec<u8>,
    patches: usize,
}

impl<'a> PatchTask<'a> {
    pub(crate) fn new(whole: &'a EmbolismTask<'a>) -> Self {
        let with_masks = (0..whole.training.exams.len()).filter(|exam| whole.training.has_masks(*exam)).collect();
        Self { whole, with_masks }
    }

    fn settings(&self) -> &Fit {
        &self.whole.configuration.fit
    }

    /// One patch, around an embolus if `around` is set and the exam has one: image and cells.
    fn patch(&self, exam: usize, around: bool, random: &mut ChaCha8Rng) -> Result<(Vec<f32>, Vec<u8>), TrainError> {
        let (data, side) = (self.whole.training, self.settings().patch_size);
        let targets = data.slice_labels(exam);
        let size = data.size();
        let variation = Variation::draw(
            random,
            &self.whole.configuration.augmentation,
            size,
            self.whole.configuration.input.spacing_mm,
        );
        let positives: Vec<usize> = (0..targets.len()).filter(|slice| targets[*slice] == 1).collect();
        let slice = match positives.choose(random) {
            Some(slice) if around => *slice,
            _ => random.random_range(0..targets.len()),
        };
        let mask = data.emboli(exam, &[slice])?.pop().flatten().map(|mask| variation.mask(&mask, size));
        let marked: Vec<usize> =
            mask.iter().flatten().enumerate().filter(|(_, pixel)| **pixel > 0).map(|(at, _)| at).collect();
        let origin = match marked.choose(random) {
            Some(place) if around => {
                [near(place / size[1], side, size[0], random), near(place % size[1], side, size[1], random)]
            }
            _ => size.map(|length| random.random_range(0..=length - side)),
        };
        let window = Window { origin, size: [side, side] };
        let image = data.batch(exam, &[slice], |image| variation.window(&image, size, window, random))?;
        require_numbers(&image, &data.exams[exam].series)?;
        let cells = match mask {
            Some(mask) => touched(&window.cut(&mask, size), window.size),
            None => vec![UNLABELLED; side * side / (CELL * CELL)],
        };
        Ok((image, cells))
    }
}

/// The start of a patch that holds a place, not always at its centre.
fn near(place: usize, side: usize, length: usize, random: &mut ChaCha8Rng) -> usize {
    let margin = side / 8;
    place.saturating_sub(random.random_range(margin..side - margin)).min(length - side)
}

impl Task for PatchTask<'_> {
    type Network = EmbolismNetwork;
    type Batch = PatchBatch;

    fn network(&self, device: &Device) -> EmbolismNetwork {
        self.whole.network(device)
    }

    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let exams: Vec<PreparedExam> =
            self.with_masks.iter().map(|exam| self.whole.training.exams[*exam].clone()).collect();
        let order: Vec<usize> = (0..PASSES)
            .flat_map(|_| draw::exams(&exams, self.settings(), random))
            .map(|drawn| self.with_masks[drawn])
            .collect();
        order.chunks(self.settings().patches_per_step.div_ceil(OF_EXAM)).map(<[usize]>::to_vec).collect()
    }

    fn load(&self, exams: &[usize], random: &mut ChaCha8Rng) -> Result<PatchBatch, TrainError> {
        let wanted: Vec<(usize, bool, ChaCha8Rng)> = exams
            .iter()
            .flat_map(|exam| (0..OF_EXAM).map(|patch| (*exam, patch == 0)))
            .map(|(exam, around)| (exam, around, fork(random)))
            .collect();
        let patches: Result<Vec<(Vec<f32>, Vec<u8>)>, TrainError> =
            wanted.into_par_iter().map(|(exam, around, mut random)| self.patch(exam, around, &mut random)).collect();
        let (images, cells): (Vec<Vec<f32>>, Vec<Vec<u8>>) = patches?.into_iter().unzip();
        Ok(PatchBatch { patches: cells.len(), images: images.concat(), cells: cells.concat() })
    }

    fn slices(&self, batch: &PatchBatch) -> usize {
        batch.patches
    }

    fn loss(&self, network: &EmbolismNetwork, batch: PatchBatch, device: &Device) -> Terms {
        let side = self.settings().patch_size;
        let shape = [batch.patches, self.whole.training.channels(), side, side];
        let images = Tensor::<4>::from_data(TensorData::new(batch.images, shape), device);
        let encoded = network.encoder.forward(images);
        let evidence = encoded.evidence.reshape([batch.cells.len()]);
        let logits = encoded.features.narrow(1, 0, 1).reshape([batch.patches]);
        let each = batch.cells.len() / batch.patches;
        let labels: Vec<u8> = batch.cells.chunks(each).map(label).collect();
        let of_cells = loss::evidence(evidence, &batch.cells, each);
        Terms::new([
            ("slice", loss::labelled(logits, &labels, self.settings().slice_weight)),
            ("mask", of_cells.map(|term| term.mul_scalar(self.settings().mask_weight))),
        ])
    }

    fn validate(&self, network: &EmbolismNetwork, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        self.whole.validate(network, device)
    }
}

/// Whether a patch shows an embolus: the largest of its cells, 0 or 1, or unlabelled.
fn label(cells: &[u8]) -> u8 {
    cells.iter().copied().max().unwrap_or(UNLABELLED)
}

/// Settings of the fit to patches.
pub(crate) fn settings(fit: &Fit) -> Fit {
    Fit {
        epochs: fit.patch_epochs,
        maximum_minutes: fit.patch_minutes,
        learning_rate: fit.patch_learning_rate,
        final_learning_rate: fit.patch_learning_rate / 20.0,
        accumulate: 1,
        patience: 0,
        ..fit.clone()
    }
}

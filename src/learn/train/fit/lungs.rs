//! Fitting the lung network to slices and their masks.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::task::{Task, begun, fork, require_numbers};
use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};
use crate::learn::train::TrainError;
use crate::learn::train::augmentation::Variation;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::Dataset;
use crate::learn::train::loss::{self, Terms};
use crate::learn::train::network::LungNetwork;

/// Slices that enter the network at once outside training.
const BATCH: usize = 16;

/// What a fit of the lung network needs.
pub(crate) struct LungTask<'a> {
    pub(crate) configuration: &'a TrainConfiguration,
    pub(crate) training: &'a Dataset,
    pub(crate) validation: &'a Dataset,
}

/// Slices and masks, row by row.
pub(crate) struct LungBatch {
    images: Vec<f32>,
    classes: Vec<u8>,
    slices: usize,
}

/// Voxels of one lung in the truth, in what was found, and in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    truth: u64,
    found: u64,
    both: u64,
}

impl Overlap {
    /// Dice coefficient; 1 if neither holds a voxel.
    pub(crate) fn dice(&self) -> f64 {
        let all = self.truth + self.found;
        if all == 0 { 1.0 } else { 2.0 * self.both as f64 / all as f64 }
    }
}

impl Task for LungTask<'_> {
    type Network = LungNetwork;
    type Batch = LungBatch;

    fn network(&self, device: &Device) -> LungNetwork {
        let drawn = LungNetwork::new(&self.configuration.lung_network, self.training.channels(), &Device::flex());
        begun(&drawn, device)
    }

    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let mut exams: Vec<usize> = (0..self.training.exams.len()).collect();
        exams.shuffle(random);
        exams.chunks(self.configuration.fit.exams_per_step).map(<[usize]>::to_vec).collect()
    }

    fn load(&self, exams: &[usize], random: &mut ChaCha8Rng) -> Result<LungBatch, TrainError> {
        let seeds: Vec<(usize, ChaCha8Rng)> = exams.iter().map(|exam| (*exam, fork(random))).collect();
        let parts: Result<Vec<(Vec<f32>, Vec<u8>)>, TrainError> = seeds
            .into_par_iter()
            .map(|(exam, mut random)| {
                let data = self.training;
                let size = data.size();
                let settings = &self.configuration.augmentation;
                let variation = Variation::draw(&mut random, settings, size, self.configuration.input.spacing_mm);
                let slices: Vec<usize> = (0..self.configuration.fit.slices_per_exam)
                    .map(|_| random.random_range(0..data.exams[exam].slices))
                    .collect();
                let images = data.batch(exam, &slices, |image| variation.image(&image, size, &mut random))?;
                require_numbers(&images, &data.exams[exam].series)?;
                let masks = data.masks(exam, &slices)?;
                let classes = masks.iter().flat_map(|mask| variation.mask(mask, size));
                Ok((images, classes.map(|class| if variation.flips() { mirrored(class) } else { class }).collect()))
            })
            .collect();
        let (images, classes): (Vec<Vec<f32>>, Vec<Vec<u8>>) = parts?.into_iter().unzip();
        let slices = exams.len() * self.configuration.fit.slices_per_exam;
        Ok(LungBatch { images: images.concat(), classes: classes.concat(), slices })
    }

    fn slices(&self, batch: &LungBatch) -> usize {
        batch.slices
    }

    fn loss(&self, network: &LungNetwork, batch: LungBatch, device: &Device) -> Terms {
        let [rows, columns] = self.training.size();
        let shape = [batch.slices, self.training.channels(), rows, columns];
        let images = Tensor::<4>::from_data(TensorData::new(batch.images, shape), device);
        let classes: Vec<i64> = batch.classes.into_iter().map(i64::from).collect();
        let classes = Tensor::<4, Int>::from_data(TensorData::new(classes, [batch.slices, 1, rows, columns]), device);
        Terms::new([("segmentation", Some(loss::segmentation(network.forward(images), classes)))])
    }

    fn validate(&self, network: &LungNetwork, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let stride = self.configuration.fit.validation_stride;
        let dice: Result<Vec<[f64; 2]>, TrainError> = (0..self.validation.exams.len())
            .map(|exam| Ok(overlaps(network, self.validation, exam, stride, device)?.map(|side| side.dice())))
            .collect();
        let dice = dice?;
        let mean = |side: usize| dice.iter().map(|exam| exam[side]).sum::<f64>() / dice.len().max(1) as f64;
        let worst = dice.iter().flatten().copied().fold(1.0, f64::min);
        Ok(vec![
            ("dice", f64::midpoint(mean(0), mean(1))),
            ("dice_left", mean(0)),
            ("dice_right", mean(1)),
            ("dice_worst", worst),
        ])
    }
}

/// The class of the mirror image: left and right change places.
fn mirrored(class: u8) -> u8 {
    match class {
        LEFT_LUNG => RIGHT_LUNG,
        RIGHT_LUNG => LEFT_LUNG,
        other => other,
    }
}

/// Overlap of left and right lung over one of `stride` prepared slices of an exam.
pub(crate) fn overlaps(
    network: &LungNetwork,
    data: &Dataset,
    exam: usize,
    stride: usize,
    device: &Device,
) -> Result<[Overlap; 2], TrainError> {
    let [rows, columns] = data.size();
    let slices: Vec<usize> = (0..data.exams[exam].slices).step_by(stride).collect();
    let mut overlaps = [Overlap::default(); 2];
    for some in slices.chunks(BATCH) {
        let images =
            TensorData::new(data.batch(exam, some, |image| image)?, [some.len(), data.channels(), rows, columns]);
        let found = network.forward(Tensor::<4>::from_data(images, device)).argmax(1);
        let found: Vec<i64> = found.into_data().iter::<i64>().collect();
        let truth = data.masks(exam, some)?.concat();
        add_overlaps(&mut overlaps, found.into_iter().map(|class| class as usize), &truth);
    }
    Ok(overlaps)
}

/// Counts pixels of classes (1 left, 2 right) that were found, those of the truth, and those of both.
pub(crate) fn add_overlaps(overlaps: &mut [Overlap; 2], found: impl Iterator<Item = usize>, truth: &[u8]) {
    for (found, truth) in found.zip(truth) {
        for (side, overlap) in overlaps.iter_mut().enumerate() {
            let (found, truth) = (found == side + 1, usize::from(*truth) == side + 1);
            overlap.found += u64::from(found);
            overlap.truth += u64::from(truth);
            overlap.both += u64::from(found && truth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_image_of_a_left_lung_is_a_right_one() {
        assert_eq!([0, LEFT_LUNG, RIGHT_LUNG].map(mirrored), [0, RIGHT_LUNG, LEFT_LUNG]);
    }
}

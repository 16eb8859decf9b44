//! Fitting encoder and head together, to runs of slices drawn from each exam.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::draw;
use super::task::{Task, begun, fork, require_numbers};
use crate::engine::models::target::Target;
use crate::learn::train::TrainError;
use crate::learn::train::augmentation::Variation;
use crate::learn::train::configuration::{CELL, TrainConfiguration};
use crate::learn::train::dataset::Dataset;
use crate::learn::train::files;
use crate::learn::train::labels::TargetLabels;
use crate::learn::train::loss::{self, ExamLabels, Terms, UNLABELLED, Weights};
use crate::learn::train::metrics::{Scored, auroc};
use crate::learn::train::network::{EmbolismNetwork, Encoded, Encoder, Head};

/// Slices that enter the encoder at once outside training.
const BATCH: usize = 16;

/// What a fit of the embolism classifier needs.
pub(crate) struct EmbolismTask<'a> {
    pub(crate) configuration: &'a TrainConfiguration,
    pub(crate) training: &'a Dataset,
    pub(crate) validation: &'a Dataset,
    /// Slice targets of each training exam.
    pub(crate) targets: Vec<Vec<u8>>,
    /// Initial weights, where there is a file of them or the encoder was trained on patches.
    pub(crate) start: Option<Start>,
}

/// Initial weights: of an earlier fit, or of a file.
pub(crate) struct Start {
    pub(crate) network: EmbolismNetwork,
    /// Digest of their file.
    pub(crate) digest: String,
}

/// Slices of some exams, the same number of each, row by row.
pub(crate) struct EmbolismBatch {
    images: Vec<f32>,
    labels: ExamLabels,
    /// Evidence cells that an embolus touches; empty where masks are not used.
    cells: Vec<u8>,
}

/// What is drawn from one exam.
struct Drawn {
    images: Vec<f32>,
    targets: Vec<u8>,
    slices: Vec<u8>,
    cells: Vec<u8>,
}

impl<'a> EmbolismTask<'a> {
    /// # Errors
    /// The file of initial weights does not fit.
    pub(crate) fn new(
        configuration: &'a TrainConfiguration,
        training: &'a Dataset,
        validation: &'a Dataset,
    ) -> Result<Self, TrainError> {
        let targets = (0..training.exams.len()).map(|exam| training.slice_labels(exam).to_vec()).collect();
        Ok(Self { configuration, training, validation, targets, start: from_file(configuration)? })
    }
}

impl EmbolismTask<'_> {
    /// Draws slices of an exam and varies them.
    fn draw(&self, exam: usize, mut random: ChaCha8Rng) -> Result<Drawn, TrainError> {
        let (data, labels) = (self.training, &self.targets[exam]);
        let (size, settings) = (data.size(), &self.configuration.augmentation);
        let variation = Variation::draw(&mut random, settings, size, self.configuration.input.spacing_mm);
        let slices = draw::slices(labels, &self.configuration.fit, &mut random);
        let images = data.batch(exam, &slices, |image| variation.image(&image, size, &mut random))?;
        require_numbers(&images, &data.exams[exam].series)?;
        Ok(Drawn {
            images,
            targets: target_labels(data.exams[exam].targets, &self.configuration.head.targets, variation.flips()),
            cells: self.cells(exam, &slices, &variation)?,
            slices: slices.iter().map(|slice| labels[*slice]).collect(),
        })
    }

    /// Evidence cells of the drawn slices that an embolus touches, where masks are used.
    fn cells(&self, exam: usize, slices: &[usize], variation: &Variation) -> Result<Vec<u8>, TrainError> {
        let size = self.training.size();
        if self.configuration.fit.mask_weight == 0.0 {
            return Ok(Vec::new());
        }
        let Some(masks) = self.training.emboli(exam, slices)? else {
            return Ok(vec![UNLABELLED; slices.len() * size[0] * size[1] / (CELL * CELL)]);
        };
        Ok(masks.iter().flat_map(|mask| touched(&variation.mask(mask, size), size)).collect())
    }
}

/// Cells of `CELL` x `CELL` pixels that hold a marked pixel.
pub(super) fn touched(mask: &[u8], [rows, columns]: [usize; 2]) -> Vec<u8> {
    let mut cells = vec![0; (rows / CELL) * (columns / CELL)];
    for (place, _) in mask.iter().enumerate().filter(|(_, pixel)| **pixel > 0) {
        cells[place / columns / CELL * (columns / CELL) + place % columns / CELL] = 1;
    }
    cells
}

impl Task for EmbolismTask<'_> {
    type Network = EmbolismNetwork;
    type Batch = EmbolismBatch;

    fn network(&self, device: &Device) -> EmbolismNetwork {
        match &self.start {
            Some(start) => begun(&start.network, device),
            None => network(self.configuration, device),
        }
    }

    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let settings = &self.configuration.fit;
        let order: Vec<usize> =
            (0..settings.passes).flat_map(|_| draw::exams(&self.training.exams, settings, random)).collect();
        order.chunks(settings.exams_per_step).map(<[usize]>::to_vec).collect()
    }

    fn load(&self, exams: &[usize], random: &mut ChaCha8Rng) -> Result<EmbolismBatch, TrainError> {
        let seeds: Vec<(usize, ChaCha8Rng)> = exams.iter().map(|exam| (*exam, fork(random))).collect();
        let drawn: Result<Vec<Drawn>, TrainError> =
            seeds.into_par_iter().map(|(exam, random)| self.draw(exam, random)).collect();
        let drawn = drawn?;
        let joined = |of: fn(&Drawn) -> &[u8]| drawn.iter().map(of).collect::<Vec<_>>().concat();
        Ok(EmbolismBatch {
            images: drawn.iter().map(|exam| exam.images.as_slice()).collect::<Vec<_>>().concat(),
            labels: ExamLabels {
                exams: drawn.len(),
                targets: joined(|exam| &exam.targets),
                slices: joined(|exam| &exam.slices),
            },
            cells: joined(|exam| &exam.cells),
        })
    }

    fn slices(&self, batch: &EmbolismBatch) -> usize {
        batch.labels.slices.len()
    }

    fn loss(&self, network: &EmbolismNetwork, batch: EmbolismBatch, device: &Device) -> Terms {
        let EmbolismBatch { images, labels, cells } = batch;
        let [rows, columns] = self.training.size();
        let shape = [labels.slices.len(), self.training.channels(), rows, columns];
        let images = Tensor::<4>::from_data(TensorData::new(images, shape), device);
        let Encoded { features, evidence } = network.encoder.forward(images);
        let each = labels.slices.len() / labels.exams;
        let (exams, slices) = (0..labels.exams)
            .map(|exam| network.head.forward(features.clone().narrow(0, exam * each, each)))
            .map(|reading| (reading.exam.unsqueeze::<2>(), reading.slices))
            .unzip();
        let fit = &self.configuration.fit;
        let weights = Weights { exam: fit.exam_weight, slice: fit.slice_weight, target: fit.target_weight };
        let of_labels = loss::embolism(Tensor::cat(exams, 0), Tensor::cat(slices, 0), &labels, weights);
        if cells.is_empty() {
            return of_labels;
        }
        let of_slice = cells.len() / labels.slices.len();
        let of_cells = loss::evidence(evidence.reshape([cells.len()]), &cells, of_slice);
        of_labels.with("mask", of_cells.map(|term| term.mul_scalar(fit.mask_weight)))
    }

    fn begun_with(&self) -> Option<&str> {
        self.start.as_ref().map(|start| start.digest.as_str())
    }

    fn validate(&self, network: &EmbolismNetwork, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let stride = self.configuration.fit.validation_stride;
        let (mut exams, mut slices) = (Vec::new(), Vec::new());
        for exam in 0..self.validation.exams.len() {
            let some: Vec<usize> = (0..self.validation.exams[exam].slices).step_by(stride).collect();
            let features = encode(&network.encoder, self.validation, exam, &some, device)?;
            let reading = network.head.forward(features);
            let positive = self.validation.exams[exam].embolism;
            exams.push(Scored { score: f64::from(reading.embolism().into_scalar::<f32>()), positive });
            let targets = self.validation.slice_labels(exam);
            slices.extend(scored_slices(reading.slices, some.iter().map(|slice| targets[*slice])));
        }
        let by_chance = 0.5;
        Ok(vec![
            ("exam_auroc", auroc(&exams).unwrap_or(by_chance)),
            ("slice_auroc", auroc(&slices).unwrap_or(by_chance)),
        ])
    }
}

/// Labels of an exam, target by target; those of its mirror image where it is flipped.
pub(super) fn target_labels(exam: TargetLabels, targets: &[Target], flipped: bool) -> Vec<u8> {
    let label = |target: Target| exam.of(if flipped { target.mirrored() } else { target });
    targets.iter().map(|target| label(*target).map_or(UNLABELLED, u8::from)).collect()
}

/// Fresh weights of encoder and head.
pub(crate) fn network(configuration: &TrainConfiguration, device: &Device) -> EmbolismNetwork {
    let channels = configuration.input.channels();
    let encoder = Encoder::new(&configuration.encoder, channels, configuration.input.size, device);
    let head = Head::new(&configuration.head, encoder.features(), device);
    EmbolismNetwork { encoder, head }
}

/// Initial weights, where the configuration names a file of them.
fn from_file(configuration: &TrainConfiguration) -> Result<Option<Start>, TrainError> {
    let path = &configuration.encoder.weights;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let device = Device::flex();
    device.seed(configuration.fit.seed);
    let mut network = network(configuration, &device);
    network.encoder.load(configuration.input.channels(), path)?;
    let bytes = std::fs::read(path).map_err(TrainError::file("reading", path))?;
    Ok(Some(Start { network, digest: files::digest(&bytes) }))
}

/// Logits of the slices that carry a label, with their labels.
pub(crate) fn scored_slices(logits: Tensor<1>, targets: impl Iterator<Item = u8>) -> Vec<Scored> {
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    logits
        .into_iter()
        .zip(targets)
        .filter(|(_, target)| *target != UNLABELLED)
        .map(|(logit, target)| Scored { score: f64::from(logit), positive: target == 1 })
        .collect()
}

/// Features `[n, F]` of some slices of an exam, without gradients.
pub(crate) fn encode(
    encoder: &Encoder,
    data: &Dataset,
    exam: usize,
    slices: &[usize],
    device: &Device,
) -> Result<Tensor<2>, TrainError> {
    let [rows, columns] = data.size();
    let features: Result<Vec<Tensor<2>>, TrainError> = slices
        .chunks(BATCH)
        .map(|some| {
            let shape = [some.len(), data.channels(), rows, columns];
            let images = TensorData::new(data.batch(exam, some, |image| image)?, shape);
            Ok(encoder.forward(Tensor::<4>::from_data(images, device)).features)
        })
        .collect();
    Ok(Tensor::cat(features?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_touched_by_any_of_its_pixels() {
        let mut mask = vec![0; 4 * 6];
        mask[6 + 5] = 1;
        mask[2 * 6] = 1;
        assert_eq!(touched(&mask, [4, 6]), [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn a_flip_exchanges_the_sides_of_the_targets() {
        let known =
            TargetLabels::of_embolism(true).with(Target::LeftSidedPe, Some(true)).with(Target::CentralPe, Some(false));
        let targets = [Target::PulmonaryEmbolism, Target::LeftSidedPe, Target::RightSidedPe, Target::CentralPe];
        assert_eq!(target_labels(known, &targets, false), [1, 1, UNLABELLED, 0]);
        assert_eq!(target_labels(known, &targets, true), [1, UNLABELLED, 1, 0]);
    }
}

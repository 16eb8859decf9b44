//! Fitting encoder and head together, to bags of slices of each exam.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::bags::{Bag, Bags};
use super::draw;
use super::reading_ahead::ahead;
use super::task::{Task, begun, fork, require_numbers};
use crate::engine::models::target::Target;
use crate::learn::train::TrainError;
use crate::learn::train::augmentation::Variation;
use crate::learn::train::configuration::{CELL, Fit, TrainConfiguration};
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::files;
use crate::learn::train::labels::TargetLabels;
use crate::learn::train::loss::{self, ExamLabels, Terms, UNLABELLED, Weights};
use crate::learn::train::metrics::{Scored, auroc};
use crate::learn::train::network::{EmbolismNetwork, Encoded, Encoder, ExamReading, Head};

/// Slices that enter the encoder at once outside training.
const BATCH: usize = 16;
/// Batches of them that are read ahead.
const AHEAD: usize = 4;

/// What a fit of the embolism classifier needs.
pub(crate) struct EmbolismTask<'a> {
    pub(crate) configuration: &'a TrainConfiguration,
    pub(crate) training: &'a Dataset,
    pub(crate) validation: &'a Dataset,
    bags: Bags<'a>,
    /// Initial weights, where there is a file of them or the encoder was trained on patches.
    pub(crate) start: Option<Start>,
}

/// Initial weights: of an earlier fit, or of a file.
pub(crate) struct Start {
    pub(crate) network: EmbolismNetwork,
    /// Digest of their file.
    pub(crate) digest: String,
}

/// The bags of some exams, slice by slice.
pub(crate) struct EmbolismBatch {
    images: Vec<f32>,
    /// Of each exam, and of each slice of its bag.
    labels: Vec<ExamLabels>,
    /// Evidence cells that an embolus touches; empty where masks are not used.
    cells: Vec<u8>,
}

/// What is drawn from one exam.
struct Drawn {
    images: Vec<f32>,
    labels: ExamLabels,
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
        let bags = Bags::new(&training.exams, &configuration.fit);
        Ok(Self { configuration, training, validation, bags, start: from_file(configuration)? })
    }
}

impl EmbolismTask<'_> {
    /// Draws the bag of an exam and varies its slices.
    fn draw(&self, exam: usize, mut random: ChaCha8Rng) -> Result<Drawn, TrainError> {
        let (data, of_exam) = (self.training, &self.training.exams[exam]);
        let (size, settings) = (data.size(), &self.configuration.augmentation);
        let variation = Variation::draw(&mut random, settings, size, self.configuration.input.spacing_mm);
        let Bag { slices, label, by_exam_label } = self.bags.draw(of_exam, &mut random);
        let images = data.batch(exam, &slices, |image| variation.image(&image, size, &mut random))?;
        require_numbers(&images, &of_exam.series)?;
        let mut targets = target_labels(of_exam.targets, &self.configuration.head.targets, variation.flips());
        targets[0] = label;
        let of_slices = slices.iter().map(|slice| of_exam.slice_labels[*slice]).collect();
        let labels = ExamLabels { targets, slices: of_slices, by_exam_label };
        Ok(Drawn { images, labels, cells: self.cells(exam, &slices, &variation)? })
    }

    /// Evidence cells of the drawn slices that an embolus touches, where masks are used.
    fn cells(&self, exam: usize, slices: &[usize], variation: &Variation) -> Result<Vec<u8>, TrainError> {
        let size = self.training.size();
        if self.configuration.fit.mask_weight == 0.0 {
            return Ok(Vec::new());
        }
        let unknown = || vec![UNLABELLED; size[0] * size[1] / (CELL * CELL)];
        let known = |mask: Vec<u8>| touched(&variation.mask(&mask, size), size);
        let masks = self.training.emboli(exam, slices)?;
        Ok(masks.into_iter().flat_map(|mask| mask.map_or_else(unknown, known)).collect())
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
            // Drawn on the CPU: a fit begins with the same weights on every device.
            None => begun(&network(self.configuration, &Device::flex()), device),
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
        Ok(EmbolismBatch {
            images: drawn.iter().map(|exam| exam.images.as_slice()).collect::<Vec<_>>().concat(),
            cells: drawn.iter().map(|exam| exam.cells.as_slice()).collect::<Vec<_>>().concat(),
            labels: drawn.into_iter().map(|exam| exam.labels).collect(),
        })
    }

    fn slices(&self, batch: &EmbolismBatch) -> usize {
        batch.labels.iter().map(|exam| exam.slices.len()).sum()
    }

    fn loss(&self, network: &EmbolismNetwork, batch: EmbolismBatch, device: &Device) -> Terms {
        let all = self.slices(&batch);
        let EmbolismBatch { images, labels, cells } = batch;
        let [rows, columns] = self.training.size();
        let shape = [all, self.training.channels(), rows, columns];
        let images = Tensor::<4>::from_data(TensorData::new(images, shape), device);
        let Encoded { features, evidence } = network.encoder.forward(images);
        let mut first = 0;
        let (exams, slices) = labels
            .iter()
            .map(|exam| {
                let of_exam = features.clone().narrow(0, first, exam.slices.len());
                first += exam.slices.len();
                let reading = network.head.forward(of_exam);
                (reading.exam.unsqueeze::<2>(), reading.slices)
            })
            .unzip();
        let fit = &self.configuration.fit;
        let of_labels = loss::embolism(Tensor::cat(exams, 0), Tensor::cat(slices, 0), &labels, weights(fit));
        if cells.is_empty() {
            return of_labels;
        }
        let of_cells = loss::evidence(evidence.reshape([cells.len()]), &cells, cells.len() / all);
        of_labels.with("mask", of_cells.map(|term| term.mul_scalar(fit.mask_weight)))
    }

    fn begun_with(&self) -> Option<&str> {
        self.start.as_ref().map(|start| start.digest.as_str())
    }

    fn validate(&self, network: &EmbolismNetwork, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let (stride, data) = (self.configuration.fit.validation_stride, self.validation);
        let some = |exam: usize| Stack { exam, slices: (0..data.exams[exam].slices).step_by(stride).collect() };
        let stacks: Vec<Stack> = (0..data.exams.len()).map(some).collect();
        let mut read = Validated::default();
        encode(&network.encoder, data, &stacks, device, |stack, features| {
            let of_exam = &data.exams[stack.exam];
            read.add(of_exam, stack, network.head.forward(features), &self.configuration.head.targets);
        })?;
        Ok(read.metrics(weights(&self.configuration.fit)))
    }
}

/// What the network gave for validation exams.
#[derive(Default)]
struct Validated {
    exams: Vec<Scored>,
    slices: Vec<Scored>,
    exam_logits: Vec<Tensor<2>>,
    slice_logits: Vec<Tensor<1>>,
    labels: Vec<ExamLabels>,
}

impl Validated {
    fn add(&mut self, exam: &PreparedExam, stack: &Stack, reading: ExamReading, targets: &[Target]) {
        let of_slices: Vec<u8> = stack.slices.iter().map(|slice| exam.slice_labels[*slice]).collect();
        let logit = reading.embolism().into_scalar::<f32>();
        self.exams.push(Scored { score: f64::from(logit), positive: exam.embolism });
        self.slices.extend(scored_slices(reading.slices.clone(), of_slices.iter().copied()));
        self.exam_logits.push(reading.exam.unsqueeze());
        self.slice_logits.push(reading.slices);
        let targets = target_labels(exam.targets, targets, false);
        self.labels.push(ExamLabels { targets, slices: of_slices, by_exam_label: false });
    }

    /// The loss is that of training, of stacks that are seen whole but for the stride.
    fn metrics(self, weights: Weights) -> Vec<(&'static str, f64)> {
        let by_chance = 0.5;
        let mut metrics = vec![
            ("exam_auroc", auroc(&self.exams).unwrap_or(by_chance)),
            ("slice_auroc", auroc(&self.slices).unwrap_or(by_chance)),
        ];
        if !self.labels.is_empty() {
            let (exams, slices) = (Tensor::cat(self.exam_logits, 0), Tensor::cat(self.slice_logits, 0));
            let terms = loss::embolism(exams, slices, &self.labels, weights);
            metrics.push(("validation_loss", terms.values().iter().map(|(_, term)| term).sum()));
        }
        metrics
    }
}

fn weights(fit: &Fit) -> Weights {
    Weights { exam: fit.exam_weight, slice: fit.slice_weight, target: fit.target_weight }
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

/// Slices of an exam that are read together.
pub(crate) struct Stack {
    pub(crate) exam: usize,
    pub(crate) slices: Vec<usize>,
}

/// Gives the features `[n, F]` of every stack to `read`, without gradients. Slices are read ahead.
pub(crate) fn encode<R>(
    encoder: &Encoder,
    data: &Dataset,
    stacks: &[Stack],
    device: &Device,
    mut read: impl FnMut(&Stack, Tensor<2>) -> R,
) -> Result<Vec<R>, TrainError> {
    let [rows, columns] = data.size();
    std::thread::scope(|scope| {
        let parts = stacks.iter().flat_map(|stack| stack.slices.chunks(BATCH).map(|some| (stack.exam, some)));
        let images = parts.map(move |(exam, some)| {
            let shape = [some.len(), data.channels(), rows, columns];
            data.batch(exam, some, |image| image).map(|pixels| TensorData::new(pixels, shape))
        });
        let loaded = ahead(scope, AHEAD, images);
        let features = |images| Ok(encoder.forward(Tensor::<4>::from_data(images?, device)).features);
        let encoded = |stack: &Stack| -> Result<R, TrainError> {
            // The thread sends every part of every stack, or an error and nothing more.
            let parts = loaded.iter().take(stack.slices.len().div_ceil(BATCH)).map(features);
            let parts: Vec<Tensor<2>> = parts.collect::<Result<_, TrainError>>()?;
            Ok(read(stack, Tensor::cat(parts, 0)))
        };
        stacks.iter().map(encoded).collect()
    })
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

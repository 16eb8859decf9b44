//! Fitting the exam head alone to whole stacks, which is how it reads exams when serving.
//!
//! The encoder is trained on a few slices per step; the head's attention and context depend on the number of slices and
//! their distance. So it is fitted once more on the encoder's features of all slices.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;

use super::draw;
use super::embolism::{Stack, encode, target_labels};
use super::task::{Task, begun, random_at};
use crate::learn::train::TrainError;
use crate::learn::train::configuration::{Fit, TrainConfiguration};
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::loss::{self, ExamLabels, Terms, Weights};
use crate::learn::train::metrics::{Scored, auroc};
use crate::learn::train::network::{EmbolismNetwork, Head};
use crate::learn::train::progress;

/// Exams in one step.
const OF_STEP: usize = 16;

/// Features of whole exams.
pub(crate) struct HeadTask {
    start: Head,
    /// Digest of the network that it is a part of.
    network_digest: String,
    weights: Weights,
    /// How training exams are drawn.
    drawing: Fit,
    exams: Vec<PreparedExam>,
    training: Vec<ExamFeatures>,
    validation: Vec<ExamFeatures>,
}

/// Features `[D, F]` of an exam, row by row.
#[derive(Clone)]
pub(crate) struct ExamFeatures {
    values: Vec<f32>,
    slices: usize,
    positive: bool,
    targets: Vec<u8>,
}

impl HeadTask {
    /// Encodes validation exams, and as many training exams as the configuration asks for, with the network of this
    /// digest.
    pub(crate) fn new(
        configuration: &TrainConfiguration,
        (network, network_digest): (&EmbolismNetwork, &str),
        [training, validation]: [&Dataset; 2],
        device: &Device,
    ) -> Result<Self, TrainError> {
        // The head is trained on exam labels: which exams have slice labels does not matter.
        let drawing = Fit { labelled_share: 0.0, ..configuration.fit.clone() };
        let chosen = chosen(&training.exams, &drawing);
        let all: Vec<usize> = (0..validation.exams.len()).collect();
        let encoder = network.encoder.clone().folded();
        let bar = progress::bar((chosen.len() + all.len()) as u64, "features");
        let encoded = |data: &Dataset, exams: &[usize]| -> Result<Vec<ExamFeatures>, TrainError> {
            let whole = |exam: &usize| Stack { exam: *exam, slices: (0..data.exams[*exam].slices).collect() };
            let stacks: Vec<Stack> = exams.iter().map(whole).collect();
            encode(&encoder, data, &stacks, device, |stack, features| {
                bar.inc(1);
                let exam = &data.exams[stack.exam];
                let targets = target_labels(exam.targets, &configuration.head.targets, false);
                let values = features.into_data().iter::<f32>().collect();
                ExamFeatures { values, slices: stack.slices.len(), positive: exam.embolism, targets }
            })
        };
        let exams = chosen.iter().map(|exam| training.exams[*exam].clone()).collect();
        let (training, validation) = (encoded(training, &chosen)?, encoded(validation, &all)?);
        bar.finish_and_clear();
        let weights = Weights { exam: 1.0, slice: 0.0, target: configuration.fit.target_weight };
        Ok(Self {
            start: network.head.clone(),
            network_digest: network_digest.to_owned(),
            weights,
            drawing,
            exams,
            training,
            validation,
        })
    }
}

/// The training exams whose stacks are read: all of them, or as many as the settings say, in the order of the draws.
fn chosen(exams: &[PreparedExam], settings: &Fit) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let drawn = draw::exams(exams, settings, &mut random_at(settings.seed, 0, 0)).into_iter().chain(0..exams.len());
    drawn.filter(|exam| seen.insert(*exam)).take(settings.head_exams).collect()
}

fn tensor(exam: &ExamFeatures, device: &Device) -> Tensor<2> {
    let shape = [exam.slices, exam.values.len() / exam.slices];
    Tensor::from_data(TensorData::new(exam.values.clone(), shape), device)
}

impl Task for HeadTask {
    type Network = Head;
    type Batch = Vec<ExamFeatures>;

    fn network(&self, device: &Device) -> Head {
        begun(&self.start, device)
    }

    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        draw::exams(&self.exams, &self.drawing, random).chunks(OF_STEP).map(<[usize]>::to_vec).collect()
    }

    fn load(&self, exams: &[usize], _random: &mut ChaCha8Rng) -> Result<Vec<ExamFeatures>, TrainError> {
        Ok(exams.iter().map(|exam| self.training[*exam].clone()).collect())
    }

    fn slices(&self, batch: &Vec<ExamFeatures>) -> usize {
        batch.iter().map(|exam| exam.slices).sum()
    }

    fn loss(&self, head: &Head, batch: Vec<ExamFeatures>, device: &Device) -> Terms {
        let logits = batch.iter().map(|exam| head.forward(tensor(exam, device)).exam.unsqueeze::<2>()).collect();
        let label = |exam: ExamFeatures| ExamLabels { targets: exam.targets, ..ExamLabels::default() };
        let labels: Vec<ExamLabels> = batch.into_iter().map(label).collect();
        loss::embolism(Tensor::cat(logits, 0), Tensor::zeros([0], device), &labels, self.weights)
    }

    fn begun_with(&self) -> Option<&str> {
        Some(&self.network_digest)
    }

    fn begins_fitted(&self) -> bool {
        true
    }

    fn validate(&self, head: &Head, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let scored: Vec<Scored> = self
            .validation
            .iter()
            .map(|exam| {
                let logit = head.forward(tensor(exam, device)).embolism().into_scalar::<f32>();
                Scored { score: f64::from(logit), positive: exam.positive }
            })
            .collect();
        Ok(vec![("exam_auroc", auroc(&scored).unwrap_or(0.5))])
    }
}

/// Settings of the head's own fit.
pub(crate) fn settings(fit: &Fit) -> Fit {
    Fit {
        epochs: fit.head_epochs,
        learning_rate: fit.head_learning_rate,
        final_learning_rate: fit.head_learning_rate / 20.0,
        accumulate: 1,
        patience: 0,
        maximum_minutes: 0.0,
        ..fit.clone()
    }
}

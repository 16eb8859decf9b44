//! Losses that are never undefined: a term without labels is absent, not the mean of nothing.
//!
//! The loss is a mean over exams of terms that each depend on one exam alone ([`embolism`]). So it does not matter
//! which exams share a batch: the mean over batches, weighted by their exams, is the loss of them all together, however
//! a step is divided over devices or accumulated.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Int, Tensor, TensorData};

/// A slice or a target that carries no label, or a cell of an exam without mask.
pub(crate) const UNLABELLED: u8 = 255;

/// The terms of a loss with their weights: they add up to it.
pub(crate) struct Terms(Vec<(&'static str, Tensor<1>)>);

impl Terms {
    /// The terms that have labels.
    pub(crate) fn new(terms: impl IntoIterator<Item = (&'static str, Option<Tensor<1>>)>) -> Self {
        Self(terms.into_iter().filter_map(|(name, term)| Some((name, term?))).collect())
    }

    /// The same with one more term, if it has labels.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, term: Option<Tensor<1>>) -> Self {
        self.0.extend(term.map(|term| (name, term)));
        self
    }

    /// The loss, `[1]`; `None` where no label is known.
    pub(crate) fn total(&self) -> Option<Tensor<1>> {
        self.0.iter().map(|(_, term)| term.clone()).reduce(|sum, term| sum + term)
    }

    /// The terms' values.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        let value = |term: &Tensor<1>| f64::from(term.clone().inner().into_scalar::<f32>());
        self.0.iter().map(|(name, term)| (*name, value(term))).collect()
    }
}

/// Binary cross entropy of each logit against its target, 0 or 1.
fn cross_entropies(logits: Tensor<1>, targets: &[f32]) -> Tensor<1> {
    let targets = Tensor::<1>::from_data(TensorData::new(targets.to_vec(), [targets.len()]), &logits.device());
    // max(x, 0) - x t + log(1 + exp(-|x|)), which cannot overflow.
    let softplus = logits.clone().abs().neg().exp().add_scalar(1.0).log();
    relu(logits.clone()) - logits * targets + softplus
}

/// The sum of the logits' cross entropies, each with its weight; `None` where all weights are 0.
fn weighted(logits: Tensor<1>, labels: &[u8], weights: Vec<f32>) -> Option<Tensor<1>> {
    if weights.iter().all(|weight| *weight == 0.0) {
        return None;
    }
    let targets: Vec<f32> = labels.iter().map(|label| f32::from(u8::from(*label == 1))).collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [labels.len()]), &logits.device());
    Some((cross_entropies(logits, &targets) * weights).sum())
}

/// Labels of an exam in a batch: 1, 0, or [`UNLABELLED`].
#[derive(Debug, Clone, Default)]
pub(crate) struct ExamLabels {
    /// A label for each of its logits, embolism first.
    pub(crate) targets: Vec<u8>,
    /// A label for each of its slices; exams may have different numbers of them.
    pub(crate) slices: Vec<u8>,
    /// The exam's own label has the weight of the slices, too, as where no slice carries a label.
    pub(crate) by_exam_label: bool,
}

/// How much each term counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    /// Embolism in the exam.
    pub(crate) exam: f64,
    /// Embolism in its slices.
    pub(crate) slice: f64,
    /// The further targets of the exam.
    pub(crate) target: f64,
}

fn known(labels: &[u8]) -> usize {
    labels.iter().filter(|label| **label != UNLABELLED).count()
}

/// Labels of all exams with the weights that they have in the loss.
#[derive(Default)]
struct WeightedLabels {
    targets: Vec<u8>,
    target_weights: Vec<f32>,
    slices: Vec<u8>,
    slice_weights: Vec<f32>,
}

impl WeightedLabels {
    fn new(exams: &[ExamLabels], weights: Weights) -> Self {
        let mut all = Self::default();
        for exam in exams {
            all.add(exam, weights, exams.len());
        }
        all
    }

    fn add(&mut self, exam: &ExamLabels, weights: Weights, exams: usize) {
        let share = |weight: f64, count: usize| (weight / (count.max(1) * exams) as f64) as f32;
        let of_known = |label: &u8, weight: f32| if *label == UNLABELLED { 0.0 } else { weight };
        let labelled = known(&exam.slices);
        let (main, further) = exam.targets.split_at(1);
        let alone = labelled == 0 || exam.by_exam_label;
        let of_main = share(if alone { weights.exam + weights.slice } else { weights.exam }, 1);
        let of_further = share(weights.target, known(further));
        let of_slice = share(weights.slice, labelled);
        self.target_weights.extend(main.iter().map(|label| of_known(label, of_main)));
        self.target_weights.extend(further.iter().map(|label| of_known(label, of_further)));
        self.slice_weights.extend(exam.slices.iter().map(|label| of_known(label, of_slice)));
        self.targets.extend_from_slice(&exam.targets);
        self.slices.extend_from_slice(&exam.slices);
    }
}

/// The mean over exams of `exam * BCE(embolism) + slice * mean BCE(labelled slices) + target * mean BCE(known further
/// targets)` (the first two are those of Hu et al. 2025). An exam without a labelled slice puts both weights on its own
/// label, and so counts as much as another; without a known further target that term is 0.
///
/// `exams` are logits `[E, T]`, `slices` those of all slices of all exams, one after another.
pub(crate) fn embolism(exams: Tensor<2>, slices: Tensor<1>, labels: &[ExamLabels], weights: Weights) -> Terms {
    let [count, targets] = exams.dims();
    let WeightedLabels { targets: of_exams, target_weights, slices: of_slices, slice_weights } =
        WeightedLabels::new(labels, weights);
    let only = |main: bool| {
        let weight = |(place, weight): (usize, &f32)| if (place % targets == 0) == main { *weight } else { 0.0 };
        target_weights.iter().enumerate().map(weight).collect()
    };
    let exams = exams.reshape([count * targets]);
    Terms::new([
        ("exam", weighted(exams.clone(), &of_exams, only(true))),
        ("slice", weighted(slices, &of_slices, slice_weights)),
        ("target", weighted(exams, &of_exams, only(false))),
    ])
}

/// `weight * mean BCE` of the logits that carry a label; `None` without any.
pub(crate) fn labelled(logits: Tensor<1>, labels: &[u8], weight: f64) -> Option<Tensor<1>> {
    let count = known(labels).max(1);
    let weight = |label: &u8| if *label == UNLABELLED { 0.0 } else { (weight / count as f64) as f32 };
    weighted(logits, labels, labels.iter().map(weight).collect())
}

/// Cells of the attribution map against embolus masks, `of_slice` cells each: the cross entropies of a slice's cells,
/// for each embolus cell it has, averaged over the slices with an embolus. So a small embolus counts as much as a large
/// one, and within a slice a cell's logit stays the logarithm of its odds. A slice without embolus weighs as the
/// average one. Cells of exams without mask are left out; `None` if there are no others.
pub(crate) fn evidence(logits: Tensor<1>, cells: &[u8], of_slice: usize) -> Option<Tensor<1>> {
    if cells.iter().all(|cell| *cell == UNLABELLED) {
        return None;
    }
    let embolus = |slice: &[u8]| slice.iter().map(|cell| f32::from(u8::from(*cell == 1))).sum::<f32>();
    let counts: Vec<f32> = cells.chunks(of_slice).map(embolus).collect();
    let inverse: Vec<f32> = counts.iter().filter(|count| **count > 0.0).map(|count| 1.0 / count).collect();
    let positive = inverse.len().max(1) as f32;
    let usual = if inverse.is_empty() { 1.0 } else { inverse.iter().sum::<f32>() / positive };
    let weights: Vec<f32> = cells
        .iter()
        .enumerate()
        .map(|(place, cell)| match (*cell, counts[place / of_slice]) {
            (UNLABELLED, _) => 0.0,
            (_, count) if count > 0.0 => 1.0 / count / positive,
            _ => usual / positive,
        })
        .collect();
    weighted(logits, cells, weights)
}

/// Cross entropy plus soft Dice of the classes other than background (Milletari et al. 2016). Logits `[N, K, H, W]`,
/// classes `[N, 1, H, W]`.
pub(crate) fn segmentation(logits: Tensor<4>, classes: Tensor<4, Int>) -> Tensor<1> {
    let [_, count, _, _] = logits.dims();
    let logarithms = log_softmax(logits, 1);
    let entropy = logarithms.clone().gather(1, classes.clone()).mean().neg();
    let probabilities = logarithms.exp();
    let mut dice = entropy.clone().zeros_like();
    for class in 1..count {
        let truth = classes.clone().equal_scalar(class as i64).float();
        let found = probabilities.clone().narrow(1, class, 1);
        let both = (found.clone() * truth.clone()).sum().mul_scalar(2.0).add_scalar(1.0);
        dice = dice + both / (found.sum() + truth.sum()).add_scalar(1.0);
    }
    entropy + dice.div_scalar((count - 1) as f64).neg().add_scalar(1.0)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
    }

    fn entropy(logit: f32, target: f32) -> f32 {
        (1.0 + (-logit).exp()).ln() + (1.0 - target) * logit
    }

    /// Loss of exams: logits and labels of each exam's targets, and of its slices.
    fn loss(exams: &[(&[f32], &[u8])], slices: &[(&[f32], &[u8])], weights: Weights) -> f32 {
        let joined = |parts: &[(&[f32], &[u8])]| parts.iter().flat_map(|part| part.0.to_vec()).collect::<Vec<f32>>();
        let labels: Vec<ExamLabels> = exams
            .iter()
            .zip(slices)
            .map(|(exam, slices)| ExamLabels {
                targets: exam.1.to_vec(),
                slices: slices.1.to_vec(),
                by_exam_label: false,
            })
            .collect();
        let logits = joined(exams);
        let logits = tensor(&logits).reshape([exams.len(), logits.len() / exams.len()]);
        embolism(logits, tensor(&joined(slices)), &labels, weights).total().expect("labels").into_scalar()
    }

    const PUBLISHED: Weights = Weights { exam: 0.05, slice: 0.95, target: 0.0 };

    #[test]
    fn the_terms_are_weighted_as_published() {
        let expected = 0.05 * entropy(0.5, 1.0) + 0.95 * f32::midpoint(entropy(1.0, 1.0), entropy(-2.0, 0.0));
        let found = loss(&[(&[0.5], &[1])], &[(&[1.0, -2.0, 7.0], &[1, 0, UNLABELLED])], PUBLISHED);
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn without_slice_labels_the_exam_term_stands_alone_and_is_finite() {
        let found = loss(&[(&[0.0], &[1])], &[(&[3.0, -3.0], &[UNLABELLED; 2])], PUBLISHED);
        assert!((found - std::f32::consts::LN_2).abs() < 1e-6, "{found}");
    }

    #[test]
    fn an_exam_label_can_count_as_much_as_where_no_slice_is_labelled() {
        let labels = [ExamLabels { targets: vec![0], slices: vec![0, 0], by_exam_label: true }];
        let terms = embolism(tensor(&[0.5]).reshape([1, 1]), tensor(&[1.0, -2.0]), &labels, PUBLISHED).values();
        let [(_, exam), (_, slice)] = terms[..] else { panic!("two terms: {terms:?}") };
        let of_slices = 0.95 * f32::midpoint(entropy(1.0, 0.0), entropy(-2.0, 0.0));
        assert!((exam - f64::from(entropy(0.5, 0.0))).abs() < 1e-6, "{exam}");
        assert!((slice - f64::from(of_slices)).abs() < 1e-6, "{slice}");
    }

    #[test]
    fn the_loss_of_an_exam_does_not_depend_on_the_exams_in_its_batch() {
        let labelled = (&[0.5][..], &[1][..], &[2.0, -1.0][..], &[1, 0][..]);
        let unlabelled = (&[-1.0][..], &[1][..], &[2.0, -1.0, 0.5][..], &[UNLABELLED; 3][..]);
        let alone = |(exam, label, slices, labels)| loss(&[(exam, label)], &[(slices, labels)], PUBLISHED);
        let together = loss(
            &[(labelled.0, labelled.1), (unlabelled.0, unlabelled.1)],
            &[(labelled.2, labelled.3), (unlabelled.2, unlabelled.3)],
            PUBLISHED,
        );
        let mean = f32::midpoint(alone(labelled), alone(unlabelled));
        assert!((together - mean).abs() < 1e-6, "{together} {mean}");
    }

    #[test]
    fn further_targets_count_where_they_are_known() {
        let weights = Weights { exam: 1.0, slice: 0.0, target: 0.5 };
        let found = loss(&[(&[0.5, 1.0, 9.0, -2.0], &[1, 1, UNLABELLED, 0])], &[(&[], &[])], weights);
        let expected = entropy(0.5, 1.0) + 0.5 * f32::midpoint(entropy(1.0, 1.0), entropy(-2.0, 0.0));
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        let unknown = loss(&[(&[0.5, 1.0], &[1, UNLABELLED])], &[(&[], &[])], weights);
        assert!((unknown - entropy(0.5, 1.0)).abs() < 1e-5, "{unknown}");
    }

    #[test]
    fn the_terms_add_up_to_the_loss() {
        let labels = [ExamLabels { targets: vec![1, 0], slices: vec![1, 0], by_exam_label: false }];
        let weights = Weights { exam: 0.05, slice: 0.95, target: 0.1 };
        let terms = embolism(tensor(&[0.5, 1.0]).reshape([1, 2]), tensor(&[1.0, -2.0]), &labels, weights);
        let names: Vec<&str> = terms.values().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["exam", "slice", "target"]);
        let sum: f64 = terms.values().iter().map(|(_, value)| value).sum();
        assert!((sum - f64::from(terms.total().expect("labels").into_scalar::<f32>())).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn extreme_logits_do_not_overflow() {
        assert!(loss(&[(&[-300.0], &[1])], &[(&[300.0, -300.0], &[0, 1])], PUBLISHED).is_finite());
    }

    #[test]
    fn cells_of_exams_without_mask_do_not_count() {
        let with = evidence(tensor(&[2.0, -1.0]), &[1, 0], 2).expect("masks").into_scalar::<f32>();
        let nobody_knows = [1, 0, UNLABELLED, UNLABELLED];
        let more = evidence(tensor(&[2.0, -1.0, 9.0, 9.0]), &nobody_knows, 2).expect("masks").into_scalar::<f32>();
        assert!((with - more).abs() < 1e-6 && with > 0.0, "{with} {more}");
        assert!(evidence(tensor(&[2.0]), &[UNLABELLED], 1).is_none());
    }

    #[test]
    fn a_small_embolus_counts_as_much_as_a_large_one() {
        let missed = |cells: &[u8]| evidence(tensor(&[-5.0; 8]), cells, 4).expect("masks").into_scalar::<f32>();
        let (small, large) = (missed(&[1, 0, 0, 0, 0, 0, 0, 0]), missed(&[1, 1, 1, 1, 0, 0, 0, 0]));
        assert!((small - large).abs() < 0.1 && small > 4.0, "{small} {large}");
    }

    #[test]
    fn a_perfect_segmentation_costs_next_to_nothing() {
        let device = Device::flex();
        let classes = Tensor::<4, Int>::from_data(TensorData::new(vec![0_i64, 1, 2, 1], [1, 1, 2, 2]), &device);
        let one_hot = [[1., 0., 0., 0.], [0., 1., 0., 1.], [0., 0., 1., 0.]].concat();
        let logits = Tensor::<4>::from_data(TensorData::new(one_hot, [1, 3, 2, 2]), &device).mul_scalar(30.0);
        let good: f32 = segmentation(logits.clone(), classes.clone()).into_scalar();
        let bad: f32 = segmentation(logits.neg(), classes).into_scalar();
        assert!(good < 0.01 && bad > 1.0, "{good} {bad}");
    }
}

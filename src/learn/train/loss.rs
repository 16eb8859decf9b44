//! Losses that are never undefined: a term without labels is absent, not the mean of nothing.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Int, Tensor, TensorData};

/// Binary cross entropy of each logit against its target, 0 or 1.
fn cross_entropies(logits: Tensor<1>, targets: &[f32]) -> Tensor<1> {
    let targets = Tensor::<1>::from_data(TensorData::new(targets.to_vec(), [targets.len()]), &logits.device());
    // max(x, 0) - x t + log(1 + exp(-|x|)), which cannot overflow.
    let softplus = logits.clone().abs().neg().exp().add_scalar(1.0).log();
    relu(logits.clone()) - logits * targets + softplus
}

/// Exam and slice terms of one step.
pub(crate) struct EmbolismTargets<'a> {
    /// 1 for a positive exam, 0 for a negative one.
    pub(crate) exams: &'a [f32],
    /// 1, 0, or [`UNLABELLED`].
    pub(crate) slices: &'a [u8],
    /// Weight of the exams' term.
    pub(crate) exam_weight: f64,
    /// Weight of the labelled slices' term.
    pub(crate) slice_weight: f64,
}

/// A slice that carries no label, or a cell of an exam without mask.
pub(crate) const UNLABELLED: u8 = 255;

/// `exam_weight * BCE(exams) + slice_weight * mean BCE(labelled slices)` (Hu et al. 2025); without a labelled slice, the
/// exams' term alone at full weight, so that exam labels train at the same pace.
pub(crate) fn embolism(exams: Tensor<1>, slices: Tensor<1>, targets: &EmbolismTargets<'_>) -> Tensor<1> {
    let of_exams = cross_entropies(exams, targets.exams).mean();
    if targets.slice_weight == 0.0 || targets.slices.iter().all(|label| *label == UNLABELLED) {
        return of_exams.mul_scalar(targets.exam_weight + targets.slice_weight);
    }
    of_exams.mul_scalar(targets.exam_weight) + labelled(slices, targets.slices, targets.slice_weight)
}

/// `weight * mean BCE` of the logits that carry a label; 0 without any.
pub(crate) fn labelled(logits: Tensor<1>, labels: &[u8], weight: f64) -> Tensor<1> {
    let targets: Vec<f32> = labels.iter().map(|label| f32::from(u8::from(*label == 1))).collect();
    let known: Vec<f32> = labels.iter().map(|label| f32::from(u8::from(*label != UNLABELLED))).collect();
    let count: f32 = known.iter().sum();
    let known = Tensor::<1>::from_data(TensorData::new(known, [labels.len()]), &logits.device());
    (cross_entropies(logits, &targets) * known).sum().mul_scalar(weight / f64::from(count.max(1.0)))
}

/// Cells of the evidence map against embolus masks, `of_slice` cells each: the cross entropies of a slice's cells, for
/// each embolus cell it has, averaged over the slices with an embolus. So a small embolus teaches as much as a large one,
/// and within a slice a cell's logit stays the logarithm of its odds. A slice without embolus weighs as the average one.
/// Cells of exams without mask are left out; `None` if there are no others.
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
    let targets: Vec<f32> = cells.iter().map(|cell| f32::from(u8::from(*cell == 1))).collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [cells.len()]), &logits.device());
    Some((cross_entropies(logits, &targets) * weights).sum())
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
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::default())
    }

    fn loss(exam: f32, slices: &[f32], labels: &[u8], weights: [f64; 2]) -> f32 {
        let targets =
            EmbolismTargets { exams: &[1.0], slices: labels, exam_weight: weights[0], slice_weight: weights[1] };
        embolism(tensor(&[exam]), tensor(slices), &targets).into_scalar()
    }

    #[test]
    fn the_terms_are_weighted_as_published() {
        let entropy = |logit: f32, target: f32| (1.0 + (-logit).exp()).ln() + (1.0 - target) * logit;
        let expected = 0.05 * entropy(0.5, 1.0) + 0.95 * f32::midpoint(entropy(1.0, 1.0), entropy(-2.0, 0.0));
        let found = loss(0.5, &[1.0, -2.0, 7.0], &[1, 0, UNLABELLED], [0.05, 0.95]);
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn without_slice_labels_the_exam_term_stands_alone_and_is_finite() {
        let found = loss(0.0, &[3.0, -3.0], &[UNLABELLED; 2], [0.05, 0.95]);
        assert!((found - std::f32::consts::LN_2).abs() < 1e-6, "{found}");
    }

    #[test]
    fn extreme_logits_do_not_overflow() {
        assert!(loss(-300.0, &[300.0, -300.0], &[0, 1], [0.5, 0.5]).is_finite());
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
        let device = Device::default();
        let classes = Tensor::<4, Int>::from_data(TensorData::new(vec![0_i64, 1, 2, 1], [1, 1, 2, 2]), &device);
        let one_hot = [[1., 0., 0., 0.], [0., 1., 0., 1.], [0., 0., 1., 0.]].concat();
        let logits = Tensor::<4>::from_data(TensorData::new(one_hot, [1, 3, 2, 2]), &device).mul_scalar(30.0);
        let good: f32 = segmentation(logits.clone(), classes.clone()).into_scalar();
        let bad: f32 = segmentation(logits.neg(), classes).into_scalar();
        assert!(good < 0.01 && bad > 1.0, "{good} {bad}");
    }
}

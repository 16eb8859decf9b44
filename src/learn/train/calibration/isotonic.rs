//! Isotonic calibration (Zadrozny and Elkan 2002, doi 10.1145/775047.775151).

use crate::engine::models::manifest::{Isotonic, TargetCalibration};
use crate::learn::train::metrics::Scored;

/// Neighbouring logits that share one probability.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Block {
    exams: f64,
    /// Sums over the exams.
    logits: f64,
    targets: f64,
}

impl Block {
    fn mean(self) -> f64 {
        self.targets / self.exams
    }

    fn join(self, other: Self) -> Self {
        Self {
            exams: self.exams + other.exams,
            logits: self.logits + other.logits,
            targets: self.targets + other.targets,
        }
    }
}

/// The non-decreasing map that is nearest to the truth, with one knot for each block at the mean of its logits, so that
/// exams within a block keep their order (centred isotonic regression, Oron and Flournoy 2017, doi
/// 10.1080/19466315.2017.1286256). Both classes must be present.
///
/// Targets are smoothed as Platt's (1999), so no probability is 0 or 1.
pub(super) fn fit(logits: &[Scored]) -> TargetCalibration {
    let positives = logits.iter().filter(|one| one.positive).count() as f64;
    let negatives = logits.len() as f64 - positives;
    let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
    let mut order: Vec<&Scored> = logits.iter().collect();
    order.sort_by(|a, b| a.score.total_cmp(&b.score));
    let tied = order.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()).map(|tied| Block {
        exams: tied.len() as f64,
        logits: tied.iter().map(|one| one.score).sum(),
        targets: tied.iter().map(|one| targets[usize::from(one.positive)]).sum(),
    });
    let mut blocks: Vec<Block> = Vec::new();
    for mut block in tied {
        // Pool adjacent violators.
        while let Some(last) = blocks.pop_if(|last| last.mean() >= block.mean()) {
            block = last.join(block);
        }
        blocks.push(block);
    }
    let mut knots: Vec<[f64; 2]> = blocks.iter().map(|block| [block.logits / block.exams, block.mean()]).collect();
    if let [[logit, probability]] = knots[..] {
        // Logits that do not separate the classes: one probability for all.
        knots.push([logit + 1.0, probability]);
    }
    TargetCalibration { temperature: 1.0, bias: 0.0, isotonic: Isotonic::new(knots).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knots(pairs: &[(f64, bool)]) -> Vec<[f64; 2]> {
        let scored: Vec<Scored> =
            pairs.iter().map(|(score, positive)| Scored { score: *score, positive: *positive }).collect();
        fit(&scored).isotonic.expect("a map").into()
    }

    fn near(found: &[[f64; 2]], expected: &[[f64; 2]]) {
        let same = found.len() == expected.len()
            && found.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(same, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn violators_are_pooled_as_by_hand() {
        // Three negatives and three positives: targets 1/5 and 4/5. 2 and 3 are in the wrong order and are pooled.
        let found = knots(&[(0.0, false), (1.0, false), (2.0, true), (3.0, false), (4.0, true), (6.0, true)]);
        near(&found, &[[0.5, 0.2], [2.5, 0.5], [5.0, 0.8]]);
    }

    #[test]
    fn tied_logits_are_one_exam_of_their_mean() {
        let found = knots(&[(0.0, false), (1.0, true), (1.0, false), (2.0, true)]);
        // Two of each: targets 1/4 and 3/4.
        near(&found, &[[0.0, 0.25], [1.0, 0.5], [2.0, 0.75]]);
    }

    #[test]
    fn logits_that_fall_with_the_truth_give_one_probability() {
        near(&knots(&[(0.0, true), (1.0, false)]), &[[0.5, 0.5], [1.5, 0.5]]);
    }
}

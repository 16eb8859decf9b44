//! Probabilities for a site where embolism is rarer or more frequent than among the exams of the calibration.

use crate::engine::models::manifest::{Isotonic, TargetCalibration};
use crate::learn::train::configuration::Prevalence;
use crate::learn::train::metrics::Scored;

/// The ratio of prior odds by which the odds of every exam change (Saerens et al. 2002, doi
/// 10.1162/089976602753284446), as its logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prior(f64);

impl Prior {
    /// From the share of exams with embolism among these to that of the site; `None` if they are of one class.
    pub(crate) fn between(exams: &[Scored], site: Prevalence) -> Option<Self> {
        let positives = exams.iter().filter(|one| one.positive).count() as f64;
        let here = Prevalence::new(positives / exams.len() as f64)?;
        Some(Self((site.odds() / here.odds()).ln()))
    }

    /// A map whose probabilities hold for the site.
    pub(crate) fn moved(self, map: TargetCalibration) -> TargetCalibration {
        match map.isotonic {
            // The bias is added before the map, so its probabilities themselves are moved.
            Some(isotonic) => {
                let knots: Vec<[f64; 2]> = isotonic.into();
                let moved = knots.into_iter().map(|[logit, probability]| [logit, self.probability(probability)]);
                TargetCalibration { isotonic: Isotonic::new(moved.collect()).ok(), ..map }
            }
            None => TargetCalibration { bias: map.bias + self.0, ..map },
        }
    }

    fn probability(self, probability: f64) -> f64 {
        let odds = probability * self.0.exp();
        odds / (odds + 1.0 - probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exams(positive: usize, all: usize) -> Vec<Scored> {
        (0..all).map(|n| Scored { score: 0.0, positive: n < positive }).collect()
    }

    #[test]
    fn odds_change_by_the_ratio_of_prior_odds_whatever_the_map() {
        // From 40 % (odds 2/3) to 10 % (odds 1/9): odds are divided by 6.
        let prior = Prior::between(&exams(40, 100), Prevalence::new(0.1).expect("a share")).expect("both classes");
        let platt = TargetCalibration { temperature: 2.0, bias: 0.3, isotonic: None };
        let knots = vec![[-1.0, 0.1], [0.0, 0.5], [1.0, 1.0]];
        let isotonic =
            TargetCalibration { temperature: 1.0, bias: 0.0, isotonic: Some(Isotonic::new(knots).expect("rises")) };
        for map in [platt, isotonic] {
            let odds = |map: &TargetCalibration, logit: f64| {
                let probability = map.probability(logit);
                probability / (1.0 - probability)
            };
            let moved = prior.moved(map.clone());
            for logit in [-1.0, 0.0] {
                assert!((odds(&map, logit) / odds(&moved, logit) - 6.0).abs() < 1e-9, "{moved:?}");
            }
        }
        assert_eq!(Prior::between(&exams(5, 5), Prevalence::new(0.1).expect("a share")), None);
    }
}

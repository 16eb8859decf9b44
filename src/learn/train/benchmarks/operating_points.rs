//! What `benches/operating_point.rs` simulates.

use crate::engine::models::manifest::TargetCalibration;
use crate::learn::train::TrainError;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::calibration::{Expected, Rule, Validated, cross_fitted, fit, operating_point};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::metrics::Scored;

/// A validation exam: the network that was not trained on it, its logit, and the truth.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedExam {
    /// From 0.
    pub member: usize,
    /// Before calibration.
    pub logit: f64,
    /// True for embolism.
    pub positive: bool,
}

/// An ensemble with its calibration and threshold, chosen as the step `evaluate` chooses them.
pub struct Deployed {
    maps: Vec<TargetCalibration>,
    /// From which probability embolism is called.
    pub threshold: f64,
    /// Sensitivity and specificity to expect: value, lower and upper end of the interval.
    pub expected: Option<[[f64; 3]; 2]>,
}

impl Deployed {
    /// By these validation exams, one a patient.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(settings: &[&str], exams: &[SimulatedExam]) -> Result<Self, TrainError> {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let configuration = TrainConfiguration::load(None, &settings)?;
        let rule = Rule::from(&configuration.evaluation);
        let members = exams.iter().map(|exam| exam.member + 1).max().unwrap_or(0);
        let patients: Vec<String> = (0..exams.len()).map(|number| format!("{number:05}")).collect();
        let (mut maps, mut scored) = (Vec::new(), Vec::new());
        for member in 0..members {
            let own: Vec<(&str, Scored)> = exams
                .iter()
                .zip(&patients)
                .filter(|(exam, _)| exam.member == member)
                .map(|(exam, patient)| (patient.as_str(), Scored { score: exam.logit, positive: exam.positive }))
                .collect();
            let logits: Vec<Scored> = own.iter().map(|(_, one)| *one).collect();
            let map = fit(rule.method, &logits, "exams").at(rule.criterion.prevalence(), &logits).map;
            let probabilities = if members > 1 {
                cross_fitted(&rule, &own, &map)
            } else {
                logits.iter().map(|one| map.probability(one.score)).collect()
            };
            scored.extend(probabilities.into_iter().zip(&logits).map(|(score, one)| Scored { score, ..*one }));
            maps.push(map);
        }
        let heard: Vec<(usize, f64)> = exams.iter().map(|exam| (exam.member, exam.logit)).collect();
        let validated: ByPatient<Validated<'_>> = exams
            .iter()
            .zip(&heard)
            .enumerate()
            .map(|(n, (exam, logit))| (n, Validated { logits: std::slice::from_ref(logit), positive: exam.positive }))
            .collect();
        let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
        let expected = Expected::of(&rule, &validated, resampling);
        let expected = expected.map(|Expected { sensitivity, specificity }| {
            [sensitivity, specificity].map(|metric| {
                let [low, high] = metric.interval.unwrap_or([f64::NAN; 2]);
                [metric.value, low, high]
            })
        });
        Ok(Self { maps, threshold: operating_point(&scored, &rule).threshold, expected })
    }

    /// The calibrated probability of one network.
    pub fn alone(&self, member: usize, logit: f64) -> f64 {
        self.maps[member].probability(logit)
    }

    /// The mean of all networks, each with its logit.
    pub fn probability(&self, logits: &[f64]) -> f64 {
        let each = logits.iter().enumerate().map(|(member, logit)| self.alone(member, *logit));
        each.sum::<f64>() / logits.len() as f64
    }
}

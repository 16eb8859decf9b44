//! What sensitivity and specificity an operating point reaches that was chosen on few exams: one JSON line for each
//! resampling of simulated validation exams, with the rule of `pe-node train evaluate` beside a single ordered value, which
//! was the rule before. `tests/bench/operating_point.py` makes a table of it.

use pe_node::learn::train::benchmarks::{Deployed, SimulatedExam};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Resamplings of each case.
const RESAMPLINGS: u64 = 200;
/// New exams of each class on which the truth is measured.
const NEW: usize = 4000;

/// How scores of exams with embolism are spread; without, they are standard normal.
#[derive(Clone, Copy)]
struct Population {
    name: &'static str,
    /// Share, mean and standard deviation of each kind of embolism.
    kinds: &'static [[f64; 3]],
}

/// The areas under the curve are 0.86, 0.88 and 0.91.
const POPULATIONS: [Population; 3] = [
    Population { name: "binormal", kinds: &[[1.0, 1.5, 1.0]] },
    Population { name: "binormal, wider with embolism", kinds: &[[1.0, 2.2, 1.6]] },
    Population { name: "a fifth of the emboli hardly seen", kinds: &[[0.2, 0.3, 1.0], [0.8, 3.0, 1.2]] },
];

/// Positive and negative validation exams, networks.
const SIZES: [(usize, usize, usize); 3] = [(41, 57, 1), (355, 735, 1), (355, 735, 5)];

const CRITERIA: [(&str, f64, &[&str]); 3] = [
    ("sensitivity", 0.85, &["evaluation.sensitivity=0.85"]),
    ("sensitivity", 0.95, &["evaluation.sensitivity=0.95"]),
    ("specificity", 0.8, &["evaluation.criterion=specificity", "evaluation.specificity=0.8"]),
];

fn normal(random: &mut ChaCha8Rng) -> f64 {
    random.sample(StandardNormal)
}

impl Population {
    fn score(self, positive: bool, random: &mut ChaCha8Rng) -> f64 {
        let deviate = normal(random);
        if !positive {
            return deviate;
        }
        let mut share: f64 = random.random();
        for [of_kind, mean, deviation] in self.kinds {
            if share < *of_kind {
                return mean + deviation * deviate;
            }
            share -= of_kind;
        }
        deviate
    }
}

/// Logit of a network of a fold: each is differently sure of itself, and errs a little by itself.
fn logit(member: usize, members: usize, score: f64, random: &mut ChaCha8Rng) -> f64 {
    if members == 1 {
        return score;
    }
    let place = member as f64 / (members - 1) as f64;
    (0.6 + 1.2 * place) * (score + 0.4 * normal(random)) + 2.0 * place - 1.0
}

/// The former rule: between the last positive exam that must be called and the next one below.
fn ordered_value(scored: &[(f64, bool)], criterion: &str, wanted: f64) -> f64 {
    let of_class = scored.iter().filter(|(_, positive)| *positive == (criterion == "sensitivity"));
    let mut scores: Vec<f64> = of_class.map(|(score, _)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let called = if criterion == "sensitivity" { wanted } else { 1.0 - wanted };
    let last = ((called * scores.len() as f64).ceil() as usize).clamp(1, scores.len()) - 1;
    let next = scored.iter().map(|(score, _)| *score).filter(|score| *score < scores[last]).fold(0.0, f64::max);
    f64::midpoint(scores[last], next)
}

fn main() {
    for population in POPULATIONS {
        for (positives, negatives, members) in SIZES {
            for (criterion, wanted, settings) in CRITERIA {
                let settings = [settings, &["evaluation.bootstrap=200"]].concat();
                let lines: Vec<String> = (0..RESAMPLINGS)
                    .into_par_iter()
                    .map(|number| {
                        let mut random = ChaCha8Rng::seed_from_u64(number);
                        let exams: Vec<SimulatedExam> = (0..positives + negatives)
                            .map(|exam| {
                                let (positive, member) = (exam < positives, exam % members);
                                let score = population.score(positive, &mut random);
                                SimulatedExam { member, logit: logit(member, members, score, &mut random), positive }
                            })
                            .collect();
                        let deployed = Deployed::new(&settings, &exams).expect("valid settings");
                        let own = |exam: &SimulatedExam| (deployed.alone(exam.member, exam.logit), exam.positive);
                        let before = ordered_value(&exams.iter().map(own).collect::<Vec<_>>(), criterion, wanted);
                        let mut reached = [[0.0_f64; 2]; 2];
                        for exam in 0..2 * NEW {
                            let positive = exam < NEW;
                            let score = population.score(positive, &mut random);
                            let logits: Vec<f64> =
                                (0..members).map(|member| logit(member, members, score, &mut random)).collect();
                            let probability = deployed.probability(&logits);
                            for (rule, threshold) in [before, deployed.threshold].into_iter().enumerate() {
                                if (probability >= threshold) == positive {
                                    reached[rule][usize::from(!positive)] += 1.0 / NEW as f64;
                                }
                            }
                        }
                        serde_json::json!({
                            "population": population.name, "positives": positives, "negatives": negatives,
                            "networks": members, "criterion": criterion, "wanted": wanted,
                            "before": reached[0], "now": reached[1], "expected": deployed.expected,
                        })
                        .to_string()
                    })
                    .collect();
                println!("{}", lines.join("\n"));
            }
        }
    }
}

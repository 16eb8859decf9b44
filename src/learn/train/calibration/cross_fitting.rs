//! Calibrated probabilities of the exams that a map is fitted to, each by a map fitted without it.

use std::collections::{BTreeMap, HashMap};

use super::fitting::{FEW, map_at};
use super::operating_point::Rule;
use crate::engine::models::manifest::TargetCalibration;
use crate::learn::train::metrics::Scored;

/// Parts into which patients are split.
const PARTS: usize = 5;

/// Probability of each exam, a patient and a logit with its truth, in order: patients are split into five parts with as
/// equal a share of embolism as can be, and each part gets its probabilities from the map that is fitted to the other
/// four. With too few exams of a class for that, all get theirs from `own`, the map that is fitted to all.
pub(crate) fn cross_fitted(rule: &Rule, exams: &[(&str, Scored)], own: &TargetCalibration) -> Vec<f64> {
    let positives = exams.iter().filter(|(_, one)| one.positive).count();
    if positives.min(exams.len() - positives) < FEW {
        return exams.iter().map(|(_, one)| own.probability(one.score)).collect();
    }
    let parts = parts(exams);
    let maps: Vec<Option<TargetCalibration>> = (0..PARTS)
        .map(|part| {
            let others = exams.iter().filter(|(patient, _)| parts[patient] != part);
            map_at(rule.method, rule.criterion.prevalence(), &others.map(|(_, one)| *one).collect::<Vec<_>>())
        })
        .collect();
    let probability = |(patient, one): &(&str, Scored)| {
        let map = maps[parts[patient]].as_ref().unwrap_or(own);
        map.probability(one.score)
    };
    exams.iter().map(probability).collect()
}

/// The part of each patient: in turn, first among those without embolism, then among those with it.
fn parts<'a>(exams: &[(&'a str, Scored)]) -> HashMap<&'a str, usize> {
    let mut embolism: BTreeMap<&str, bool> = BTreeMap::new();
    for (patient, one) in exams {
        *embolism.entry(patient).or_default() |= one.positive;
    }
    let mut order: Vec<(bool, &str)> = embolism.into_iter().map(|(patient, embolism)| (embolism, patient)).collect();
    order.sort_unstable();
    order.into_iter().enumerate().map(|(place, (_, patient))| (patient, place % PARTS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::configuration::{CalibrationMethod, Criterion};

    const RULE: Rule = Rule {
        method: CalibrationMethod::Temperature,
        criterion: Criterion::Sensitivity { wanted: 0.9, prevalence: None },
        undetermined: 0.1,
    };

    /// Logits that rise with the truth, of exams of 30 patients with embolism and 30 without.
    fn exams(names: &[String]) -> Vec<(&str, Scored)> {
        let logit = |n: usize| (n * 7 % 11) as f64 / 3.0 + if n.is_multiple_of(2) { 1.0 } else { 0.0 };
        let scored = |n: usize| Scored { score: logit(n), positive: n.is_multiple_of(2) };
        names.iter().enumerate().map(|(n, name)| (name.as_str(), scored(n))).collect()
    }

    #[test]
    fn an_exam_does_not_take_part_in_its_own_map() {
        let names: Vec<String> = (0..60).map(|n| format!("{n:02}")).collect();
        let exams = exams(&names);
        let fitted = |exams: &[&(&str, Scored)]| {
            super::super::fitting::map(RULE.method, &exams.iter().map(|(_, one)| *one).collect::<Vec<_>>())
                .expect("a map")
        };
        let own = fitted(&exams.iter().collect::<Vec<_>>());
        let found = cross_fitted(&RULE, &exams, &own);
        let parts = parts(&exams);
        for (found, (patient, one)) in found.iter().zip(&exams) {
            let others: Vec<&(&str, Scored)> = exams.iter().filter(|(of, _)| parts[of] != parts[patient]).collect();
            assert_eq!(others.len(), 48, "parts are of one size");
            assert!((found - fitted(&others).probability(one.score)).abs() < 1e-12);
            assert!((found - own.probability(one.score)).abs() > 1e-9, "its own map is another");
        }
    }

    #[test]
    fn exams_of_one_patient_share_a_part_and_few_exams_share_one_map() {
        let names: Vec<String> = (0..60).map(|n| format!("{:02}", n / 2)).collect();
        let parts = parts(&exams(&names));
        assert_eq!(parts.len(), 30);
        let few = &exams(&names)[..20];
        let own = TargetCalibration { temperature: 2.0, bias: 0.5, isotonic: None };
        let found = cross_fitted(&RULE, few, &own);
        assert!(found.iter().zip(few).all(|(found, (_, one))| (found - own.probability(one.score)).abs() < 1e-12));
    }
}

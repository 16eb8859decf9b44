//! Two models on the same exams, exam by exam.

use std::collections::BTreeMap;

use super::predictions::Prediction;
use crate::engine::models::manifest::Metric;
use crate::learn::train::bootstrap::{ByPatient, Difference, Paired, Resampling, difference};
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::auroc;

/// By how much the exam AUROC exceeds that of another model on the test exams that both predicted, and a sentence that
/// states it. Exams whose labels differ are left out and counted.
pub(super) fn with(
    baseline: &str,
    own: &[Prediction],
    other: &[Prediction],
    resampling: Resampling,
) -> (BTreeMap<String, Metric>, String) {
    let of_test = |one: &&Prediction| one.split == Split::Test;
    let others: BTreeMap<&str, &Prediction> =
        other.iter().filter(of_test).map(|one| (one.series.as_str(), one)).collect();
    let shared: Vec<(&Prediction, &Prediction)> =
        own.iter().filter(of_test).filter_map(|one| Some((one, *others.get(one.series.as_str())?))).collect();
    let pair = |(one, other): &(&Prediction, &Prediction)| Paired {
        scores: [one.probability, other.probability],
        positive: one.embolism,
    };
    let (alike, differing): (Vec<_>, Vec<_>) =
        shared.into_iter().partition(|(one, other)| one.embolism == other.embolism);
    let pairs: ByPatient<Paired> = alike.iter().map(|both| (&both.0.patient, pair(both))).collect();
    let exams =
        format!("{} test exams shared with {baseline} ({} more have other labels there)", alike.len(), differing.len());
    match difference(&pairs, resampling, auroc) {
        None => (BTreeMap::new(), format!("no comparison: the {exams} are not of both classes")),
        Some(Difference { metric, at_least }) => {
            let said = format!(
                "on {exams} the exam AUROC differs by {:+.4} from that of {baseline}, at least {at_least:+.4} \
                 (one-sided 95 % bound, drawn in pairs)",
                metric.value
            );
            let bound = Metric { value: at_least, interval: None };
            let metrics = [("test.exam_auroc_difference", metric), ("test.exam_auroc_difference_at_least", bound)];
            (metrics.into_iter().map(|(name, metric)| (name.to_owned(), metric)).collect(), said)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::predictions::testing::prediction;
    use super::*;

    #[test]
    fn exams_are_paired_by_series_and_those_with_other_labels_are_counted() {
        let own: Vec<Prediction> = (0..40)
            .map(|n| prediction(n, n % 2 == 0, if n % 2 == 0 { 0.6 } else { 0.4 } + f64::from(n % 7) / 20.0))
            .collect();
        let mut other: Vec<Prediction> =
            own.iter().rev().map(|one| Prediction { probability: 0.5, ..one.clone() }).collect();
        other[0].embolism = !other[0].embolism;
        other.pop();
        let (metrics, said) = with("half", &own, &other, Resampling { count: 200, seed: 1 });
        assert!(said.contains("38 test exams shared with half (1 more"), "{said}");
        let difference = metrics["test.exam_auroc_difference"];
        assert!(difference.value > 0.2 && metrics["test.exam_auroc_difference_at_least"].value > 0.0, "{difference:?}");
        let (metrics, said) = with("nothing", &own, &[], Resampling { count: 9, seed: 1 });
        assert!(metrics.is_empty() && said.contains("no comparison"), "{said}");
    }
}

//! What was wanted of the operating point, what to expect of it, and what the deployed model reached.

use std::collections::BTreeMap;

use crate::engine::models::manifest::Metric;
use crate::learn::train::calibration::Expected;
use crate::learn::train::configuration::Criterion;
use crate::learn::train::labels::Split;

/// The expectation as metrics of the validation.
pub(super) fn metrics(expected: Option<Expected>) -> impl Iterator<Item = (String, Metric)> {
    let named = |Expected { sensitivity, specificity }| {
        [("expected_sensitivity", sensitivity), ("expected_specificity", specificity)]
    };
    let named = expected.map(named).into_iter().flatten();
    named.map(|(name, metric)| (format!("{}.exam_{name}", Split::Validation.name()), metric))
}

/// The expectation in words.
pub(super) fn expected_said(expected: Option<Expected>) -> String {
    match expected {
        Some(Expected { sensitivity, specificity }) => format!(
            "operating point, expected on further exams like the validation exams: sensitivity {}, specificity {} (chosen \
             on resampled patients, measured on the others)",
            number(&sensitivity),
            number(&specificity)
        ),
        None => "operating point: too few validation exams of a class to say what to expect of it".to_owned(),
    }
}

/// What was wanted, what to expect, and what the test exams show. `model` says what is deployed.
pub(super) fn said(
    criterion: Criterion,
    expected: Option<Expected>,
    metrics: &BTreeMap<String, Metric>,
    model: &str,
) -> Vec<String> {
    let mut notes = vec![expected_said(expected)];
    let test = |name: &str| metrics.get(&format!("{}.exam_{name}", Split::Test.name()));
    let (Some(sensitivity), Some(specificity)) = (test("sensitivity"), test("specificity")) else {
        notes.push(format!("operating point: not checked on {model}, because there are no test exams of both classes"));
        return notes;
    };
    let reached = format!(
        "operating point, reached by {model} on the test exams: sensitivity {}, specificity {}",
        number(sensitivity),
        number(specificity)
    );
    let compared = match criterion {
        Criterion::Sensitivity { wanted, .. } => Some(("sensitivity", wanted, sensitivity)),
        Criterion::Specificity { wanted, .. } => Some(("specificity", wanted, specificity)),
        Criterion::Cost { .. } => None,
    };
    let wanted = compared.map(|(name, wanted, found)| {
        let verdict = match found.interval {
            None => ", but there are too few exams to compare",
            Some([low, high]) if (low..=high).contains(&wanted) => ", which these exams do not contradict",
            Some(_) => {
                ": the threshold does not hold; choose it again on exams of the site with `pe-node train recalibrate`"
            }
        };
        format!("; wanted was a {name} of {wanted}{verdict}")
    });
    notes.push(reached + &wanted.unwrap_or_default());
    notes
}

fn number(metric: &Metric) -> String {
    match metric.interval {
        Some([low, high]) => format!("{:.3} ({low:.3} to {high:.3})", metric.value),
        None => format!("{:.3} (too few exams for an interval)", metric.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(wanted: f64, found: Option<Metric>) -> String {
        let rate = |value| Metric { value, interval: Some([value - 0.05, value + 0.05]) };
        let expected = Expected { sensitivity: rate(0.84), specificity: rate(0.6) };
        let of_test = |name: &str, metric| (format!("test.exam_{name}"), metric);
        let found = found.map(|found| [of_test("sensitivity", found), of_test("specificity", rate(0.7))]);
        let metrics = found.into_iter().flatten().collect();
        let criterion = Criterion::Sensitivity { wanted, prevalence: None };
        said(criterion, Some(expected), &metrics, "the mean of 5 networks").join("\n")
    }

    #[test]
    fn what_is_reached_stands_beside_what_was_wanted() {
        let found = Metric { value: 0.88, interval: Some([0.8, 0.93]) };
        let text = notes(0.85, Some(found));
        assert!(
            text.contains("expected on further exams") && text.contains("sensitivity 0.840 (0.790 to 0.890)"),
            "{text}"
        );
        assert!(
            text.contains("reached by the mean of 5 networks on the test exams: sensitivity 0.880 (0.800 to 0.930)")
        );
        assert!(text.contains("wanted was a sensitivity of 0.85, which these exams do not contradict"), "{text}");
        assert!(notes(0.95, Some(found)).contains("does not hold; choose it again"));
        assert!(notes(0.85, Some(Metric { value: 1.0, interval: None })).contains("too few exams to compare"));
        assert!(notes(0.85, None).contains("not checked on the mean of 5 networks"));
    }
}

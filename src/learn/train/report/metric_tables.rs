//! Metrics as tables: which exams, which value, which interval.

use maud::{Markup, html};

use super::markup::{interval, number, table};
use crate::engine::analyse::findings::Decision;
use crate::engine::models::manifest::Metric;
use crate::engine::models::target::Target;
use crate::learn::train::evaluate::{ANSWERS, COUNTS, Evaluation};
use crate::learn::train::labels::Split;

/// Names in tables of the metrics in `evaluation.json`, in the order of the page.
const NAMES: &[(&str, &str)] = &[
    ("exam_auroc", "AUROC"),
    ("exam_average_precision", "Average precision"),
    ("exam_sensitivity_at_90_specificity", "Sensitivity at 90 % specificity"),
    ("exam_brier_score", "Brier score"),
    ("exam_calibration_error", "Expected calibration error"),
    ("exam_sensitivity", "Sensitivity at the threshold"),
    ("exam_specificity", "Specificity at the threshold"),
    ("exam_ppv", "Positive predictive value"),
    ("exam_npv", "Negative predictive value"),
    ("exam_found_rate", "Embolism called present"),
    ("exam_miss_rate", "Embolism called absent (misses)"),
    ("exam_false_alarm_rate", "No embolism, called present (false alarms)"),
    ("exam_undetermined_rate", "Undetermined"),
    ("exam_expected_sensitivity", "Sensitivity to expect on further exams"),
    ("exam_expected_specificity", "Specificity to expect on further exams"),
    ("exam_ppv_at_prevalence", "Positive predictive value at the site's prevalence"),
    ("exam_npv_at_prevalence", "Negative predictive value at the site's prevalence"),
    ("exam_brier_score_at_prevalence", "Brier score at the site's prevalence"),
    ("exam_calibration_error_at_prevalence", "Expected calibration error at the site's prevalence"),
    ("exam_accuracy", "Accuracy"),
    ("exam_balanced_accuracy", "Balanced accuracy"),
    ("exam_f1", "F1"),
    ("exam_kappa", "Cohen's kappa"),
    ("exam_mcc", "Matthews correlation"),
    ("exam_auroc_difference", "AUROC, difference from the other experiment"),
    ("exam_auroc_difference_at_least", "The same, one-sided 95 % lower bound"),
    ("members", "Networks of the ensemble"),
    ("members_exam_auroc_mean", "AUROC of single networks, mean"),
    ("members_exam_auroc_deviation", "AUROC of single networks, standard deviation"),
    ("exam_standard_deviation_mean", "Standard deviation of the networks' probabilities, mean"),
    ("slice_auroc", "AUROC of slices"),
    ("slice_average_precision", "Average precision of slices"),
    ("labelled_slices", "Slices with a label"),
    ("positive_slices", "Slices with embolism"),
    ("pointing_rate", "Greatest attribution within 5 mm of an embolus"),
    ("pointing_chance", "The same by chance"),
    ("emboli_found", "Emboli under high attribution"),
    ("emboli", "Emboli"),
    ("dice_left", "Dice of the left lung"),
    ("dice_right", "Dice of the right lung"),
];
/// The splits of a page, the more important one first.
const SPLITS: [Split; 2] = [Split::Test, Split::Validation];

/// The metrics of an evaluation.
pub(super) struct MetricTables<'a>(pub(super) &'a Evaluation);

impl MetricTables<'_> {
    fn metric(&self, split: Split, name: &str) -> Option<&Metric> {
        self.0.metrics.get(&format!("{}.{name}", split.name()))
    }

    /// The split whose metrics are shown first: the test, or validation where there is no test.
    pub(super) fn main_split(&self) -> Split {
        let there = |split: &Split| self.metric(*split, "exams").is_some();
        SPLITS.into_iter().find(there).unwrap_or(Split::Test)
    }

    /// A split and how many exams it has.
    pub(super) fn exams_of(&self, split: Split) -> String {
        let count = |name: &str| self.metric(split, name).map(|metric| metric.value);
        let exams = count("exams").unwrap_or_default();
        let positive = count("positive_exams").map_or_else(String::new, |count| format!(", {count:.0} with embolism"));
        format!("{exams:.0} {} exams{positive}", split.name())
    }

    /// The few metrics that a reader looks for first.
    pub(super) fn key_metrics(&self) -> Markup {
        let split = self.main_split();
        let shown = [
            ("exam_auroc", "AUROC"),
            ("exam_sensitivity", "Sensitivity at the threshold"),
            ("exam_specificity", "Specificity at the threshold"),
            ("exam_false_alarm_rate", "False alarms among exams without embolism"),
            ("exam_sensitivity_at_90_specificity", "Sensitivity at 90 % specificity"),
            ("exam_calibration_error", "Calibration error"),
            ("dice_left", "Dice, left lung"),
            ("dice_right", "Dice, right lung"),
        ];
        html! {
            p { "On " strong { (self.exams_of(split)) } ", with 95 % intervals over patients:" }
            div.key {
                @for (name, label) in shown {
                    @if let Some(metric) = self.metric(split, name) {
                        div { b { (number(metric.value)) } span { (label) } span { (interval(metric)) } }
                    }
                }
            }
        }
    }

    /// All metrics, split by split.
    pub(super) fn all(&self) -> Markup {
        let splits: Vec<Split> = SPLITS.into_iter().filter(|split| self.metric(*split, "exams").is_some()).collect();
        let cells = |name: &str| -> Vec<String> {
            let of_split = |split: &Split| match self.metric(*split, name) {
                Some(metric) => [number(metric.value), interval(metric)],
                None => [String::new(), String::new()],
            };
            splits.iter().flat_map(of_split).collect()
        };
        let head: Vec<String> =
            splits.iter().flat_map(|split| [self.exams_of(*split), "95 % interval".to_owned()]).collect();
        let rows = |named: Vec<(String, String)>| {
            let rows = named.into_iter().map(|(name, label)| std::iter::once(label).chain(cells(&name)).collect());
            rows.filter(|row: &Vec<String>| row[1..].iter().any(|cell| !cell.is_empty())).collect::<Vec<Vec<String>>>()
        };
        let head = |first: &str| std::iter::once(first.to_owned()).chain(head.clone()).collect::<Vec<_>>();
        let main = NAMES.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect();
        let targets = Target::ALL.into_iter().skip(1).flat_map(|target| {
            let metrics = [
                ("exams", "exams with a label"),
                ("positive_exams", "of them positive"),
                ("auroc", "AUROC"),
                ("average_precision", "average precision"),
                ("brier_score", "Brier score"),
            ];
            metrics.map(|(name, label)| (format!("{target}.{name}"), format!("{target}: {label}")))
        });
        let targets = rows(targets.collect());
        html! {
            h2 #metrics { "Metrics" }
            @if self.0.metrics.keys().any(|name| name.starts_with("validation.")) {
                p.quiet {
                    "Checkpoint, calibration and operating point were chosen on the validation exams, so their metrics "
                    "flatter the model; those of the test exams do not. Intervals are Wilson's of shares and bias-corrected "
                    "ones over resampled patients of the rest. Slices of one exam are alike, so their metrics have none."
                }
            }
            (table(&head("exam probability"), rows(main)))
            @if !targets.is_empty() {
                h3 { "Further targets" }
                (table(&head("target"), targets))
            }
        }
    }

    /// Truth against the three answers, split by split.
    pub(super) fn calls(&self) -> Markup {
        let Some(point) = &self.0.operating_point else { return html! {} };
        let count = |split: Split, name: &str| {
            self.metric(split, name).map_or_else(|| "-".to_owned(), |metric| format!("{:.0}", metric.value))
        };
        let [low, high] = point.indeterminate;
        let class = |embolism: bool, answer: Decision| match answer {
            Decision::Undetermined => "",
            Decision::Present | Decision::Absent if embolism == (answer == Decision::Present) => "right",
            Decision::Present | Decision::Absent => "wrong",
        };
        let word = |embolism: bool, answer: Decision| match (answer, embolism) {
            (Decision::Undetermined, _) => "undetermined",
            (Decision::Present, true) => "found",
            (Decision::Present, false) => "false alarms",
            (Decision::Absent, true) => "missed",
            (Decision::Absent, false) => "correctly cleared",
        };
        html! {
            h2 #calls { "Calls at the operating point" }
            p {
                "Embolism is called from a probability of " (number(point.threshold)) ": " (point.chosen) ". From "
                (number(low)) " to " (number(high)) " the answer is undetermined: neither present nor absent, neither a false "
                "alarm nor a miss. Sensitivity, specificity and predictive values count such exams on the side of the "
                "threshold on which they lie."
            }
            div.side {
                @for split in SPLITS.into_iter().filter(|split| self.metric(*split, COUNTS[0].1[0]).is_some()) {
                    div {
                        h3 { (self.exams_of(split)) }
                        table.confusion {
                            tr { th { "" } @for answer in ANSWERS { th { (answer) } } }
                            @for (embolism, names) in COUNTS {
                                tr {
                                    th { @if embolism { "embolism" } @else { "none" } }
                                    @for (name, answer) in names.into_iter().zip(ANSWERS) {
                                        td class=(class(embolism, answer)) {
                                            b { (count(split, name)) } (word(embolism, answer))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

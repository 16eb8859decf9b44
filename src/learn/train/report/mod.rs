//! `report.html`: an experiment on one page, for the people who have to judge it. Figures with their intervals, curves,
//! calibration, calls at the operating point, the exams that went worst, the course of the fit, counts, configuration.

mod charts;
mod curves;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

use super::configuration::TrainConfiguration;
use super::dataset::PreparedExam;
use super::evaluate::{Evaluation, Prediction};
use super::labels::Split;
use super::metrics::Scored;
use crate::engine::models::manifest::{IntendedUse, Metric};
use charts::{Chart, Line};

/// Fits of an experiment, by their folders, in the order in which they run.
const FITS: [(&str, &str); 3] =
    [("patches", "encoder on patches"), ("network", "network"), ("head", "head on whole stacks")];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1b1f24}\
table{border-collapse:collapse;margin:.5em 0}td,th{border:1px solid #cfd6dd;padding:.2em .6em;text-align:left}\
th{background:#eef2f5}td.number{text-align:right;font-variant-numeric:tabular-nums}.charts{display:flex;flex-wrap:wrap}\
pre{background:#f5f7f9;padding:1em;overflow:auto}.notice{background:#ffd37a;padding:.6em 1em;font-weight:600}";
/// Exams that are named as the worst.
const WORST: usize = 10;

/// What a report is made of.
pub(crate) struct Report<'a> {
    pub(crate) configuration: &'a TrainConfiguration,
    pub(crate) exams: &'a [PreparedExam],
    pub(crate) evaluation: &'a Evaluation,
    /// Empty for lungs.
    pub(crate) predictions: &'a [Prediction],
    /// SHA-256 of the table of prepared exams.
    pub(crate) exams_sha256: &'a str,
    /// The experiment's folder, with the logs of its fits.
    pub(crate) folder: &'a Path,
}

impl Report<'_> {
    /// The page as HTML.
    pub(crate) fn html(&self) -> String {
        let title = format!("Experiment {}", self.configuration.work.experiment);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (title) }
                    @if self.configuration.package.intended_use != IntendedUse::Clinical {
                        p.notice { "Research use only: not for decisions about patients." }
                    }
                    p { (self.configuration.package.data) }
                    (self.figures())
                    @if !self.predictions.is_empty() { (self.curves()) (self.calls()) (self.worst()) }
                    (self.course())
                    (self.counts())
                    h2 { "Configuration" }
                    p { "Table of prepared exams: SHA-256 " code { (self.exams_sha256) } }
                    pre { (self.configuration.to_toml()) }
                }
            }
        };
        page.into_string()
    }

    fn figures(&self) -> Markup {
        let row = |(name, metric): (&String, &Metric)| {
            let interval = metric.interval.map_or_else(String::new, |[low, high]| format!("{low:.3} to {high:.3}"));
            vec![name.clone(), format!("{:.3}", metric.value), interval]
        };
        html! {
            h2 { "Figures" }
            p {
                "Checkpoint, calibration and operating point were chosen on the validation exams, so their figures "
                "flatter the model; those of the test exams do not."
            }
            (table(&["figure", "value", "95 % interval (bootstrap over exams)"], self.evaluation.metrics.iter().map(row)))
        }
    }

    fn scored(&self, split: Split) -> Vec<Scored> {
        let of_split = self.predictions.iter().filter(|one| one.split == split);
        of_split.map(|one| Scored { score: one.probability, positive: one.embolism }).collect()
    }

    fn curves(&self) -> Markup {
        let lines = |points: fn(&[Scored]) -> Vec<(f64, f64)>| {
            [Split::Validation, Split::Test]
                .into_iter()
                .map(|split| Line { name: split.name().to_owned(), points: points(&self.scored(split)) })
                .filter(|line| !line.points.is_empty())
                .collect::<Vec<_>>()
        };
        let chart = |title, axes, lines, diagonal| Chart { title, axes, lines, diagonal, unit: true }.svg();
        let characteristic = lines(curves::receiver_operating_characteristic);
        html! {
            h2 { "Curves of the exam probability" }
            div.charts {
                (chart("Receiver operating characteristic", ["1 - specificity", "sensitivity"], characteristic, true))
                (chart("Precision and recall", ["recall", "precision"], lines(curves::precision_recall), false))
                (chart("Reliability", ["probability", "share with embolism"], lines(curves::reliability), true))
            }
        }
    }

    fn calls(&self) -> Markup {
        let Some(point) = &self.evaluation.operating_point else { return html! {} };
        let count = |split: Split, name: &str| {
            let found = self.evaluation.metrics.get(&format!("{}.{name}", split.name()));
            found.map_or_else(|| "-".to_owned(), |metric| format!("{:.0}", metric.value))
        };
        let row = |split: Split| {
            let names = ["true_positives", "false_negatives", "true_negatives", "false_positives"];
            std::iter::once(split.name().to_owned()).chain(names.map(|name| count(split, name))).collect()
        };
        html! {
            h2 { "Calls at the operating point" }
            p { "Embolism is called from a probability of " (format!("{:.3}", point.threshold)) "." }
            (table(
                &["split", "found", "missed", "rightly cleared", "false alarms"],
                [Split::Validation, Split::Test].into_iter().map(row),
            ))
        }
    }

    fn worst(&self) -> Markup {
        let distance = |one: &Prediction| (one.probability - f64::from(u8::from(one.embolism))).abs();
        let mut order: Vec<&Prediction> = self.predictions.iter().collect();
        order.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
        let row = |one: &&Prediction| {
            let truth = if one.embolism { "embolism" } else { "none" };
            vec![one.series.clone(), one.split.name().to_owned(), truth.to_owned(), format!("{:.3}", one.probability)]
        };
        html! {
            h2 { "Exams furthest from the truth" }
            (table(&["series", "split", "label", "probability"], order.iter().take(WORST).map(row)))
        }
    }

    fn course(&self) -> Markup {
        html! {
            h2 { "Course of the fit" }
            div.charts {
                @for (folder, name) in FITS {
                    (course_of(name, &read_log(&self.folder.join(folder).join("log.jsonl"))))
                }
            }
        }
    }

    fn counts(&self) -> Markup {
        let row = |split: Split| {
            let exams: Vec<&PreparedExam> = self.exams.iter().filter(|exam| exam.split == split).collect();
            let positive = exams.iter().filter(|exam| exam.embolism).count();
            let slices: usize = exams.iter().map(|exam| exam.slices).sum();
            let labelled: usize = exams.iter().map(|exam| exam.labelled_slices).sum();
            let counts = [exams.len(), positive, slices, labelled].map(|count| count.to_string());
            std::iter::once(split.name().to_owned()).chain(counts).collect()
        };
        html! {
            h2 { "Exams" }
            (table(
                &["split", "exams", "with embolism", "slices", "slices with a label"],
                [Split::Train, Split::Validation, Split::Test].into_iter().map(row),
            ))
        }
    }
}

/// A table; cells that are numbers stand to the right.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Markup {
    html! {
        table {
            tr { @for cell in head { th { (cell) } } }
            @for row in rows {
                tr { @for cell in row { td.number[cell.parse::<f64>().is_ok()] { (cell) } } }
            }
        }
    }
}

/// An epoch as the fit logged it.
#[derive(Debug, Deserialize)]
struct Epoch {
    epoch: f64,
    loss: f64,
    #[serde(flatten)]
    figures: BTreeMap<String, serde_json::Value>,
}

/// What a log says, line by line. A fit that was not run has none; a line cut off by a kill is left out.
fn read_log(path: &Path) -> Vec<Epoch> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn course_of(name: &str, epochs: &[Epoch]) -> Markup {
    if epochs.is_empty() {
        return html! {};
    }
    let loss = Line { name: "loss".to_owned(), points: epochs.iter().map(|one| (one.epoch, one.loss)).collect() };
    let figures: BTreeSet<&String> = epochs.iter().flat_map(|one| one.figures.keys()).collect();
    let line = |figure: &String| Line {
        name: figure.clone(),
        points: epochs.iter().filter_map(|one| Some((one.epoch, one.figures.get(figure)?.as_f64()?))).collect(),
    };
    let is_shown = |figure: &&String| figure.contains("auroc") || figure.contains("dice");
    let validation: Vec<Line> = figures.into_iter().filter(is_shown).map(line).collect();
    let chart =
        |title: &str, axis, lines| Chart { title, axes: ["epoch", axis], lines, diagonal: false, unit: false }.svg();
    html! {
        (chart(&format!("Loss: {name}"), "loss", vec![loss]))
        (chart(&format!("Validation: {name}"), "figure", validation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::analyse::findings::Decision;
    use crate::engine::models::manifest::Kind;

    fn evaluation() -> Evaluation {
        let metric = Metric { value: 0.75, interval: Some([0.5, 0.9]) };
        let metrics = BTreeMap::from([("test.exam_auroc".to_owned(), metric)]);
        Evaluation { metrics, ..Evaluation::uncalibrated(Kind::LungSegmentation) }
    }

    #[test]
    fn a_page_needs_no_other_file_and_takes_text_as_text() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(folder.path().join("network")).expect("folder");
        let log =
            "{\"epoch\":1,\"loss\":0.7,\"exam_auroc\":0.6}\n{\"epoch\":2,\"loss\":0.5,\"exam_auroc\":0.8}\n{\"epo";
        std::fs::write(folder.path().join("network/log.jsonl"), log).expect("write");
        let configuration = TrainConfiguration::load(None, &["work.experiment=\"<b>\"".to_owned()]).expect("settings");
        let prediction = |number: u32, split| Prediction {
            series: format!("2.25.{number}"),
            split,
            embolism: number.is_multiple_of(2),
            logit: 0.0,
            probability: f64::from(number) / 10.0,
            decision: Decision::Undetermined,
        };
        let predictions: Vec<Prediction> = (0..10).map(|number| prediction(number, Split::Test)).collect();
        let html = Report {
            configuration: &configuration,
            exams: &[],
            evaluation: &evaluation(),
            predictions: &predictions,
            exams_sha256: "00",
            folder: folder.path(),
        }
        .html();
        assert!(html.contains("Experiment &lt;b&gt;") && !html.contains("<b>"));
        assert_eq!(html.matches("<svg").count(), 5, "three curves, loss and figure of the one fit");
        assert!(html.contains("0.500 to 0.900") && html.contains("2.25.9"));
        assert!(!html.contains("src=") && !html.contains("href="));
    }
}

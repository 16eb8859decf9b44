//! The page as a whole.

use maud::{Markup, html};

use super::cases::{self, Case};
use super::charts::{Band, Chart, Line};
use super::course::{self, Course};
use super::groups::{self, Attributes};
use super::metric_tables::MetricTables;
use super::sources::by_reason;
use super::{curves, markup};
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::evaluate::{Evaluation, Prediction, scored};
use crate::learn::train::labels::{Exclusion, Split};
use crate::learn::train::metrics::Scored;

/// The contents of a report.
pub(crate) struct Report<'a> {
    pub(crate) title: String,
    /// What the results must not be used for.
    pub(crate) notice: &'static str,
    /// What was evaluated, and on what: names and values.
    pub(crate) about: Vec<(&'static str, String)>,
    pub(crate) evaluation: &'a Evaluation,
    /// Empty for lungs.
    pub(crate) predictions: &'a [Prediction],
    pub(crate) attributes: Attributes,
    pub(crate) cases: Vec<Case>,
    /// Empty where there was no fit.
    pub(crate) courses: Vec<Course>,
    /// Rows of exams, exams with embolism, slices, slices with a label.
    pub(crate) counts: Vec<Vec<String>>,
    pub(crate) exclusions: Vec<Exclusion>,
    /// As TOML.
    pub(crate) configuration: String,
    pub(crate) resampling: Resampling,
}

impl Report<'_> {
    /// The page as HTML.
    pub(crate) fn html(&self) -> String {
        let tables = MetricTables(self.evaluation);
        let contents = html! {
            p.notice { (self.notice) }
            (tables.key_metrics())
            (self.about())
            (self.navigation())
            (tables.all())
            @if !self.predictions.is_empty() {
                (self.curves(&tables))
                (tables.calls())
                (self.calibration())
                (groups::tables(&tables, self.predictions, &self.attributes))
                (cases::figures(&tables, &self.cases, &self.attributes))
            }
            (course::charts(&self.courses))
            (self.exams())
            h2 #configuration { "Configuration" }
            pre { (self.configuration) }
        };
        markup::page(&self.title, contents).into_string()
    }

    fn about(&self) -> Markup {
        html! {
            table {
                @for (name, value) in self.about.iter().filter(|(_, value)| !value.is_empty()) {
                    tr { th { (name) } td { (value) } }
                }
            }
        }
    }

    fn navigation(&self) -> Markup {
        let parts = [
            ("metrics", "Metrics", true),
            ("curves", "Curves", !self.predictions.is_empty()),
            ("calls", "Calls", !self.predictions.is_empty()),
            ("calibration", "Calibration", !self.predictions.is_empty()),
            ("cases", "Worst exams", !self.cases.is_empty()),
            ("course", "Course of the fit", !self.courses.is_empty()),
            ("exams", "Exams", true),
            ("configuration", "Configuration", true),
        ];
        html! {
            nav { @for (id, name, _) in parts.iter().filter(|(.., there)| *there) { a href={ "#" (id) } { (name) } } }
        }
    }

    /// Splits that have predictions, with their exams.
    fn scored(&self) -> impl Iterator<Item = (Split, ByPatient<Scored>)> + '_ {
        let of_split = |split| (split, scored(self.predictions, split));
        [Split::Validation, Split::Test].into_iter().map(of_split).filter(|(_, scored)| !scored.exams().is_empty())
    }

    /// A chart with one line per split.
    fn chart(&self, title: &str, axes: [&str; 2], curve: fn(&[Scored]) -> Vec<(f64, f64)>, with_bands: bool) -> Chart {
        let drawn: Vec<_> = self.scored().map(|(split, scored)| (split, curve(&scored.exams()), scored)).collect();
        let drawn: Vec<_> = drawn.into_iter().filter(|(_, points, _)| !points.is_empty()).collect();
        let band = |(line, (_, _, scored)): (usize, &(Split, Vec<(f64, f64)>, ByPatient<Scored>))| Band {
            line,
            points: curves::band(scored, self.resampling, curve),
        };
        Chart {
            title: title.to_owned(),
            axes: axes.map(str::to_owned),
            bands: if with_bands { drawn.iter().enumerate().map(band).collect() } else { Vec::new() },
            lines: drawn.into_iter().map(|(split, points, _)| Line { name: split.name().to_owned(), points }).collect(),
            marks: Vec::new(),
            diagonal: false,
            unit: true,
        }
    }

    fn curves(&self, tables: &MetricTables<'_>) -> Markup {
        let axes = ["1 - specificity", "sensitivity"];
        let characteristic =
            self.chart("Receiver operating characteristic", axes, curves::receiver_operating_characteristic, true);
        let marks = self.evaluation.operating_point.iter().flat_map(|point| {
            self.scored()
                .filter_map(|(_, scored)| curves::call_at(&scored.exams(), point.threshold))
                .collect::<Vec<_>>()
        });
        let characteristic = Chart { diagonal: true, marks: marks.collect(), ..characteristic };
        let precision = self.chart("Precision and recall", ["recall", "precision"], curves::precision_recall, true);
        html! {
            h2 #curves { "Curves of the exam probability" }
            p.quiet {
                @for (split, _) in self.scored() { (tables.exams_of(split)) ". " }
                "Shades are 95 % intervals, by resampling patients; dots are the operating point."
            }
            div.charts { (characteristic.svg()) (precision.svg()) }
        }
    }

    fn calibration(&self) -> Markup {
        let chart = self.chart("Reliability", ["probability", "share with embolism"], curves::reliability, false);
        html! {
            h2 #calibration { "Calibration" }
            div.side {
                (Chart { diagonal: true, ..chart }.svg())
                ul { @for note in &self.evaluation.notes { li { (note) } } }
            }
        }
    }

    fn exams(&self) -> Markup {
        let head = ["exams of", "exams", "with embolism", "slices", "slices with a label", "of them with embolism"];
        let reasons = by_reason(&self.exclusions);
        html! {
            h2 #exams { "Exams" }
            (markup::table(&head.map(str::to_owned), self.counts.clone()))
            h3 { "Left out: " (self.exclusions.len()) }
            @if !reasons.is_empty() {
                (markup::table(&["step", "reason", "exams"].map(str::to_owned), reasons))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::cases::Picture;
    use super::*;
    use crate::engine::models::manifest::{Kind, Metric};
    use crate::learn::train::evaluate::testing::prediction;

    fn report<'a>(evaluation: &'a Evaluation, predictions: &'a [Prediction], folder: &std::path::Path) -> Report<'a> {
        let case = Case {
            prediction: prediction(77, true, 0.01),
            picture: Picture::new(&image::RgbImage::new(4, 4), "slice 3 of 9".to_owned()),
        };
        let mut attributes = Attributes::default();
        attributes.add("2.25.2", "kernel", "B<60>");
        Report {
            title: "Experiment <b>".to_owned(),
            notice: "Research use only",
            about: vec![("Networks", "00ff".to_owned()), ("Nothing", String::new())],
            evaluation,
            predictions,
            attributes,
            cases: vec![case],
            courses: Course::read(folder, ""),
            counts: vec![vec!["test".to_owned(), "10".to_owned()]],
            exclusions: vec![
                Exclusion::new("labels", "1.2.3", "line 4: broken"),
                Exclusion::new("labels", "1.2.5", "line 6: broken"),
            ],
            configuration: "work = 1".to_owned(),
            resampling: Resampling { count: 20, seed: 1 },
        }
    }

    #[test]
    fn a_page_needs_no_other_file_and_takes_text_as_text() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(folder.path().join("network")).expect("folder");
        let log =
            "{\"epoch\":1,\"loss\":0.7,\"exam_auroc\":0.6}\n{\"epoch\":2,\"loss\":0.5,\"exam_auroc\":0.8}\n{\"epo";
        std::fs::write(folder.path().join("network/log.jsonl"), log).expect("write");
        let metric = |value| Metric { value, interval: Some([0.5, 0.9]) };
        let metrics = [("test.exam_auroc", 0.75), ("test.exams", 10.0), ("test.left-sided-pe.auroc", 0.625)];
        let metrics: BTreeMap<String, Metric> =
            metrics.into_iter().map(|(name, value)| (name.to_owned(), metric(value))).collect();
        let notes = vec!["exams: not calibrated".to_owned()];
        let evaluation = Evaluation { metrics, notes, ..Evaluation::uncalibrated(Kind::EmbolismClassifier) };
        let predictions: Vec<Prediction> =
            (0..10).map(|number| prediction(number, number % 2 == 0, f64::from(number) / 10.0)).collect();
        let html = report(&evaluation, &predictions, folder.path()).html();
        assert!(
            html.contains("Experiment &lt;b&gt;") && !html.contains("Experiment <b>") && html.contains("B&lt;60&gt;")
        );
        assert_eq!(html.matches("<svg").count(), 5, "ROC, PR, reliability; loss and metric of the one fit");
        for part in
            ["0.500 to 0.900", "Missed embolism", "slice 3 of 9", "left-sided-pe: AUROC", "exams: not calibrated"]
        {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(html.contains("line N: broken") && html.contains(">2<"), "exclusions are counted by reason");
        let references = ["src=", "href="].iter().flat_map(|name| html.split(name).skip(1));
        for place in references {
            assert!(place.starts_with("\"data:image/png;base64,") || place.starts_with("\"#"), "{}", &place[..40]);
        }
        assert!(!html.contains("url(") && !html.contains("@import") && !html.contains("Nothing"));
    }

    #[test]
    fn a_page_of_lungs_or_of_one_class_has_no_curves_and_no_empty_parts() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let metrics = BTreeMap::from([("test.dice_left".to_owned(), Metric { value: 0.98, interval: None })]);
        let evaluation = Evaluation { metrics, ..Evaluation::uncalibrated(Kind::LungSegmentation) };
        let page = Report { cases: Vec::new(), ..report(&evaluation, &[], folder.path()) }.html();
        assert!(page.contains("Dice of the left lung") || page.contains("Dice, left lung"));
        let absent = ["<svg", "#curves", "Exams with the worst predictions"];
        assert!(absent.iter().all(|part| !page.contains(part)));
        let positive: Vec<Prediction> = (0..3).map(|n| prediction(n, true, 0.8)).collect();
        let page = report(&evaluation, &positive, folder.path()).html();
        assert!(page.contains("no points to draw"), "a curve of one class says that it has no points");
    }
}

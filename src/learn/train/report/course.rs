//! The course of a fit, from the log that it wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use maud::{Markup, html};
use serde::Deserialize;
use strum::IntoEnumIterator as _;

use super::charts::{Chart, Line};
use crate::learn::train::fit::FitPart;

/// The course of one part of a fit.
#[derive(Debug)]
pub(crate) struct Course {
    name: String,
    epochs: Vec<Epoch>,
}

/// An epoch as the fit logged it.
#[derive(Debug, Deserialize)]
pub(super) struct Epoch {
    epoch: f64,
    #[serde(flatten)]
    metrics: BTreeMap<String, serde_json::Value>,
}

impl Epoch {
    /// From 1.
    pub(super) fn number(&self) -> f64 {
        self.epoch
    }

    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.metrics.get(name)?.as_f64()
    }

    fn is_best(&self) -> bool {
        self.metrics.get("best").and_then(serde_json::Value::as_bool).unwrap_or_default()
    }
}

impl Course {
    /// The parts of a fit that were run in a folder; `whose` names the fit where there are several.
    pub(crate) fn read(folder: &Path, whose: &str) -> Vec<Self> {
        let part = |part: FitPart| {
            let name = part.description();
            Self::of_part(folder, part, if whose.is_empty() { name.to_owned() } else { format!("{name}, {whose}") })
        };
        FitPart::iter().filter_map(part).collect()
    }

    /// The fit of all weights in a folder, where it was run.
    pub(super) fn of_network(folder: &Path, name: &str) -> Option<Self> {
        Self::of_part(folder, FitPart::Network, name.to_owned())
    }

    fn of_part(folder: &Path, part: FitPart, name: String) -> Option<Self> {
        // A part that was not run has no log; a line cut off by a kill is left out.
        let text = std::fs::read_to_string(folder.join(part.folder()).join("log.jsonl")).unwrap_or_default();
        let epochs: Vec<Epoch> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (!epochs.is_empty()).then_some(Self { name, epochs })
    }

    pub(super) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// The epoch whose weights are kept.
    pub(super) fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rfind(|epoch| epoch.is_best())
    }

    /// A metric by epoch.
    pub(super) fn values(&self, metric: &str) -> impl Iterator<Item = (f64, f64)> {
        self.epochs.iter().filter_map(move |epoch| Some((epoch.epoch, epoch.value(metric)?)))
    }

    /// A line for each metric whose name holds one of the words.
    fn lines(&self, words: &[&str]) -> Vec<Line> {
        let metrics: BTreeSet<&String> = self.epochs.iter().flat_map(|one| one.metrics.keys()).collect();
        let line = |metric: &String| Line { name: metric.replace('_', " "), points: self.values(metric).collect() };
        let wanted = |metric: &&String| words.iter().any(|word| metric.contains(word));
        metrics.into_iter().filter(wanted).map(line).filter(|line| !line.points.is_empty()).collect()
    }
}

/// Loss and validation metrics of each part.
pub(super) fn charts(courses: &[Course]) -> Markup {
    let chart = |title: String, axis: &str, lines| {
        Chart {
            title,
            axes: ["epoch".to_owned(), axis.to_owned()],
            lines,
            bands: Vec::new(),
            marks: Vec::new(),
            diagonal: false,
            unit: false,
        }
        .svg()
    };
    html! {
        @if !courses.is_empty() {
            h2 #course { "Course of the fit" }
            div.charts {
                @for course in courses {
                    (chart(format!("Loss: {}", course.name), "loss", course.lines(&["loss"])))
                    (chart(format!("Validation: {}", course.name), "metric", course.lines(&["auroc", "dice"])))
                }
            }
        }
    }
}

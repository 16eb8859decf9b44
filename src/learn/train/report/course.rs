//! The course of a fit, from the log that it wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use maud::{Markup, html};
use serde::Deserialize;

use super::charts::{Chart, Line};

/// Parts of a fit, by their folders, in the order in which they run.
const PARTS: [(&str, &str); 3] =
    [("patches", "encoder on patches"), ("network", "network"), ("head", "head on whole stacks")];

/// The course of one part of a fit.
#[derive(Debug)]
pub(crate) struct Course {
    name: String,
    epochs: Vec<Epoch>,
}

/// An epoch as the fit logged it.
#[derive(Debug, Deserialize)]
struct Epoch {
    epoch: f64,
    #[serde(flatten)]
    figures: BTreeMap<String, serde_json::Value>,
}

impl Course {
    /// The parts of a fit that were run in a folder; `whose` names the fit where there are several.
    pub(crate) fn read(folder: &Path, whose: &str) -> Vec<Self> {
        let part = |(part, name): (&str, &str)| {
            // A part that was not run has no log; a line cut off by a kill is left out.
            let text = std::fs::read_to_string(folder.join(part).join("log.jsonl")).unwrap_or_default();
            let epochs: Vec<Epoch> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let name = if whose.is_empty() { name.to_owned() } else { format!("{name}, {whose}") };
            (!epochs.is_empty()).then_some(Self { name, epochs })
        };
        PARTS.into_iter().filter_map(part).collect()
    }

    /// A line for each figure whose name holds one of the words.
    fn lines(&self, words: &[&str]) -> Vec<Line> {
        let figures: BTreeSet<&String> = self.epochs.iter().flat_map(|one| one.figures.keys()).collect();
        let line = |figure: &String| Line {
            name: figure.replace('_', " "),
            points: self
                .epochs
                .iter()
                .filter_map(|one| Some((one.epoch, one.figures.get(figure)?.as_f64()?)))
                .collect(),
        };
        let wanted = |figure: &&String| words.iter().any(|word| figure.contains(word));
        figures.into_iter().filter(wanted).map(line).filter(|line| !line.points.is_empty()).collect()
    }
}

/// Loss and validation figures of each part.
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
                    (chart(format!("Validation: {}", course.name), "figure", course.lines(&["auroc", "dice"])))
                }
            }
        }
    }
}

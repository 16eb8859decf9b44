//! Exams grouped by their attributes: embolus level, scanner, kernel, slice thickness.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::markup::{number, table};
use super::metric_tables::MetricTables;
use crate::learn::train::evaluate::Prediction;
use crate::learn::train::metrics::{Confusion, Scored, auroc, wilson_interval};

/// Groups of an attribute that are shown, the largest first.
const MOST: usize = 12;
/// Levels of emboli from the heart outwards.
const LEVELS: [&str; 6] = ["saddle", "central", "main", "lobar", "segmental", "subsegmental"];

/// Attributes of exams besides their labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attributes {
    /// Names, in the order of the page.
    names: Vec<String>,
    /// Values by series and name.
    values: BTreeMap<(String, String), String>,
}

impl Attributes {
    /// Adds an attribute of a series; an empty value is ignored.
    pub(crate) fn add(&mut self, series: &str, name: &str, value: impl Into<String>) {
        let value = value.into();
        if value.is_empty() {
            return;
        }
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        self.values.insert((series.to_owned(), name.to_owned()), value);
    }

    /// The attributes of a series, by name.
    pub(crate) fn of<'a>(&'a self, series: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let value = |name: &'a String| Some((name.as_str(), self.get(series, name)?));
        self.names.iter().filter_map(value)
    }

    fn get(&self, series: &str, name: &str) -> Option<&str> {
        self.values.get(&(series.to_owned(), name.to_owned())).map(String::as_str)
    }
}

/// Exams that share a value.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    value: String,
    scored: Vec<Scored>,
}

/// The groups of an attribute, in an order that a reader expects, and how many more exams are in smaller groups.
fn groups(predictions: &[&Prediction], attributes: &Attributes, name: &str) -> (Vec<Group>, usize) {
    let mut found: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for prediction in predictions {
        if let Some(value) = attributes.get(&prediction.series, name) {
            found.entry(value).or_default().push(prediction.scored());
        }
    }
    let mut groups: Vec<Group> =
        found.into_iter().map(|(value, scored)| Group { value: value.to_owned(), scored }).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.scored.len()));
    let others = groups.iter().skip(MOST).map(|group| group.scored.len()).sum();
    groups.truncate(MOST);
    let level = |group: &Group| LEVELS.iter().position(|level| group.value.starts_with(level));
    let size = |group: &Group| group.value.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    groups.sort_by(|a, b| {
        let by_level = level(a).cmp(&level(b));
        let by_size = size(a).partial_cmp(&size(b)).unwrap_or(std::cmp::Ordering::Equal);
        by_level.then(by_size).then(a.value.cmp(&b.value))
    });
    (groups, others)
}

/// `17 of 20: 0.850 (0.640 to 0.948)`; `-` without exams, no interval with few.
fn share(hits: u64, all: u64) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let share = hits as f64 / all as f64;
    let interval = match wilson_interval(share, all as usize) {
        Some([low, high]) => format!("{low:.3} to {high:.3}"),
        None => "too few".to_owned(),
    };
    format!("{hits} of {all}: {share:.3} ({interval})")
}

fn row(group: &Group, threshold: f64) -> Vec<String> {
    let calls = Confusion::at(&group.scored, threshold);
    vec![
        group.value.clone(),
        group.scored.len().to_string(),
        share(calls.true_positive, calls.true_positive + calls.false_negative),
        share(calls.true_negative, calls.true_negative + calls.false_positive),
        auroc(&group.scored).map_or_else(|| "-".to_owned(), number),
    ]
}

/// One table per attribute.
pub(super) fn tables(metrics: &MetricTables<'_>, predictions: &[Prediction], attributes: &Attributes) -> Markup {
    let (Some(point), split) = (&metrics.0.operating_point, metrics.main_split()) else { return html! {} };
    let predictions: Vec<&Prediction> = predictions.iter().filter(|one| one.split == split).collect();
    let tables: Vec<_> = attributes
        .names
        .iter()
        .map(|name| (name, groups(&predictions, attributes, name)))
        .filter(|(_, (groups, _))| !groups.is_empty())
        .collect();
    if tables.is_empty() {
        return html! {};
    }
    let head =
        |name: &str| [name, "exams", "sensitivity (95 %)", "specificity (95 %)", "AUROC"].map(str::to_owned).to_vec();
    html! {
        h2 #groups { "By embolus level and acquisition" }
        p.quiet { "On " (metrics.exams_of(split)) ", at the operating point; Wilson's intervals." }
        @for (name, (groups, others)) in tables {
            (table(&head(name), groups.iter().map(|group| row(group, point.threshold)).collect()))
            @if others > 0 { p.quiet { (others) " more exams are in smaller groups." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::evaluate::testing::prediction;

    #[test]
    fn levels_go_from_the_heart_outwards_and_thicknesses_by_size() {
        let predictions: Vec<Prediction> = (0..6).map(|n| prediction(n, true, 0.5)).collect();
        let mut attributes = Attributes::default();
        for (prediction, (level, thickness)) in predictions.iter().zip([
            ("subsegmental", "10 mm"),
            ("main", "0.75 mm"),
            ("segmental", "2 mm"),
            ("saddle", "2 mm"),
            ("lobar", "1 mm"),
            ("", ""),
        ]) {
            attributes.add(&prediction.series, "embolus level", level);
            attributes.add(&prediction.series, "slice thickness", thickness);
        }
        let all: Vec<&Prediction> = predictions.iter().collect();
        let values =
            |name: &str| groups(&all, &attributes, name).0.into_iter().map(|group| group.value).collect::<Vec<_>>();
        assert_eq!(values("embolus level"), ["saddle", "main", "lobar", "segmental", "subsegmental"]);
        assert_eq!(values("slice thickness"), ["0.75 mm", "1 mm", "2 mm", "10 mm"]);
        assert_eq!(
            attributes.of("2.25.1").collect::<Vec<_>>(),
            [("embolus level", "main"), ("slice thickness", "0.75 mm")]
        );
    }

    #[test]
    fn a_row_counts_calls_within_its_group_alone() {
        let scored =
            [(0.9, true), (0.2, true), (0.1, false)].map(|(score, positive)| Scored { score, positive }).to_vec();
        let cells = row(&Group { value: "B60".to_owned(), scored }, 0.5);
        assert_eq!(cells[..2], ["B60", "3"]);
        assert!(
            cells[2] == "1 of 2: 0.500 (too few)" && share(17, 20) == "17 of 20: 0.850 (0.640 to 0.948)",
            "{cells:?}"
        );
        assert_eq!(cells[4], "1.000");
    }
}

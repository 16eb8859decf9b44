//! What a report states about exams besides the metrics: how they were acquired, how many there are, why some were left
//! out.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::Attributes;
use crate::cohort::{Layout, LevelRow};
use crate::learn::train::TrainError;
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::labels::{Exclusion, Split};
use crate::learn::train::step::Step;
use crate::learn::train::table;
use crate::learn::train::volumes::{self, Acquisition};

/// Attributes of exams: levels of emboli where a cohort has `truth/exams.csv`, and how they were acquired where the
/// step `volumes` recorded it.
pub(crate) fn attributes(exams: &[&PreparedExam], acquired: Vec<volumes::Row>) -> Result<Attributes, TrainError> {
    let wanted: BTreeSet<&str> = exams.iter().map(|exam| exam.series.as_str()).collect();
    let roots: BTreeSet<&str> = exams.iter().map(|exam| exam.root.as_str()).collect();
    let mut attributes = Attributes::default();
    for root in roots {
        let path = Layout::below(root).truth_table();
        let rows: Vec<LevelRow> = if path.is_file() { table::read(&path, Step::Volumes)? } else { Vec::new() };
        for row in rows {
            attributes.add(&row.series_instance_uid, "embolus level", row.most_proximal_level);
        }
    }
    for row in acquired.into_iter().filter(|row| wanted.contains(row.series.as_str())) {
        add_acquisition(&mut attributes, &row.series.clone(), &row.acquisition());
    }
    Ok(attributes)
}

/// Adds how a series was acquired, as far as it is known.
pub(crate) fn add_acquisition(attributes: &mut Attributes, series: &str, acquisition: &Acquisition) {
    let Acquisition { manufacturer, model, kernel, kilovolts, slice_thickness_mm, age_years: _ } = acquisition;
    attributes.add(series, "scanner", format!("{manufacturer} {model}").trim());
    attributes.add(series, "kernel", kernel.as_str());
    let known = |value: f64, unit: &str| if value > 0.0 { format!("{value} {unit}") } else { String::new() };
    attributes.add(series, "tube voltage", known(*kilovolts, "kV"));
    attributes.add(series, "slice thickness", known((slice_thickness_mm * 100.0).round() / 100.0, "mm"));
}

/// One row per split: exams, with embolism, slices, with a label, of them with embolism.
pub(crate) fn counts(datasets: &[(Split, Dataset)]) -> Vec<Vec<String>> {
    let row = |(split, data): &(Split, Dataset)| {
        let exams: Vec<&PreparedExam> = data.exams.iter().filter(|exam| !exam.inserted).collect();
        let sum = |of: fn(&PreparedExam) -> usize| exams.iter().map(|exam| of(exam)).sum::<usize>();
        let counts = [
            exams.len(),
            sum(|exam| usize::from(exam.embolism)),
            sum(|exam| exam.slices),
            sum(|exam| exam.labelled_source_slices),
            sum(|exam| exam.positive_slices),
        ];
        std::iter::once(split.name().to_owned()).chain(counts.map(|count| count.to_string())).collect()
    };
    datasets.iter().map(row).collect()
}

/// Step, reason and number of exclusions, the most frequent first. Reasons that differ in numbers alone count as one.
pub(crate) fn by_reason(exclusions: &[Exclusion]) -> Vec<Vec<String>> {
    let mut found: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for exclusion in exclusions {
        *found.entry((&exclusion.step, without_numbers(&exclusion.reason))).or_default() += 1;
    }
    let mut rows: Vec<_> = found.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    rows.into_iter().map(|((step, reason), count)| vec![step.to_owned(), reason, count.to_string()]).collect()
}

/// `N` in the place of each number or identifier.
fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' if plain.ends_with('N') => {}
            // Between digits a point belongs to the number.
            '0'..='9' if plain.ends_with("N.") => {
                plain.pop();
            }
            '0'..='9' => plain.push('N'),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_are_one() {
        assert_eq!(without_numbers("line 12: 3.5 mm in 1.2.840.1."), "line N: N mm in N.");
        let of = |reason: &str| Exclusion::new("volumes", "1.2", reason);
        let rows = by_reason(&[of("indeterminate"), of("too thick: 5.0 mm"), of("too thick: 7.5 mm")]);
        assert_eq!(rows, [["volumes", "too thick: N mm", "2"], ["volumes", "indeterminate", "1"]]);
    }

    #[test]
    fn an_unknown_acquisition_makes_no_group() {
        let mut attributes = Attributes::default();
        let acquisition = Acquisition {
            manufacturer: "ACME".to_owned(),
            model: "One".to_owned(),
            slice_thickness_mm: 1.004,
            ..Acquisition::default()
        };
        add_acquisition(&mut attributes, "1.2", &acquisition);
        let known: Vec<(&str, &str)> = attributes.of("1.2").collect();
        assert_eq!(known, [("scanner", "ACME One"), ("slice thickness", "1 mm")]);
    }
}

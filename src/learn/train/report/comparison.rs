//! Many experiments beside each other: one table, the courses of their fits, and the settings in which they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::charts::{Chart, Line};
use super::course::Course;
use super::markup;
use crate::learn::train::evaluate::Evaluation;
use crate::learn::train::step::Step;
use crate::learn::train::{TrainError, files, table};

/// Validation metrics that decide which epoch is the best, of either kind of network.
const DECIDING: [&str; 2] = ["exam_auroc", "dice"];
const COLUMNS: [&str; 8] = ["run", "epochs", "best", "metric at best", "loss at best", "minutes", "slices/s", "test"];

/// A fit of an experiment.
struct Run {
    name: String,
    course: Course,
    test: String,
    /// By dotted key.
    settings: BTreeMap<String, String>,
}

/// Compares experiments by their folders, `<work.dir>/<experiment>`: lines of a table, and `comparison.html` and
/// `comparison.csv` below `out`.
///
/// # Errors
/// A folder without a fit, a file that cannot be read or written.
pub fn compare(folders: &[PathBuf], out: &Path) -> Result<Vec<String>, TrainError> {
    let runs: Vec<Vec<Run>> = folders.iter().map(|folder| Run::read(folder)).collect::<Result<_, _>>()?;
    let runs: Vec<Run> = runs.into_iter().flatten().collect();
    let rows: Vec<Vec<String>> = runs.iter().map(Run::row).collect();
    let page = out.join("comparison.html");
    files::write_whole(&page, html(&runs, &rows).into_string().as_bytes())?;
    table::write_cells(&out.join("comparison.csv"), &COLUMNS, &rows)?;
    let mut lines = aligned(&rows);
    lines.push(format!("plots, and the settings in which they differ: {}", page.display()));
    Ok(lines)
}

impl Run {
    /// The fits of an experiment: one, or one per fold.
    fn read(experiment: &Path) -> Result<Vec<Self>, TrainError> {
        let name = experiment.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fold = |number: usize| (experiment.join(format!("fold-{number}")), format!("{name}, fold {number}"));
        let folds = (0..).map(fold).take_while(|(folder, _)| folder.is_dir());
        let fits = std::iter::once((experiment.to_owned(), name.clone())).chain(folds);
        let test = test_metric(experiment)?;
        let mut runs = Vec::new();
        for (folder, name) in fits {
            if let Some(course) = Course::of_network(&folder, &name) {
                let settings = settings(&folder.join("train.toml"))?;
                runs.push(Self { name, course, test: test.clone(), settings });
            }
        }
        if runs.is_empty() {
            return Err(TrainError::StepMissing { path: experiment.join("network/log.jsonl"), step: Step::Fit });
        }
        Ok(runs)
    }

    fn row(&self) -> Vec<String> {
        let best = self.course.best();
        let at_best = |name: &str| best.and_then(|epoch| epoch.value(name));
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let seconds: f64 = self.course.values("seconds").map(|(_, seconds)| seconds).sum();
        let speed = self.course.values("slices_per_second").last().map(|(_, speed)| speed);
        vec![
            self.name.clone(),
            self.course.epochs().to_string(),
            best.map_or_else(|| "-".to_owned(), |epoch| format!("{:.0}", epoch.number())),
            shown(DECIDING.into_iter().find_map(at_best)),
            shown(at_best("validation_loss")),
            format!("{:.1}", seconds / 60.0),
            speed.map_or_else(|| "-".to_owned(), |speed| format!("{speed:.0}")),
            self.test.clone(),
        ]
    }
}

/// The deciding metric on test exams with its interval, where the experiment was evaluated and had some.
fn test_metric(experiment: &Path) -> Result<String, TrainError> {
    let path = experiment.join("evaluation.json");
    if !path.is_file() {
        return Ok("-".to_owned());
    }
    let metrics = Evaluation::read(&path)?.metrics;
    let found = DECIDING.into_iter().find_map(|name| metrics.get(&format!("test.{name}")));
    Ok(found.map_or_else(
        || "-".to_owned(),
        |metric| format!("{:.3} ({})", metric.value, markup::interval(metric)).replace(" ()", ""),
    ))
}

/// The settings of a fit by their dotted keys.
fn settings(path: &Path) -> Result<BTreeMap<String, String>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::file("reading", path))?;
    let settings: toml::Table =
        toml::from_str(&text).map_err(|error| TrainError::table(path, None, error.to_string()))?;
    let mut flat = BTreeMap::new();
    for (section, value) in settings {
        match value {
            toml::Value::Table(keys) => {
                flat.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value.to_string())));
            }
            value => {
                flat.insert(section, value.to_string());
            }
        }
    }
    Ok(flat)
}

/// The table as lines whose columns stand below each other.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

fn html(runs: &[Run], rows: &[Vec<String>]) -> Markup {
    let contents = html! {
        (markup::table(&COLUMNS.map(str::to_owned), rows.to_vec()))
        div.charts {
            @for metric in DECIDING { (chart(runs, metric)) }
            (chart(runs, "validation_loss"))
            (chart(runs, "loss"))
        }
        h2 { "Settings in which they differ" }
        (differences(runs))
    };
    markup::page("Comparison of experiments", contents)
}

/// One line per run; nothing where none has the metric.
fn chart(runs: &[Run], metric: &str) -> Markup {
    let line = |run: &Run| Line { name: run.name.clone(), points: run.course.values(metric).collect() };
    let lines: Vec<Line> = runs.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let chart = Chart {
        title: metric.replace('_', " "),
        axes: ["epoch".to_owned(), metric.replace('_', " ")],
        lines,
        bands: Vec::new(),
        marks: Vec::new(),
        diagonal: false,
        unit: false,
    };
    html! { @if !chart.lines.is_empty() { (chart.svg()) } }
}

fn differences(runs: &[Run]) -> Markup {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.settings.keys()).collect();
    let value = |run: &Run, key: &str| run.settings.get(key).cloned().unwrap_or_default();
    let differs = |key: &&String| runs.iter().map(|run| value(run, key)).collect::<BTreeSet<_>>().len() > 1;
    let row = |key: &String| std::iter::once(key.clone()).chain(runs.iter().map(|run| value(run, key))).collect();
    let rows: Vec<Vec<String>> = keys.into_iter().filter(differs).map(row).collect();
    let names = runs.iter().map(|run| run.name.clone());
    let head: Vec<String> = std::iter::once("setting".to_owned()).chain(names).collect();
    html! { @if rows.is_empty() { p { "None." } } @else { (markup::table(&head, rows)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(folder: &Path, name: &str, rate: f64, auroc: [f64; 2]) -> PathBuf {
        let experiment = folder.join(name);
        let line = |epoch: usize, best: bool| {
            format!(
                "{{\"epoch\":{epoch},\"loss\":0.5,\"seconds\":30,\"slices_per_second\":40,\"best\":{best},\
                 \"exam_auroc\":{},\"validation_loss\":0.25}}\n",
                auroc[epoch - 1]
            )
        };
        let second = auroc[1] > auroc[0];
        files::write_whole(&experiment.join("network/log.jsonl"), (line(1, true) + &line(2, second)).as_bytes())
            .expect("log");
        let settings = format!("kind = \"x\"\n[fit]\nepochs = 2\nlearning_rate = {rate}\n");
        files::write_whole(&experiment.join("train.toml"), settings.as_bytes()).expect("settings");
        experiment
    }

    #[test]
    fn runs_stand_beside_each_other_with_what_they_differ_in() {
        let folder = tempfile::tempdir().expect("folder");
        let runs =
            [experiment(folder.path(), "slow", 0.001, [0.7, 0.8]), experiment(folder.path(), "fast", 0.1, [0.75, 0.6])];
        let lines = compare(&runs, &folder.path().join("out")).expect("compared");
        let cells = |line: usize| -> Vec<&str> { lines[line].split_whitespace().collect() };
        assert_eq!(cells(1), ["slow", "2", "2", "0.800", "0.250", "1.0", "40", "-"]);
        assert_eq!(cells(2), ["fast", "2", "1", "0.750", "0.250", "1.0", "40", "-"]);
        let page = std::fs::read_to_string(folder.path().join("out/comparison.html")).expect("page");
        assert!(page.contains("fit.learning_rate") && !page.contains("fit.epochs"), "only what differs");
        assert_eq!(page.matches("<svg").count(), 3, "metric, validation loss, loss");
        let missing = compare(&[folder.path().join("nothing")], folder.path()).expect_err("no fit").to_string();
        assert!(missing.contains("nothing/network/log.jsonl"), "{missing}");
    }
}

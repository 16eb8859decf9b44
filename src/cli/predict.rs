//! `pe-node predict`: studies on disk, analysed without a node.

mod output;

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::ZonedDateTime;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{CliError, Settings};
use crate::config::Config;
use crate::dicom::hexadecimal;
use crate::engine::analyse::findings::TargetFinding;
use crate::engine::models::Models;
use crate::engine::pipeline::{AnalysisSummary, Ending, FindOptions, ReportOptions, SeriesOutcome, find, report};
use crate::engine::report::Results;
use crate::engine::volume::{Rejection, SeriesFiles, group_by_series};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// DICOM files, or folders with studies below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Table with one row a series; without it the rows are printed
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Folder for result objects, masks, maps and pictures, one folder a series
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Analyse series that quality checks reject too; their results say so
    #[arg(long)]
    ignore_quality: bool,
    #[command(flatten)]
    settings: Settings,
}

/// One row of the table. Column names and values are part of the contract with scripts.
#[derive(Debug, Default, Serialize)]
struct Row {
    study_instance_uid: String,
    series_instance_uid: String,
    status: &'static str,
    /// Codes of all reasons that apply, joined by semicolons.
    reasons: String,
    /// From 0 to 1.
    pe_probability: Option<String>,
    decision: Option<String>,
    left_lung_ml: Option<String>,
    right_lung_ml: Option<String>,
    seconds: String,
    /// Standard deviation of the probability over the networks of an ensemble.
    probability_spread: Option<String>,
    /// Probabilities of the classifier's further targets: `name=probability`, joined by semicolons.
    targets: String,
    /// As `probability_spread`, which is its former name.
    probability_standard_deviation: Option<String>,
}

/// A series with all that came of it.
struct Predicted {
    outcome: SeriesOutcome,
    summary: AnalysisSummary,
    /// Result objects and pictures, when analysed.
    results: Option<Results>,
}

/// Finds the series, analyses one after another, and writes a row for each as soon as it is done.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let config = arguments.settings.load()?;
    if let Some(missing) = arguments.paths.iter().find(|path| !path.exists()) {
        return Err(CliError::Usage(format!("{}: there is no such file or folder", missing.display())));
    }
    let mut table = Table::create(arguments.csv.as_deref())?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| CliError::Usage(format!("{}: {error}", folder.display())))?;
    }
    let grouping = group_by_series(&arguments.paths, &config.limits);
    let mut failures = 0;
    for (path, rejection) in &grouping.unreadable {
        eprintln!("pe-node: {}: {}: {}", path.display(), rejection.reason, rejection.explanation);
        table.write(&unreadable(rejection))?;
    }
    if grouping.series.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut models =
        Models::load(&config.models, &config.onnxruntime).map_err(|error| CliError::Usage(error.to_string()))?;
    let progress = progress(grouping.series.len());
    let mut folders = HashSet::new();
    for series in &grouping.series {
        let start = Instant::now();
        let outcome = analyse(series, &mut models, arguments, &config).and_then(|predicted| {
            let folder = arguments.out.as_ref().map(|out| out.join(folder_name(series, &mut folders)));
            folder.map_or(Ok(()), |folder| output::write(&folder, &predicted))?;
            Ok(predicted)
        });
        progress.suspend(|| tell(series, &outcome));
        failures += usize::from(outcome.is_err());
        table.write(&row(series, &outcome, start.elapsed()))?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of a series is named by it. Should another study of the run have a series of the same identifier, which
/// it must not, the study is named too: results of two studies never share a folder.
fn folder_name(series: &SeriesFiles, taken: &mut HashSet<String>) -> String {
    let (series, study) = (&series.series_instance_uid, &series.study_instance_uid);
    let name = series.to_string();
    let name = if taken.contains(&name) { format!("{series}-of-{study}") } else { name };
    taken.insert(name.clone());
    name
}

fn analyse(
    series: &SeriesFiles,
    models: &mut Models,
    arguments: &Arguments,
    config: &Config,
) -> Result<Predicted, CliError> {
    let options = FindOptions {
        limits: &config.limits,
        ignore_quality: arguments.ignore_quality || config.analysis.ignore_quality,
        allow_demonstration: config.models.allow_demonstration,
        key_slices: config.report.key_slices,
    };
    let mut outcome = find(&series.files, models, &options).map_err(|error| CliError::failed(&error))?;
    let options = ReportOptions {
        settings: &config.report,
        instance_set_digest: &digest(&series.files)?,
        predecessor: None,
        time: &ZonedDateTime::now(),
        software_version: env!("CARGO_PKG_VERSION"),
    };
    let results = report(&mut outcome, &options).map_err(|error| CliError::failed(&error))?;
    let summary = outcome.summary(results.as_ref().map_or(&[], |results| &results.objects));
    Ok(Predicted { outcome, summary, results })
}

/// A digest of the files that does not depend on their names or order.
fn digest(files: &[PathBuf]) -> Result<String, CliError> {
    use rayon::prelude::*;
    let digest = |path: &PathBuf| -> std::io::Result<Vec<u8>> { Ok(Sha256::digest(std::fs::read(path)?).to_vec()) };
    let digests: std::io::Result<Vec<Vec<u8>>> = files.par_iter().map(digest).collect();
    let mut digests = digests.map_err(|error| CliError::Failed(format!("reading a series: {error}")))?;
    digests.sort_unstable();
    Ok(hexadecimal(&Sha256::digest(digests.concat())))
}

fn progress(series: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} series, {elapsed} elapsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(series as u64).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(500));
    progress
}

/// Says on the terminal why a series has no result.
fn tell(series: &SeriesFiles, outcome: &Result<Predicted, CliError>) {
    let uid = &series.series_instance_uid;
    match outcome {
        Ok(predicted) => {
            for Rejection { reason, explanation } in predicted.summary.rejections() {
                eprintln!("pe-node: series {uid}: {reason}: {explanation}");
            }
        }
        Err(error) => eprintln!("pe-node: series {uid}: {error}"),
    }
}

fn row(series: &SeriesFiles, outcome: &Result<Predicted, CliError>, elapsed: Duration) -> Row {
    let summary = outcome.as_ref().ok().map(|predicted| &predicted.summary);
    let analysed = summary.and_then(AnalysisSummary::analysed);
    let lungs = summary.and_then(AnalysisSummary::lungs);
    let deviation = analysed.and_then(|analysed| analysed.standard_deviation).map(|share| format!("{share:.6}"));
    Row {
        study_instance_uid: series.study_instance_uid.to_string(),
        series_instance_uid: series.series_instance_uid.to_string(),
        status: match summary.map(|summary| &summary.ending) {
            Some(Ending::Analysed(_)) => "analysed",
            Some(Ending::Rejected(_)) => "rejected",
            None => "failed",
        },
        reasons: summary.map(|summary| codes(summary.rejections())).unwrap_or_default(),
        pe_probability: analysed.map(|analysed| format!("{:.6}", analysed.probability.value())),
        decision: analysed.map(|analysed| analysed.decision.to_string()),
        left_lung_ml: lungs.map(|lungs| format!("{:.1}", lungs.left_ml)),
        right_lung_ml: lungs.map(|lungs| format!("{:.1}", lungs.right_ml)),
        seconds: format!("{:.2}", elapsed.as_secs_f64()),
        probability_spread: deviation.clone(),
        targets: analysed.map(|analysed| targets(&analysed.targets)).unwrap_or_default(),
        probability_standard_deviation: deviation,
    }
}

fn codes(rejections: &[Rejection]) -> String {
    rejections.iter().map(|rejection| rejection.reason.code()).collect::<Vec<_>>().join(";")
}

fn targets(findings: &[TargetFinding]) -> String {
    let of_target = |finding: &TargetFinding| format!("{}={:.6}", finding.target, finding.probability.value());
    findings.iter().map(of_target).collect::<Vec<_>>().join(";")
}

/// The row of a file that could not be placed in a series.
fn unreadable(rejection: &Rejection) -> Row {
    Row {
        status: "rejected",
        reasons: rejection.reason.code().to_owned(),
        seconds: "0.00".to_owned(),
        ..Row::default()
    }
}

/// The table, whose rows are on disk as soon as they are written.
struct Table {
    writer: csv::Writer<Box<dyn Write>>,
}

impl Table {
    fn create(path: Option<&Path>) -> Result<Self, CliError> {
        let sink: Box<dyn Write> = match path {
            Some(path) => {
                Box::new(File::create(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?)
            }
            None => Box::new(std::io::stdout()),
        };
        Ok(Self { writer: csv::Writer::from_writer(sink) })
    }

    fn write(&mut self, row: &Row) -> Result<(), CliError> {
        self.writer.serialize(row).map_err(|error| CliError::failed(&error))?;
        self.writer.flush().map_err(|error| CliError::failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_two_studies_never_share_a_folder() {
        let uid = |text: &str| crate::dicom::Uid::parse(text).expect("uid");
        let series = |study: &str| SeriesFiles {
            study_instance_uid: uid(study),
            series_instance_uid: uid("1.2.3"),
            files: Vec::new(),
        };
        let mut taken = HashSet::new();
        assert_eq!(folder_name(&series("1.1"), &mut taken), "1.2.3");
        assert_eq!(folder_name(&series("1.9"), &mut taken), "1.2.3-of-1.9");
    }
}

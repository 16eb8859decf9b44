//! `pe-node predict`: studies on disk, analysed without a node.

mod output;
mod series;
mod table;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::series::{PredictedSeries, analyse};
use self::table::{Table, row, unreadable};
use super::{CliError, Settings};
use crate::engine::models::Models;
use crate::engine::volume::{Grouping, Rejection, SeriesFiles, group_by_series};

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
    for (path, files, rejection) in grouping.unreadable_by_cause() {
        let more = if files > 1 { format!(" and {} more files", files - 1) } else { String::new() };
        eprintln!("pe-node: {}{more}: {}: {}", path.display(), rejection.reason, rejection.explanation);
        table.write(&unreadable(rejection))?;
    }
    tell_passed_over(&grouping);
    if grouping.series.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut models =
        Models::load(&config.models, &config.onnxruntime).map_err(|error| CliError::Usage(error.to_string()))?;
    let ignore_quality = arguments.ignore_quality || config.analysis.ignore_quality;
    let progress = progress(grouping.series.len());
    let mut folders = HashSet::new();
    for series in &grouping.series {
        let start = Instant::now();
        let outcome = analyse(series, &mut models, &config, ignore_quality).and_then(|predicted| {
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

/// The folder of a series is named after it. Two studies must not have a series of the same identifier; should they,
/// the folder is named after the study too. Results of two studies never share a folder.
fn folder_name(series: &SeriesFiles, taken: &mut HashSet<String>) -> String {
    let (series, study) = (&series.series_instance_uid, &series.study_instance_uid);
    let name = series.to_string();
    let name = if taken.contains(&name) { format!("{series}-of-{study}") } else { name };
    taken.insert(name.clone());
    name
}

fn progress(series: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} series, {elapsed} elapsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(series as u64).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(500));
    progress
}

/// Says on the terminal how many files are no images, as they are in every folder that a PACS exports.
fn tell_passed_over(grouping: &Grouping) {
    let Grouping { ignored, no_images, .. } = grouping;
    if ignored + no_images > 0 {
        eprintln!(
            "pe-node: {} files are no images and were left out: {ignored} are not DICOM, {no_images} are directories, reports or other DICOM objects",
            ignored + no_images
        );
    }
}

/// Says on the terminal why a series has no result or what limits it, and what of it was left out.
fn tell(series: &SeriesFiles, outcome: &Result<PredictedSeries, CliError>) {
    let uid = &series.series_instance_uid;
    match outcome {
        Ok(predicted) => {
            for Rejection { reason, explanation } in predicted.summary.rejections() {
                eprintln!("pe-node: series {uid}: {reason}: {explanation}");
            }
            for left_out in &predicted.summary.left_out {
                eprintln!("pe-node: series {uid}: {left_out}");
            }
        }
        Err(error) => eprintln!("pe-node: series {uid}: {error}"),
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

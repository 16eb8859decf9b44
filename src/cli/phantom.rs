//! `pe-node phantom`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use crate::learn::phantom::{Cohort, Preset, Site, write_cohort};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder for train/, train.csv and truth/
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of exams
    #[arg(long, default_value_t = 1)]
    exams: usize,
    /// The same seed gives the same exams
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Size of the images
    #[arg(long, value_enum, default_value_t = Preset::Light)]
    preset: Preset,
    /// Where the patients are scanned: `external` has other scanners, doses, patients and less embolism
    #[arg(long, value_enum, default_value_t = Site::Internal)]
    site: Site,
    /// Pairs of exams that differ by the emboli alone
    #[arg(long, alias = "twins")]
    paired: bool,
    /// All patients lie feet first; otherwise one in ten does
    #[arg(long)]
    feet_first: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let cohort = Cohort {
        folder: arguments.out.clone(),
        exams: arguments.exams,
        seed: arguments.seed,
        preset: arguments.preset,
        site: arguments.site,
        paired: arguments.paired,
        feet_first: arguments.feet_first,
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} exams, {elapsed} elapsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(cohort.count() as u64).with_style(style);
    let summary = write_cohort(&cohort, || progress.inc(1)).map_err(|error| CliError::failed(&error))?;
    progress.finish();
    println!(
        "{} exams, {} with emboli; {} slices, {} with visible emboli; in {}",
        summary.exams,
        summary.positive,
        summary.slices,
        summary.positive_slices,
        cohort.folder.display()
    );
    Ok(ExitCode::SUCCESS)
}

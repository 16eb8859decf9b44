//! `pe-node archive export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::peer::runtime;
use super::{CliError, Settings};
use crate::node::archive::ArchiveReader;
use crate::node::export::{Export, ExportError};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Export stored studies with labels for `pe-node train`: DICOM files and train.csv; the node may be running
    ///
    /// Files are exported as they were received, patient data included. Where possible they are hard links to those of
    /// the archive: do not change them in place, or use --copy.
    Export {
        /// Table with the columns StudyInstanceUID or AccessionNumber, and pe_present_in_exam (0 or 1)
        #[arg(long, value_name = "CSV")]
        labels: PathBuf,
        /// Folder for train/, train.csv and exclusions.csv
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Include series that the node rejected for their quality
        #[arg(long)]
        include_rejected: bool,
        /// Copy the files instead of linking them
        #[arg(long)]
        copy: bool,
        #[command(flatten)]
        settings: Settings,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let Action::Export { labels, out, include_rejected, copy, settings } = &arguments.action;
    let storage = settings.load()?.storage;
    let export = Export { labels: labels.clone(), out: out.clone(), include_rejected: *include_rejected, copy: *copy };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} exams, {elapsed} elapsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(0).with_style(style);
    let exam = |all: usize| {
        progress.set_length(all as u64);
        progress.inc(1);
    };
    let exported = runtime()?.block_on(async {
        let archive = ArchiveReader::open(&storage).await.map_err(|error| CliError::Usage(error.to_string()))?;
        export.run(&archive, exam).await.map_err(|error| match error {
            ExportError::Table { .. } => CliError::Usage(error.to_string()),
            error => CliError::failed(&error),
        })
    })?;
    progress.finish_and_clear();
    println!(
        "{} exams, {} with emboli, {} slices; {} rows excluded (exclusions.csv); in {}",
        exported.exams,
        exported.positive,
        exported.slices,
        exported.excluded,
        out.display()
    );
    println!("Next: pe-node train all --set data.root={}", out.display());
    Ok(ExitCode::SUCCESS)
}

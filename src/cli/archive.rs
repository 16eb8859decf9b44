//! `pe-node archive export` and `pe-node archive reindex`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::peer::runtime;
use super::{CliError, Settings};
use crate::config::{Config, StorageConfig};
use crate::node::archive::{Archive, ArchiveReader};
use crate::node::export::{Export, ExportError};
use crate::node::queue::Rules;
use crate::node::store::Store;
use crate::node::telemetry::start_logging;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the index anew from the stored objects and the records; the node must be stopped
    ///
    /// For an index that is damaged or lost. The old one is kept beside it. Results and deliveries are not in the new one:
    /// at its next start the node analyses the exams again and delivers what it finds.
    Reindex {
        #[command(flatten)]
        settings: Settings,
    },
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
    match &arguments.action {
        Action::Reindex { settings } => reindex(&settings.load()?),
        Action::Export { labels, out, include_rejected, copy, settings } => {
            let export =
                Export { labels: labels.clone(), out: out.clone(), include_rejected: *include_rejected, copy: *copy };
            run_export(&export, &settings.load()?.storage)
        }
    }
}

/// Makes the index anew: the archive lists what it finds when it opens one that is empty.
fn reindex(config: &Config) -> Result<ExitCode, CliError> {
    start_logging(&config.log).map_err(|error| CliError::Usage(error.to_string()))?;
    let aside = Store::set_index_aside(&config.storage).map_err(|error| CliError::failed(&error))?;
    if let Some(aside) = aside {
        println!("The old index is {}", aside.display());
    }
    let rules = Rules::new(&config.analysis, &config.destinations, config.models.allow_demonstration);
    let counts = runtime()?.block_on(async {
        let store = Store::open(&config.storage, rules).await.map_err(|error| CliError::failed(&error))?;
        let archive = Archive::open(&config.storage, config.limits, store.clone()).await;
        let archive = archive.map_err(|error| CliError::failed(&error))?;
        let counts = store.counts().await.map_err(|error| CliError::failed(&error))?;
        archive.close().await;
        Ok::<_, CliError>(counts)
    })?;
    println!("{} studies, {} series, {} objects are in the new index", counts.studies, counts.series, counts.instances);
    println!("Next: pe-node serve");
    Ok(ExitCode::SUCCESS)
}

fn run_export(export: &Export, storage: &StorageConfig) -> Result<ExitCode, CliError> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} exams, {elapsed} elapsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(0).with_style(style);
    let exam = |all: usize| {
        progress.set_length(all as u64);
        progress.inc(1);
    };
    let exported = runtime()?.block_on(async {
        let archive = ArchiveReader::open(storage).await.map_err(|error| CliError::Usage(error.to_string()))?;
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
        export.out.display()
    );
    println!("Next: pe-node train all --set data.root={}", export.out.display());
    Ok(ExitCode::SUCCESS)
}

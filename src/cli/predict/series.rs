//! One series from files to findings, result objects and pictures.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::ZonedDateTime;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cli::CliError;
use crate::config::Config;
use crate::dicom::hexadecimal;
use crate::engine::models::Models;
use crate::engine::pipeline::{AnalysisSummary, FindOptions, ReportOptions, SeriesOutcome, find, report};
use crate::engine::report::Results;
use crate::engine::volume::SeriesFiles;

/// A series with all its results.
pub(super) struct PredictedSeries {
    pub(super) outcome: SeriesOutcome,
    pub(super) summary: AnalysisSummary,
    /// Result objects and pictures, when analysed.
    pub(super) results: Option<Results>,
}

/// Analyses a series as the settings say.
pub(super) fn analyse(
    series: &SeriesFiles,
    models: &mut Models,
    config: &Config,
    ignore_quality: bool,
) -> Result<PredictedSeries, CliError> {
    let options = FindOptions {
        limits: &config.limits,
        quality: &config.quality,
        ignore_quality,
        allow_demonstration: config.models.allow_demonstration,
        key_slices: config.report.key_slices,
        refused: &[],
    };
    let mut outcome = find(&series.files, models, &options).map_err(|error| CliError::failed(&error))?;
    let options = ReportOptions {
        settings: &config.report,
        instance_set_digest: &digest(&series.files)?,
        version: 1,
        issue: 0,
        predecessor: None,
        time: &ZonedDateTime::now(),
        software_version: env!("CARGO_PKG_VERSION"),
    };
    let results = report(&mut outcome, &options).map_err(|error| CliError::failed(&error))?;
    let summary = outcome.summary(results.as_ref().map_or(&[], |results| &results.objects));
    Ok(PredictedSeries { outcome, summary, results })
}

/// A digest of the files that does not depend on their names or order.
fn digest(files: &[PathBuf]) -> Result<String, CliError> {
    let digests: std::io::Result<Vec<Vec<u8>>> = files.par_iter().map(|path| file_digest(path)).collect();
    let mut digests = digests.map_err(|error| CliError::Failed(format!("reading a series: {error}")))?;
    digests.sort_unstable();
    Ok(hexadecimal(&Sha256::digest(digests.concat())))
}

/// The digest of a file, which may be larger than memory should hold.
fn file_digest(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(digest.finalize().to_vec()),
            count => digest.update(&part[..count]),
        }
    }
}

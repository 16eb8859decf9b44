//! `pe-node train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use strum::IntoEnumIterator as _;

use super::CliError;
use crate::config::Config;
use crate::learn::train::{
    self, ExternalValidation, Portion, Shard, Step, TrainConfiguration, TrainError, TrainingContext,
};

/// The steps by their names; `boxes` is the former name of `crops`.
fn steps() -> impl TypedValueParser<Value = Step> {
    let value = |step: Step| match step {
        Step::Crops => PossibleValue::new(step.name()).alias("boxes"),
        _ => PossibleValue::new(step.name()),
    };
    PossibleValuesParser::new(Step::iter().map(value)).try_map(|name| name.parse::<Step>())
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Step to run: labels, volumes, slices, lungs, crops, fit, evaluate, export, or all
    #[arg(value_name = "STEP", value_parser = steps())]
    step: Step,
    /// Configuration file; only what differs from configs/train.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set fit.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Do only the exams whose place in the table, divided by N, leaves I; steps volumes, slices, lungs and crops
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Do only the fit of this fold, from 0; step fit with data.folds
    #[arg(long, value_name = "K", conflicts_with = "shard")]
    fold: Option<usize>,
    #[command(flatten)]
    external: ExternalArguments,
}

impl Arguments {
    fn portion(&self) -> Portion {
        match (self.shard, self.fold) {
            (Some(shard), _) => Portion::Shard(shard),
            (None, Some(fold)) => Portion::Fold(fold),
            (None, None) => Portion::All,
        }
    }
}

/// External validation: `evaluate` on studies of another site, with the analysis that the node runs and without any
/// training folder.
#[derive(Debug, Args)]
struct ExternalArguments {
    /// With evaluate: table of labels, StudyInstanceUID and pe_present_in_exam or mask (NIfTI); perhaps
    /// SeriesInstanceUID, level. A mask says which slices show emboli; an empty mask with the label 1 leaves that open
    #[arg(long, value_name = "CSV", requires = "images")]
    labels: Option<PathBuf>,
    /// Folder with the studies that --labels names, nested in any way
    #[arg(long, value_name = "DIR", requires = "labels")]
    images: Option<PathBuf>,
    /// Package to evaluate on them; the one that the configuration exports if none is named
    #[arg(long, value_name = "DIR", requires = "labels")]
    package: Option<PathBuf>,
    /// Folder for report, tables and metrics; NAME-evaluation/PACKAGE-VERSION beside a table NAME.csv if none is named
    #[arg(long, value_name = "DIR", requires = "labels")]
    out: Option<PathBuf>,
    /// Analyse series that quality checks reject too
    #[arg(long, requires = "labels")]
    ignore_quality: bool,
}

impl ExternalArguments {
    /// What to validate; `None` if no external validation was asked for.
    fn request(&self, step: Step) -> Result<Option<ExternalValidation>, CliError> {
        let (Some(labels), Some(images)) = (&self.labels, &self.images) else { return Ok(None) };
        if step != Step::Evaluate {
            return Err(CliError::Usage("--labels is for the step evaluate only".to_owned()));
        }
        if !images.exists() {
            return Err(CliError::Usage(format!("{}: there is no such folder", images.display())));
        }
        Ok(Some(ExternalValidation {
            labels: labels.clone(),
            images: images.clone(),
            package: self.package.clone(),
            out: self.out.clone(),
            ignore_quality: self.ignore_quality,
        }))
    }
}

pub(super) fn run(arguments: &Arguments, commit: &'static str) -> Result<ExitCode, CliError> {
    let Config { log, models, onnxruntime, quality, .. } = Config::load(None, std::env::vars(), &[])?;
    crate::node::telemetry::start_logging(&log).map_err(|error| CliError::Usage(error.to_string()))?;
    let context = TrainingContext { models, onnxruntime, quality, commit };
    let configuration = TrainConfiguration::load(arguments.config.as_deref(), &arguments.overrides)?;
    let lines = match arguments.external.request(arguments.step)? {
        Some(request) => train::validate_externally(&configuration, &context, &request),
        None => train::run(arguments.step, &configuration, &context, arguments.portion()),
    };
    let lines = lines.map_err(|error| match error {
        TrainError::Configuration(error) => CliError::from(error),
        error => CliError::failed(&error),
    })?;
    for line in lines {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

//! `pe-node train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
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
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    steps: StepArguments,
}

/// What is no step.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a training would use and take (exams, exclusions, images, disk, memory, hours), from a trial on some exams
    Plan(ConfigurationArguments),
    /// Compare fits: one table, and plots in comparison.html
    Compare {
        /// Folders of experiments, WORK/EXPERIMENT
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Folder for comparison.html and comparison.csv
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Fit calibration and operating point of a package to exams of a site, and write it as another version
    Recalibrate(RecalibrateArguments),
}

#[derive(Debug, Args)]
struct RecalibrateArguments {
    /// Table of labels, as for evaluate
    #[arg(long, value_name = "CSV")]
    labels: PathBuf,
    /// Folder with the studies that --labels names, nested in any way
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Package to recalibrate on them; the one that the configuration exports if none is named
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Version of the package that is written beside the other
    #[arg(long, value_name = "VERSION")]
    version: semver::Version,
    /// Analyse series that quality checks reject too
    #[arg(long)]
    ignore_quality: bool,
    #[command(flatten)]
    configuration: ConfigurationArguments,
}

impl RecalibrateArguments {
    fn run(&self, context: &TrainingContext) -> Result<Vec<String>, CliError> {
        let request = ExternalValidation {
            labels: self.labels.clone(),
            images: existing(&self.images)?,
            package: self.package.clone(),
            out: None,
            ignore_quality: self.ignore_quality,
        };
        let configuration = self.configuration.load()?;
        train::recalibrate(&configuration, context, &request, &self.version).map_err(failed)
    }
}

fn existing(folder: &Path) -> Result<PathBuf, CliError> {
    if folder.exists() {
        return Ok(folder.to_owned());
    }
    Err(CliError::Usage(format!("{}: there is no such folder", folder.display())))
}

#[derive(Debug, Args)]
struct ConfigurationArguments {
    /// Configuration file; only what differs from configs/train.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set fit.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl ConfigurationArguments {
    fn load(&self) -> Result<TrainConfiguration, CliError> {
        Ok(TrainConfiguration::load(self.config.as_deref(), &self.overrides)?)
    }
}

#[derive(Debug, Args)]
struct StepArguments {
    /// Step to run: labels, volumes, slices, lungs, crops, fit, evaluate, export, or all
    #[arg(value_name = "STEP", value_parser = steps(), required = true)]
    step: Option<Step>,
    #[command(flatten)]
    configuration: ConfigurationArguments,
    /// Do only the exams whose place in the table, divided by N, leaves I; steps volumes, slices, lungs and crops
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Do only the fit of this fold, from 0; step fit with data.folds
    #[arg(long, value_name = "K", conflicts_with = "shard")]
    fold: Option<usize>,
    /// With evaluate and export: a network that other software trained, in place of a fit. Once for a network over all
    /// slices of an exam; twice for encoder and head, in this order; with data.folds, for each fold
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "shard", "fold"])]
    onnx: Vec<PathBuf>,
    #[command(flatten)]
    external: ExternalArguments,
}

impl StepArguments {
    fn run(&self, context: &TrainingContext) -> Result<Vec<String>, CliError> {
        let Some(step) = self.step else { return Err(CliError::Usage("a step is needed".to_owned())) };
        let configuration = self.configuration.load()?;
        let done = match (self.external.request(step)?, &self.onnx[..], step) {
            (Some(request), ..) => train::validate_externally(&configuration, context, &request),
            (None, [], _) => train::run(step, &configuration, context, self.portion()),
            (None, files, Step::Evaluate) => train::evaluate_networks(&configuration, context, files),
            (None, files, Step::Export) => train::export_networks(&configuration, context, files),
            _ => return Err(CliError::Usage("--onnx is for the steps evaluate and export only".to_owned())),
        };
        done.map_err(failed)
    }

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
        Ok(Some(ExternalValidation {
            labels: labels.clone(),
            images: existing(images)?,
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
    let lines = match &arguments.command {
        Some(Command::Plan(configuration)) => train::plan(&configuration.load()?, &context).map_err(failed),
        Some(Command::Compare { runs, out }) => train::compare(runs, out).map_err(failed),
        Some(Command::Recalibrate(arguments)) => arguments.run(&context),
        None => arguments.steps.run(&context),
    };
    for line in lines? {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(error: TrainError) -> CliError {
    match error {
        TrainError::Configuration(error) => CliError::from(error),
        error => CliError::failed(&error),
    }
}

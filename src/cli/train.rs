//! `pe-node train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use strum::IntoEnumIterator as _;

use super::CliError;
use crate::config::Config;
use crate::learn::train::{self, ExternalValidation, Shard, Step, TrainConfiguration, TrainError, TrainingContext};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Step(Step),
    /// Fit calibration and operating point of a package to exams of a site.
    Recalibrate,
}

/// The steps by their names, and `recalibrate`; `boxes` is the former name of `crops`.
fn works() -> impl TypedValueParser<Value = Work> {
    const RECALIBRATE: &str = "recalibrate";
    let value = |step: Step| match step {
        Step::Crops => PossibleValue::new(step.name()).alias("boxes"),
        _ => PossibleValue::new(step.name()),
    };
    let values = Step::iter().map(value).chain([PossibleValue::new(RECALIBRATE)]);
    PossibleValuesParser::new(values).try_map(|name| match name.as_str() {
        RECALIBRATE => Ok(Work::Recalibrate),
        step => step.parse().map(Work::Step),
    })
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Step to run: labels, volumes, slices, lungs, crops, fit, evaluate, export, or all. Apart from them, recalibrate fits
    /// calibration and operating point of a package to --labels and writes it as --version
    #[arg(value_name = "STEP", value_parser = works())]
    work: Work,
    /// Configuration file; only what differs from configs/train.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set fit.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Do only the exams whose place in the table, divided by N, leaves I; steps volumes, slices, lungs and crops
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    external: ExternalArguments,
}

/// External validation: `evaluate`, or `recalibrate`, on studies of another site, with the analysis that the node runs and
/// without any training folder.
#[derive(Debug, Args)]
struct ExternalArguments {
    /// With evaluate or recalibrate: table of labels, StudyInstanceUID and pe_present_in_exam or mask (NIfTI); perhaps
    /// SeriesInstanceUID, level. A mask says which slices show emboli; an empty mask with the label 1 leaves that open
    #[arg(long, value_name = "CSV", requires = "images")]
    labels: Option<PathBuf>,
    /// Folder with the studies that --labels names, nested in any way
    #[arg(long, value_name = "DIR", requires = "labels")]
    images: Option<PathBuf>,
    /// Package to evaluate or recalibrate on them; the one that the configuration exports if none is named
    #[arg(long, value_name = "DIR", requires = "labels")]
    package: Option<PathBuf>,
    /// Folder for report, tables and metrics; NAME-evaluation/PACKAGE-VERSION beside a table NAME.csv if none is named
    #[arg(long, value_name = "DIR", requires = "labels")]
    out: Option<PathBuf>,
    /// With recalibrate: version of the package that is written beside the other
    #[arg(long, value_name = "VERSION", requires = "labels")]
    version: Option<semver::Version>,
    /// Analyse series that quality checks reject too
    #[arg(long, requires = "labels")]
    ignore_quality: bool,
}

/// What is to be done, and on what.
enum Task {
    Step(Step),
    Validate(ExternalValidation),
    Recalibrate(ExternalValidation, semver::Version),
}

impl ExternalArguments {
    fn task(&self, work: Work) -> Result<Task, CliError> {
        let usage = |problem: &str| Err(CliError::Usage(problem.to_owned()));
        match (work, self.request()?, self.version.clone()) {
            (Work::Step(step), None, _) => Ok(Task::Step(step)),
            (Work::Step(Step::Evaluate), Some(request), None) => Ok(Task::Validate(request)),
            (Work::Step(Step::Evaluate), _, Some(_)) => usage("--version is for recalibrate only"),
            (Work::Step(_), Some(_), _) => usage("--labels is for evaluate and recalibrate only"),
            (Work::Recalibrate, Some(_), _) if self.out.is_some() => {
                usage("--out is for evaluate: recalibrate writes a package beside the other")
            }
            (Work::Recalibrate, Some(request), Some(version)) => Ok(Task::Recalibrate(request, version)),
            (Work::Recalibrate, ..) => usage("recalibrate needs --labels, --images and --version"),
        }
    }

    /// The studies and the package; `None` if no studies were named.
    fn request(&self) -> Result<Option<ExternalValidation>, CliError> {
        let (Some(labels), Some(images)) = (&self.labels, &self.images) else { return Ok(None) };
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
    let lines = match arguments.external.task(arguments.work)? {
        Task::Step(step) => train::run(step, &configuration, &context, arguments.shard.unwrap_or(Shard::ALL)),
        Task::Validate(request) => train::validate_externally(&configuration, &context, &request),
        Task::Recalibrate(request, version) => train::recalibrate(&configuration, &context, &request, &version),
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

//! `pe-node train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::CliError;
use crate::config::Config;
use crate::learn::train::{self, Shard, Step, TrainConfiguration, TrainError};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Step to run: labels, volumes, slices, lungs, boxes, fit, evaluate, export, or all
    #[arg(value_name = "STEP", value_parser = clap::builder::PossibleValuesParser::new(Step::NAMES))]
    step: String,
    /// Configuration file; only what differs from configs/train.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set fit.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Do only the exams whose place in the table, divided by N, leaves I; steps volumes, slices, lungs and boxes
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let step: Step = arguments.step.parse().map_err(CliError::Usage)?;
    crate::node::telemetry::start_logging(&Config::load(None, std::env::vars(), &[])?.log)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let configuration = TrainConfiguration::load(arguments.config.as_deref(), &arguments.overrides)?;
    let lines =
        train::run(step, &configuration, arguments.shard.unwrap_or(Shard::ALL)).map_err(|error| match error {
            TrainError::Configuration(error) => CliError::from(error),
            error => CliError::failed(&error),
        })?;
    for line in lines {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

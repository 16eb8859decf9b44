//! The command line: what the user typed, resolved once, handed to the part that does it. One file a subcommand.

mod analyse;
mod archive;
mod config;
mod demo;
mod echo;
mod models;
mod phantom;
mod predict;
mod send;
mod serve;
#[cfg(feature = "train")]
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::causes::with_causes;
use crate::config::{Config, ConfigError};

/// A radiology AI node: CT pulmonary angiograms in, coded reports, heat maps and lung segmentations out.
/// Research use only.
#[derive(Debug, Parser)]
#[command(name = "pe-node", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node: receive, analyse, answer, deliver
    Serve(serve::Arguments),
    /// Analyse series for the node (its own use)
    #[command(hide = true)]
    Analyse,
    /// The whole way of a study on this machine, with a phantom
    Demo(demo::Arguments),
    /// Check or show the configuration
    Config(config::Arguments),
    /// Analyse studies on disk: table, result objects, pictures
    Predict(predict::Arguments),
    /// Model packages: list, verify, import, promote, roll back, try beside the active one
    Models(models::Arguments),
    /// Give stored studies with labels to training
    Archive(archive::Arguments),
    /// Write synthetic CT pulmonary angiograms with ground truth
    Phantom(phantom::Arguments),
    /// Learn a model from labelled exams and write its package
    #[cfg(feature = "train")]
    Train(train::Arguments),
    /// Ask a DICOM peer for an answer (C-ECHO)
    Echo(echo::Arguments),
    /// Send DICOM files to a peer (C-STORE)
    Send(send::Arguments),
}

/// Flags of every command that reads the configuration.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Configuration file; only what differs from the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for instance --set study.quiet_seconds=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Settings {
    /// Merges and validates all layers.
    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), std::env::vars(), &self.overrides)
    }
}

/// How a command ended when it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong usage or configuration: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Something failed: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// A failure with the whole chain of causes in one line.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed(with_causes(error))
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Parses the command line and runs it. The one place that maps errors to exit codes: 0 done, 1 an item failed,
/// 2 usage or configuration.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Analyse => analyse::run(),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Archive(arguments) => archive::run(&arguments),
        Command::Phantom(arguments) => phantom::run(&arguments),
        #[cfg(feature = "train")]
        Command::Train(arguments) => train::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pe-node: {error}");
            ExitCode::from(match error {
                CliError::Usage(_) => 2,
                CliError::Failed(_) => 1,
            })
        }
    }
}

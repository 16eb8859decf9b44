//! `pe-node config check|show`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{CliError, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether the configuration is valid
    Check(Settings),
    /// Print the merged configuration, secrets left out
    Show(Settings),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.action {
        Action::Check(settings) => {
            settings.load()?;
            println!("The configuration is valid.");
        }
        Action::Show(settings) => print!("{}", settings.load()?.to_toml()),
    }
    Ok(ExitCode::SUCCESS)
}

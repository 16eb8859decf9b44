//! The command line: what the user typed, resolved once, handed to the part that does it. One file a subcommand.

mod analyse;
mod archive;
mod config;
mod demo;
mod echo;
mod error;
mod fetch;
mod models;
mod peer;
mod phantom;
mod predict;
mod send;
mod serve;
mod settings;
#[cfg(feature = "train")]
mod train;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::fs::Mode;

pub use self::error::CliError;
pub use self::settings::Settings;

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
    /// Show how a study is processed, on this machine, with a synthetic exam
    Demo(demo::Arguments),
    /// Check or show the configuration
    Config(config::Arguments),
    /// Analyse studies on disk: table, result objects, pictures
    Predict(predict::Arguments),
    /// Model packages: list, verify, import, promote, roll back, run as a shadow model
    Models(models::Arguments),
    /// Export stored studies with labels for training
    Archive(archive::Arguments),
    /// Write synthetic CT pulmonary angiograms with ground truth
    Phantom(phantom::Arguments),
    /// Train a model on labelled exams and write its package
    #[cfg(feature = "train")]
    Train(train::Arguments),
    /// Ask a DICOM peer for an answer (C-ECHO)
    Echo(echo::Arguments),
    /// Send DICOM files to a peer (C-STORE)
    Send(send::Arguments),
    /// Have a peer send a study, or what of it is missing, to the node (C-FIND, C-MOVE)
    Fetch(fetch::Arguments),
}

/// Parses the command line and runs it. The one place that maps errors to exit codes: 0 done, 1 an item failed,
/// 2 usage or configuration.
///
/// `commit` is what the binary was built from. The library does not contain it, so a new commit does not rebuild it.
pub fn main(commit: &'static str) -> ExitCode {
    let version: &str = format!("{} ({commit})", env!("CARGO_PKG_VERSION")).leak();
    let matches = Arguments::command().version(version).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match arguments.command {
        Command::Serve(arguments) => {
            keep_private();
            serve::run(&arguments)
        }
        Command::Analyse => analyse::run(),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Archive(arguments) => {
            keep_private();
            archive::run(&arguments)
        }
        Command::Phantom(arguments) => phantom::run(&arguments),
        #[cfg(feature = "train")]
        Command::Train(arguments) => train::run(&arguments, commit),
        Command::Echo(arguments) => echo::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
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

/// Keeps files and folders that this process makes for its user alone, whatever umask it was started with: they hold
/// patients' data.
fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

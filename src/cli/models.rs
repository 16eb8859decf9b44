//! `pe-node models list|verify`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{CliError, Settings};
use crate::config::Config;
use crate::engine::models::manifest::Kind;
use crate::engine::models::networks::verify;
use crate::engine::models::registry::{Entry, Registry};
use crate::engine::models::session::Runtime;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the model packages and say which are active
    List(Settings),
    /// Load every package, or the ones named, and check digests, tensors and a trial run
    Verify {
        /// name or name/version
        #[arg(value_name = "PACKAGE")]
        packages: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.action {
        Action::List(settings) => list(&settings.load()?),
        Action::Verify { packages, settings } => verify_all(packages, &settings.load()?),
    }
}

fn open(config: &Config) -> Result<Registry, CliError> {
    Registry::open(&config.models).map_err(|error| CliError::Usage(error.to_string()))
}

fn list(config: &Config) -> Result<ExitCode, CliError> {
    let registry = open(config)?;
    println!("{}", registry.directory().display());
    let selections =
        [(Kind::LungSegmentation, &config.models.lungs), (Kind::EmbolismClassifier, &config.models.embolism)];
    let active: Vec<String> = selections
        .iter()
        .filter_map(|(kind, wanted)| registry.select(*kind, wanted).ok())
        .map(|package| format!("{}/{}", package.manifest().name, package.manifest().version))
        .collect();
    for Entry { id, package } in registry.entries() {
        let mark = if active.contains(id) { '*' } else { ' ' };
        match package {
            Ok(package) => {
                let manifest = package.manifest();
                println!(
                    "{mark} {id}  {}  {}  trained on: {}",
                    manifest.kind, manifest.intended_use, manifest.training.data
                );
            }
            Err(error) => println!("! {id}  {error}"),
        }
    }
    for (kind, wanted) in selections {
        if let Err(error) = registry.select(kind, wanted) {
            println!("! {error}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_all(wanted: &[String], config: &Config) -> Result<ExitCode, CliError> {
    let registry = open(config)?;
    let named = |entry: &&Entry| {
        wanted.is_empty() || wanted.iter().any(|name| *name == entry.id || entry.id.split('/').next() == Some(name))
    };
    let entries: Vec<&Entry> = registry.entries().iter().filter(named).collect();
    if entries.is_empty() {
        return Err(CliError::Usage(format!("there is no such package in {}", registry.directory().display())));
    }
    let runtime = Runtime::start(&config.onnxruntime).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut broken = false;
    for Entry { id, package } in entries {
        let outcome = match package {
            Ok(package) => verify(package, &runtime).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(identity) => println!("{id}  sha256 {}  {}", identity.sha256, runtime.provider()),
            Err(error) => {
                broken = true;
                println!("! {id}  {error}");
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

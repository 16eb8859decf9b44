//! `pe-node models list|verify|import|promote|rollback|shadow`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::{CliError, Settings};
use crate::config::Config;
use crate::engine::models::manifest::{Kind, Manifest};
use crate::engine::models::networks::verify;
use crate::engine::models::package::Package;
use crate::engine::models::registry::{Choice, Entry, Registry, RegistryError, configured, setting};
use crate::engine::models::session::Runtime;
use crate::engine::models::{ModelIdentity, PackageId, Selection};
use crate::packages::folder::{Folder, FolderError};
use crate::packages::import::{Imported, Incoming};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the model packages: which are active, which is the shadow model, what was promoted when
    List(Settings),
    /// Load every package, or the ones named, and check digests, tensors and a trial run
    Verify {
        /// name or name/version
        #[arg(value_name = "PACKAGE")]
        packages: Vec<Selection>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Verify a package and copy it into the folder of packages; the active package does not change
    Import {
        /// A package's folder, or with --manifest an ONNX file
        path: PathBuf,
        /// The manifest (model.toml) of a single ONNX file; path and digest of the file may be left out
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a package the active one of its kind; a running node changes to it between two exams
    Promote {
        #[arg(value_name = "NAME/VERSION")]
        package: PackageId,
        #[command(flatten)]
        settings: Settings,
    },
    /// Go back to the package that was active before
    Rollback {
        kind: KindName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Run a package as the shadow model: it analyses the same exams; its results are recorded and not sent
    Shadow {
        #[arg(value_name = "NAME/VERSION", required_unless_present = "off", conflicts_with = "off")]
        package: Option<PackageId>,
        /// No shadow model any more
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        settings: Settings,
    },
}

/// A kind of packages, as the configuration calls it or as manifests do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    #[value(alias = "lung-segmentation")]
    Lungs,
    #[value(alias = "embolism-classifier")]
    Embolism,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Lungs => Self::LungSegmentation,
            KindName::Embolism => Self::EmbolismClassifier,
        }
    }
}

impl From<FolderError> for CliError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Registry(_)
            | FolderError::Package(_)
            | FolderError::ReadOnly { .. }
            | FolderError::NothingBefore { .. }
            | FolderError::ShadowOfItself(_) => Self::Usage(error.to_string()),
            _ => Self::failed(&error),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.action {
        Action::List(settings) => list(&settings.load()?),
        Action::Verify { packages, settings } => verify_all(packages, &settings.load()?),
        Action::Import { path, manifest, settings } => import(path, manifest.as_deref(), &settings.load()?),
        Action::Promote { package, settings } => promote(package, &settings.load()?),
        Action::Rollback { kind, settings } => roll_back((*kind).into(), &settings.load()?),
        Action::Shadow { package, settings, .. } => shadow(package.as_ref(), &settings.load()?),
    }
}

fn usage(error: impl std::fmt::Display) -> CliError {
    CliError::Usage(error.to_string())
}

fn list(config: &Config) -> Result<ExitCode, CliError> {
    let registry = Registry::open(&config.models).map_err(usage)?;
    println!("{}", registry.directory().display());
    let chosen = Kind::ALL.map(|kind| (kind, registry.choose(kind, configured(&config.models, kind))));
    for entry in registry.entries() {
        match &entry.package {
            Ok(package) => {
                let Manifest { kind, intended_use, training, .. } = package.manifest();
                let mark = mark(package, &registry, &chosen);
                println!("{mark} {entry}  {kind}  {intended_use}  trained on: {}", training.data);
            }
            Err(error) => println!("! {entry}  {error}"),
        }
    }
    for (kind, choice) in &chosen {
        tell_choice(&registry, *kind, choice, config);
    }
    if let Some(shadow) = registry.activation().shadow() {
        println!("{}: {} is the shadow model since {}", shadow.kind, shadow.package, shadow.since);
    }
    if !registry.activation().history().is_empty() {
        println!("history:");
    }
    for event in registry.activation().history() {
        println!("  {}  {:<11}  {}  {}  sha256 {}", event.at, event.action, event.kind, event.package, event.sha256);
    }
    Ok(ExitCode::SUCCESS)
}

/// The active package of a kind with the reason, or why there is none.
type Chosen<'a> = Result<(&'a Package, Choice), RegistryError>;

/// The mark before a package in the list: active, shadow model or neither.
fn mark(package: &Package, registry: &Registry, chosen: &[(Kind, Chosen<'_>)]) -> char {
    let id = package.id();
    if chosen.iter().any(|(_, chosen)| chosen.as_ref().is_ok_and(|(active, _)| active.id() == id)) {
        '*'
    } else if registry.activation().shadow().is_some_and(|shadow| shadow.package == id) {
        '~'
    } else {
        ' '
    }
}

/// Says which package of a kind is active, and why.
fn tell_choice(registry: &Registry, kind: Kind, choice: &Chosen<'_>, config: &Config) {
    match choice {
        Ok((package, Choice::Configured)) => {
            println!("{kind}: {} is active: {}", package.id(), named_by_the_configuration(config, kind));
        }
        Ok((package, Choice::Promoted)) => {
            let since = registry.activation().active(kind).map(|event| format!(" since {}", event.at));
            println!("{kind}: {} is active{}", package.id(), since.unwrap_or_default());
        }
        Ok((package, Choice::Newest)) => {
            println!("{kind}: {} is active: the newest, and nothing was promoted", package.id());
        }
        Err(error) => println!("! {error}"),
    }
}

fn named_by_the_configuration(config: &Config, kind: Kind) -> String {
    format!("the configuration names it ({} = \"{}\")", setting(kind), configured(&config.models, kind))
}

fn verify_all(wanted: &[Selection], config: &Config) -> Result<ExitCode, CliError> {
    let registry = Registry::open(&config.models).map_err(usage)?;
    let named = |entry: &&Entry| wanted.is_empty() || wanted.iter().any(|selection| entry.is_selected(selection));
    let entries: Vec<&Entry> = registry.entries().iter().filter(named).collect();
    if entries.is_empty() {
        return Err(CliError::Usage(format!("there is no such package in {}", registry.directory().display())));
    }
    let runtime = Runtime::start(&config.onnxruntime).map_err(usage)?;
    let mut broken = false;
    for entry in entries {
        let outcome = match &entry.package {
            Ok(package) => verify(package, &runtime).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(identity) => println!("{entry}  sha256 {}  {}", identity.sha256, runtime.provider().0),
            Err(error) => {
                broken = true;
                println!("! {entry}  {error}");
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn import(path: &Path, manifest: Option<&Path>, config: &Config) -> Result<ExitCode, CliError> {
    let incoming = match manifest {
        Some(manifest) => Incoming::from_network(path, manifest)?,
        None => Incoming::from_folder(path)?,
    };
    let folder = Folder::open(&config.models)?;
    let runtime = Runtime::start(&config.onnxruntime).map_err(usage)?;
    let Imported { identity, new } = folder.import(&incoming, &runtime, Timestamp::now())?;
    let id = &identity.package;
    println!("{id}  sha256 {}  {}", identity.sha256, if new { "imported" } else { "was there already" });
    let registry = Registry::open(&config.models).map_err(usage)?;
    let kind = registry.package(id).map_err(usage)?.manifest().kind;
    match registry.choose(kind, configured(&config.models, kind)) {
        Ok((active, Choice::Configured)) if active.id() == *id => {
            println!("a node that starts from now on uses it: {}", named_by_the_configuration(config, kind));
        }
        Ok((active, _)) if active.id() == *id => println!("it is the active {kind}"),
        Ok((active, _)) => {
            println!("{} is still the active {kind}; `pe-node models promote {id}` changes that", active.id());
        }
        Err(error) => println!("! {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn promote(id: &PackageId, config: &Config) -> Result<ExitCode, CliError> {
    let folder = Folder::open(&config.models)?;
    let package = folder.registry().package(id).map_err(usage)?;
    let identity = verified(package, config)?;
    let new = folder.promote(package, &identity, Timestamp::now())?;
    let kind = package.manifest().kind;
    println!(
        "{id}  {}",
        if new { format!("is the active {kind} now") } else { format!("is the active {kind} already") }
    );
    warn_of_the_configuration(kind, config);
    Ok(ExitCode::SUCCESS)
}

fn roll_back(kind: Kind, config: &Config) -> Result<ExitCode, CliError> {
    let folder = Folder::open(&config.models)?;
    let package = folder.before(kind)?;
    let identity = verified(package, config)?;
    folder.roll_back(kind, &identity, Timestamp::now())?;
    println!("{}  is the active {kind} again", package.id());
    warn_of_the_configuration(kind, config);
    Ok(ExitCode::SUCCESS)
}

fn shadow(id: Option<&PackageId>, config: &Config) -> Result<ExitCode, CliError> {
    let folder = Folder::open(&config.models)?;
    let Some(id) = id else {
        let removed = folder.remove_shadow()?;
        println!("{}", if removed { "there is no shadow model any more" } else { "there was no shadow model" });
        return Ok(ExitCode::SUCCESS);
    };
    let package = folder.registry().package(id).map_err(usage)?;
    let identity = verified(package, config)?;
    let new = folder.set_shadow(package, &identity, Timestamp::now())?;
    let kind = package.manifest().kind;
    println!(
        "{id}  {} as the shadow model of the active {kind}",
        if new { "runs from now on" } else { "runs already" }
    );
    Ok(ExitCode::SUCCESS)
}

/// Verifies a package before anything is changed.
fn verified(package: &Package, config: &Config) -> Result<ModelIdentity, CliError> {
    let runtime = Runtime::start(&config.onnxruntime).map_err(usage)?;
    verify(package, &runtime).map_err(|error| CliError::Failed(format!("{error}; nothing was changed")))
}

/// Warns that a package named by the configuration takes precedence over the promoted one.
fn warn_of_the_configuration(kind: Kind, config: &Config) {
    let named = configured(&config.models, kind);
    if *named != Selection::Active {
        let setting = setting(kind);
        eprintln!(
            "pe-node: {setting} = \"{named}\" in the configuration takes precedence: set it to \"\" to use the promoted package"
        );
    }
}

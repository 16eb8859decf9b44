//! Packages on disk: complete before they get their name.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::manifest::manifest;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{File, Manifest};
use crate::engine::models::package::{Contents, MANIFEST, Package};
use crate::learn::train::card;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::evaluate::Evaluation;
use crate::learn::train::exported::{ExportedFit, TrainedBy};
use crate::learn::train::files;
use crate::learn::train::{TrainError, TrainingContext};
use crate::packages::folder::Folder;
use crate::packages::import::Incoming;

/// Writes the package of the evaluated networks of one fit, or of an ensemble of fits, into the experiment's folder,
/// and returns its path. The package is complete before it gets its name; [`publish`] checks that it loads and runs.
pub(crate) fn write(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    experiment: &Path,
    fits: &[ExportedFit],
    evaluation: &Evaluation,
    (trained_by, exams_sha256): (TrainedBy, &str),
) -> Result<PathBuf, TrainError> {
    let networks: Vec<Contents> =
        fits.iter().map(|fit| fit.draft.contents()).collect::<Result<_, _>>().map_err(ModelsError::from)?;
    let of_member = |(member, fit): (usize, &ExportedFit)| {
        let path = |path: &str| if fits.len() > 1 { format!("member-{member}-{path}") } else { path.to_owned() };
        let files = fit.draft.manifest().files.iter();
        files.map(|file| File { member, path: path(&file.path), ..file.clone() }).collect::<Vec<_>>()
    };
    let files = fits.iter().enumerate().flat_map(of_member).collect();
    let datasets = fits.iter().map(|fit| &fit.datasets[..]);
    let manifest = manifest(configuration, context, files, evaluation, datasets, (trained_by, exams_sha256))?;
    let card = card::text(configuration, &manifest, evaluation);
    let metrics = evaluation.to_json();
    let paths = manifest.files.iter().map(|file| file.path.as_str());
    let contents = paths.zip(networks.iter().flat_map(Contents::files));
    let contents = contents.chain([("metrics.json", metrics.as_bytes()), ("card.md", card.as_bytes())]);
    write_folder(&experiment.join("package"), &manifest, contents, |_| Ok(()))
}

/// Writes the networks of a package again under another manifest, card and metrics, beside it, as [`publish`] does.
/// Returns where.
pub(crate) fn write_again(
    package: &Package,
    manifest: &Manifest,
    networks: &Contents,
    card: &str,
    evaluation: &Evaluation,
    context: &TrainingContext,
) -> Result<PathBuf, TrainError> {
    let folder = package.directory();
    let scratch = tempfile::tempdir().map_err(TrainError::file("creating a temporary folder for", folder))?;
    let metrics = evaluation.to_json();
    let contents = manifest.files.iter().map(|file| file.path.as_str()).zip(networks.files());
    let contents = contents.chain([("metrics.json", metrics.as_bytes()), ("card.md", card.as_bytes())]);
    let written = write_folder(scratch.path(), manifest, contents, |_| Ok(()))?;
    // A package lies in a folder of its version, in a folder of its name.
    let directory = folder.parent().and_then(Path::parent).unwrap_or(folder);
    publish(&written, directory, context)
}

/// Imports a package into a folder of packages as `pe-node models import` does, and returns its place there. The active
/// package does not change, and no other package of its name and version is replaced.
pub(crate) fn publish(package: &Path, directory: &Path, context: &TrainingContext) -> Result<PathBuf, TrainError> {
    let failed = |source| TrainError::Publishing { directory: directory.to_owned(), source: Box::new(source) };
    let folder = Folder::open(&context.models_in(directory)).map_err(failed)?;
    let incoming = Incoming::from_folder(package).map_err(failed)?;
    let imported = folder.import(&incoming, &context.runtime()?, Timestamp::now()).map_err(failed)?;
    Ok(imported.identity.package.folder_in(directory))
}

/// Writes a package under another name and renames it once it is complete and `good` accepts it.
pub(super) fn write_folder<'a>(
    directory: &Path,
    manifest: &Manifest,
    contents: impl Iterator<Item = (&'a str, &'a [u8])>,
    good: impl FnOnce(&Package) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let folder = manifest.id().folder_in(directory);
    let scratch = directory.join(format!(".partial-{}", manifest.name));
    let partial = manifest.id().folder_in(&scratch);
    remove_folder(&scratch)?;
    files::create_folder(&partial)?;
    for (path, bytes) in contents {
        files::write_whole(&partial.join(path), bytes)?;
    }
    files::write_whole(&partial.join(MANIFEST), manifest.to_toml().as_bytes())?;
    good(&Package::open(&partial).map_err(ModelsError::from)?)?;
    remove_folder(&folder)?;
    if let Some(parent) = folder.parent() {
        files::create_folder(parent)?;
    }
    std::fs::rename(&partial, &folder).map_err(TrainError::file("renaming", &partial))?;
    remove_folder(&scratch)?;
    Ok(folder)
}

fn remove_folder(path: &Path) -> Result<(), TrainError> {
    if path.exists() { std::fs::remove_dir_all(path).map_err(TrainError::file("removing", path)) } else { Ok(()) }
}

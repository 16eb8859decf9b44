//! The folder of model packages: `<directory>/<name>/<version>`, and which of them is active.
//!
//! The active package of a kind is the one that the configuration names. If it names none, it is the one promoted last
//! ([`activation`](super::activation)). If none was promoted, it is the newest version of the only package of its kind.

use std::fmt;
use std::path::{Path, PathBuf};

use semver::Version;

use super::activation::{Activation, ActivationError, ShadowModel};
use super::lineup::{Lineup, Packages};
use super::manifest::Kind;
use super::package::{MANIFEST, Package, PackageError};
use super::package_id::{PackageId, PackageName, is_token};
use super::selection::Selection;
use crate::config::ModelsConfig;

/// Why the folder gives no package.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no folder of packages.
    #[error(
        "no folder of model packages (searched {searched}); set models.directory to the folder that holds \
         <name>/<version>/model.toml"
    )]
    NoDirectory {
        /// The places, separated by commas.
        searched: String,
    },
    /// A folder cannot be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A package is not valid.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// What was promoted cannot be read.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The package that was asked for is not valid.
    #[error("{problem}")]
    Unusable {
        /// Which, and what is wrong with it.
        problem: String,
    },
    /// The promoted package is missing or its files have changed.
    #[error(
        "{package} is active by promotion and cannot be used: {problem}; restore its files, promote another package, or \
         roll back"
    )]
    Lost {
        /// The package.
        package: PackageId,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no package of that name and version.
    #[error("there is no model package {wanted} in {directory}; it has {present}", directory = directory.display())]
    Unknown {
        /// The package that was asked for.
        wanted: PackageId,
        /// The folder.
        directory: PathBuf,
        /// What there is.
        present: String,
    },
    /// No package fits the selection.
    #[error("{setting} = \"{wanted}\": {problem}")]
    Selection {
        /// The setting, for instance `models.lungs`.
        setting: &'static str,
        /// Its value.
        wanted: Selection,
        /// Why it does not fit and what to do.
        problem: String,
    },
}

/// The packages in a folder.
#[derive(Debug)]
pub struct Registry {
    directory: PathBuf,
    entries: Vec<Entry>,
    activation: Activation,
}

/// Why a package is the active one of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The configuration names it.
    Configured,
    /// It was promoted.
    Promoted,
    /// It is the newest version of the only package of its kind, and nothing was ever promoted.
    Newest,
}

/// The setting that names the package of a kind.
pub fn setting(kind: Kind) -> &'static str {
    match kind {
        Kind::LungSegmentation => "models.lungs",
        Kind::EmbolismClassifier => "models.embolism",
    }
}

/// What the configuration says about the package of a kind.
pub fn configured(config: &ModelsConfig, kind: Kind) -> &Selection {
    match kind {
        Kind::LungSegmentation => &config.lungs,
        Kind::EmbolismClassifier => &config.embolism,
    }
}

/// One package's folder and what its manifest says.
#[derive(Debug)]
pub struct Entry {
    /// Name of the package.
    pub name: PackageName,
    /// Name of the version's folder, which need not be a version.
    pub version: String,
    /// The package, or why it is not valid.
    pub package: Result<Package, PackageError>,
}

impl Entry {
    fn read(directory: &Path, name: PackageName, version: String) -> Self {
        let package = Package::open(&directory.join(name.as_str()).join(&version));
        Self { name, version, package }
    }

    /// True if the folders name this package.
    pub fn is(&self, id: &PackageId) -> bool {
        self.name == id.name && self.version == id.version.to_string()
    }

    /// True if a selection of packages includes this one.
    pub fn is_selected(&self, selection: &Selection) -> bool {
        match selection {
            Selection::Active => true,
            Selection::Newest(name) => self.name == *name,
            Selection::Exactly(id) => self.is(id),
        }
    }

    /// By name, then from the oldest to the newest version. A folder that is not a version comes last: it might be the
    /// newest.
    fn order(&self) -> (PackageName, Result<Version, String>) {
        (self.name.clone(), self.version.parse().map_err(|_| self.version.clone()))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.name, self.version)
    }
}

impl Registry {
    /// Lists the packages of the configured folder: `models.directory`, or if that is empty `onnx` beside the binary,
    /// or else `./onnx`.
    pub fn open(config: &ModelsConfig) -> Result<Self, RegistryError> {
        Self::of(&directory(config)?)
    }

    /// Lists the packages of a folder.
    pub fn of(directory: &Path) -> Result<Self, RegistryError> {
        let mut entries = Vec::new();
        for folder in folders(directory)? {
            let Ok(name) = folder.parse::<PackageName>() else { continue };
            let versions = folders(&directory.join(&folder))?.into_iter();
            let packages = versions.filter(|version| directory.join(&folder).join(version).join(MANIFEST).exists());
            entries.extend(packages.map(|version| Entry::read(directory, name.clone(), version)));
        }
        entries.sort_by_cached_key(Entry::order);
        Ok(Self { directory: directory.to_owned(), entries, activation: Activation::read(directory)? })
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All packages by name, then from the oldest to the newest version.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was promoted and rolled back, and the shadow model.
    pub fn activation(&self) -> &Activation {
        &self.activation
    }

    /// The package of a name and version.
    pub fn package(&self, id: &PackageId) -> Result<&Package, RegistryError> {
        let entry = self.entries.iter().find(|entry| entry.is(id)).ok_or_else(|| RegistryError::Unknown {
            wanted: id.clone(),
            directory: self.directory.clone(),
            present: listed(&self.entries),
        })?;
        entry.package.as_ref().map_err(|error| RegistryError::Unusable { problem: error.to_string() })
    }

    /// The packages that analyse exams with these settings, and the shadow model.
    pub fn lineup(&self, config: &ModelsConfig) -> Result<Lineup, RegistryError> {
        let chosen = |kind| Ok::<_, RegistryError>(self.select(kind, configured(config, kind))?.contents()?.identity);
        let packages = Packages { lungs: chosen(Kind::LungSegmentation)?, embolism: chosen(Kind::EmbolismClassifier)? };
        let differs = |shadow: &&ShadowModel| *packages.of(shadow.kind) != shadow.model();
        let shadow = self.activation.shadow().filter(differs).cloned();
        Ok(Lineup { packages, shadow })
    }

    /// The package of a kind that a selection names.
    ///
    /// A broken package is never passed over in favour of an older one: it is an error until it is removed or another
    /// one is named.
    pub fn select(&self, kind: Kind, wanted: &Selection) -> Result<&Package, RegistryError> {
        self.choose(kind, wanted).map(|(package, _)| package)
    }

    /// As [`Self::select`], with the reason.
    pub fn choose(&self, kind: Kind, wanted: &Selection) -> Result<(&Package, Choice), RegistryError> {
        if *wanted != Selection::Active {
            return Ok((self.fitting(kind, wanted)?, Choice::Configured));
        }
        match self.activation.active(kind) {
            Some(event) => Ok((self.promoted(&event.package, &event.sha256)?, Choice::Promoted)),
            None => Ok((self.fitting(kind, wanted)?, Choice::Newest)),
        }
    }

    /// The package that was promoted, if it still consists of the same files.
    fn promoted(&self, id: &PackageId, sha256: &str) -> Result<&Package, RegistryError> {
        let lost = |problem: String| RegistryError::Lost { package: id.clone(), problem };
        let package = self.package(id).map_err(|error| lost(error.to_string()))?;
        let present = package.contents().map_err(|error| lost(error.to_string()))?.identity.sha256;
        if present == sha256 {
            return Ok(package);
        }
        // The promotion was for other files.
        Err(lost(format!("its SHA-256 is {present}, and {sha256} was promoted")))
    }

    fn fitting(&self, kind: Kind, wanted: &Selection) -> Result<&Package, RegistryError> {
        let refused = |problem| RegistryError::Selection { setting: setting(kind), wanted: wanted.clone(), problem };
        let folder = self.directory.display();
        let broken =
            |error: &PackageError| refused(format!("{error}; remove it from {folder} or name another package"));
        let of_another_kind =
            |entry: &Entry| entry.package.as_ref().is_ok_and(|package| package.manifest().kind != kind);
        let mut fitting: Vec<&Entry> = self.entries.iter().filter(|entry| entry.is_selected(wanted)).collect();
        if *wanted == Selection::Active {
            fitting.retain(|entry| !of_another_kind(entry));
            if let Some(error) = fitting.iter().find_map(|entry| entry.package.as_ref().err()) {
                return Err(broken(error));
            }
            if fitting.iter().any(|entry| entry.name != fitting[0].name) {
                return Err(refused(format!("more than one package fits ({}); name one", listed(fitting))));
            }
        }
        let newest = fitting.last().ok_or_else(|| refused(format!("there is no such package in {folder}")))?;
        match &newest.package {
            Ok(package) if package.manifest().kind == kind => Ok(package),
            Ok(package) => Err(refused(format!("{newest} is a package of the kind {}", package.manifest().kind))),
            Err(error) => Err(broken(error)),
        }
    }
}

/// The configured folder of packages.
pub fn directory(config: &ModelsConfig) -> Result<PathBuf, RegistryError> {
    let candidates = if config.directory.as_os_str().is_empty() {
        let binary = std::env::current_exe().ok();
        let beside = binary.as_deref().and_then(Path::parent).map(|folder| folder.join("onnx"));
        beside.into_iter().chain([PathBuf::from("onnx")]).collect()
    } else {
        vec![config.directory.clone()]
    };
    candidates.iter().find(|path| path.is_dir()).cloned().ok_or_else(|| RegistryError::NoDirectory {
        searched: candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// The folders in a folder that may belong to a package; `+` occurs in versions only.
fn folders(directory: &Path) -> Result<Vec<String>, RegistryError> {
    let failed = |source| RegistryError::Read { path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_token(&name.replace('+', "-")) && entry.path().is_dir() {
            names.push(name);
        }
    }
    Ok(names)
}

fn listed<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    entries.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

//! The folder of model packages: `<directory>/<name>/<version>/model.toml` and the files it names.
//!
//! Which of them is active: what the configuration names; else what was promoted last ([`activation`](super::activation));
//! else, while nothing was, the newest version of the only package of its kind.
//!
//! Nothing is taken on trust: paths are plain names inside the package's folder, and a file's bytes go to the runtime
//! only after their digest was found to be the manifest's.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ModelIdentity;
use super::activation::{Activation, Candidate};
use super::manifest::{File, Kind, Manifest, Role};
use super::validation::{ManifestError, is_token};
use crate::config::ModelsConfig;
use crate::dicom::hexadecimal;

/// Name of the manifest in a package's folder.
pub const MANIFEST: &str = "model.toml";

/// Why a package cannot be used.
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
    /// A file or folder cannot be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The manifest is not one.
    #[error("model package {package}: {source}")]
    Manifest {
        /// `name/version` as the folders say.
        package: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// The manifest is another package's.
    #[error("model package {package}: model.toml says `{said}`; the folders must be called <name>/<version>")]
    Misplaced {
        /// `name/version` as the folders say.
        package: String,
        /// `name/version` as the manifest says.
        said: String,
    },
    /// A file is not the one that the manifest describes.
    #[error(
        "model package {package}: {file} has the SHA-256 {found}, model.toml says {expected}; fetch the package anew"
    )]
    Digest {
        /// `name/version`.
        package: String,
        /// The file.
        file: String,
        /// Digest of the bytes on disk.
        found: String,
        /// Digest in the manifest.
        expected: String,
    },
    /// What was promoted cannot be read.
    #[error(
        "{path}: {problem}; restore the file, or remove it, and the newest version of the only package of each kind is \
         active again",
        path = path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The package that was asked for is none.
    #[error("{problem}")]
    Unusable {
        /// Which, and what is wrong with it.
        problem: String,
    },
    /// What was promoted is no longer there or no longer whole.
    #[error(
        "{package} is active by promotion and cannot be used: {problem}; put its files back, promote another, or roll back"
    )]
    Lost {
        /// `name/version`.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The files of a package that is to be loaded are others than when it was chosen.
    #[error(
        "{package} was replaced since it became active: its SHA-256 is {found}, {expected} was expected; put the former \
         files back, or have the new ones verified: `pe-node models promote {package}` (`shadow` for a candidate), or \
         a restart of the node where the configuration names the package"
    )]
    Replaced {
        /// `name/version`.
        package: String,
        /// Digest of what lies there.
        found: String,
        /// Digest of what was chosen.
        expected: String,
    },
    /// There is no package of that name and version.
    #[error("there is no model package {wanted} in {directory}; it has {present}", directory = directory.display())]
    Unknown {
        /// `name/version` as asked for.
        wanted: String,
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
        wanted: String,
        /// What stands against it and what to do.
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

/// Two packages that analyse exams together: these bytes and no others, whatever lies in the folder later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// Finds the lungs.
    pub lungs: ModelIdentity,
    /// Finds embolism.
    pub embolism: ModelIdentity,
}

impl Packages {
    /// The package of a kind.
    pub fn of(&self, kind: Kind) -> &ModelIdentity {
        match kind {
            Kind::LungSegmentation => &self.lungs,
            Kind::EmbolismClassifier => &self.embolism,
        }
    }

    /// Both: lungs, then embolism.
    pub fn each(&self) -> [&ModelIdentity; 2] {
        [&self.lungs, &self.embolism]
    }

    /// `name/version` of each: lungs, then embolism.
    pub fn ids(&self) -> Vec<String> {
        vec![self.lungs.id(), self.embolism.id()]
    }
}

/// The packages that analyse exams, and the candidate that runs beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineup {
    /// What they say is the result.
    pub packages: Packages,
    /// Runs beside the one of its kind; none if it is that one.
    pub shadow: Option<Candidate>,
}

impl Lineup {
    /// The candidate, and the packages with it in the place of the one beside which it runs.
    pub fn candidate(&self) -> Option<(&Candidate, Packages)> {
        let candidate = self.shadow.as_ref()?;
        let mut packages = self.packages.clone();
        match candidate.kind {
            Kind::LungSegmentation => packages.lungs = candidate.model(),
            Kind::EmbolismClassifier => packages.embolism = candidate.model(),
        }
        Some((candidate, packages))
    }
}

/// The setting that names the package of a kind, without its section.
pub fn setting(kind: Kind) -> &'static str {
    match kind {
        Kind::LungSegmentation => "models.lungs",
        Kind::EmbolismClassifier => "models.embolism",
    }
}

/// What the configuration says about the package of a kind; empty if nothing.
pub fn configured(config: &ModelsConfig, kind: Kind) -> &str {
    match kind {
        Kind::LungSegmentation => &config.lungs,
        Kind::EmbolismClassifier => &config.embolism,
    }
}

/// One package's folder and what its manifest says.
#[derive(Debug)]
pub struct Entry {
    /// `name/version` as the folders say.
    pub id: String,
    /// The package, or why it is none.
    pub package: Result<Package, RegistryError>,
}

/// A package whose manifest is valid; its files are read and verified when they are asked for.
#[derive(Debug, Clone)]
pub struct Package {
    directory: PathBuf,
    text: String,
    manifest: Manifest,
    /// SHA-256 of manifest and files, where only these bytes are wanted.
    expected: Option<String>,
}

/// A package's files with the digests verified.
#[derive(Debug)]
pub struct Contents {
    /// Name, version and the SHA-256 over manifest and files.
    pub identity: ModelIdentity,
    files: Vec<((Role, usize), Vec<u8>)>,
}

impl Contents {
    /// The bytes of each file, in the manifest's order.
    pub fn files(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(|(_, bytes)| bytes.as_slice())
    }

    /// The bytes of the file of a role of a member.
    pub(super) fn bytes(&self, role: Role, member: usize) -> &[u8] {
        self.files.iter().find(|(of, _)| *of == (role, member)).map_or(&[], |(_, bytes)| bytes)
    }
}

impl Registry {
    /// Lists the packages of the configured folder: `models.directory`, or if that is empty `onnx` beside the binary
    /// or in a folder above it, or else `./onnx`.
    pub fn open(config: &ModelsConfig) -> Result<Self, RegistryError> {
        Self::of(&directory(config)?)
    }

    /// Lists the packages of a folder.
    pub(super) fn of(directory: &Path) -> Result<Self, RegistryError> {
        let mut entries = Vec::new();
        for name in folders(directory)? {
            for version in folders(&directory.join(&name))? {
                let path = directory.join(&name).join(&version);
                if path.join(MANIFEST).exists() {
                    entries.push(Entry { id: format!("{name}/{version}"), package: Package::open(&path) });
                }
            }
        }
        entries.sort_by(|a, b| by_name_then_version(&a.id, &b.id));
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

    /// What was promoted, rolled back and set beside.
    pub fn activation(&self) -> &Activation {
        &self.activation
    }

    /// The package of a name and version.
    pub fn package(&self, id: &str) -> Result<&Package, RegistryError> {
        let entry = self.entries.iter().find(|entry| entry.id == id);
        let entry = entry.ok_or_else(|| RegistryError::Unknown {
            wanted: id.to_owned(),
            directory: self.directory.clone(),
            present: self.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        entry.package.as_ref().map_err(|error| RegistryError::Unusable { problem: error.to_string() })
    }

    /// The packages that analyse exams with these settings, and the candidate beside them.
    pub fn lineup(&self, config: &ModelsConfig) -> Result<Lineup, RegistryError> {
        let chosen = |kind| Ok(self.select(kind, configured(config, kind))?.contents()?.identity);
        let packages = Packages { lungs: chosen(Kind::LungSegmentation)?, embolism: chosen(Kind::EmbolismClassifier)? };
        let differs = |candidate: &&Candidate| *packages.of(candidate.kind) != candidate.model();
        let shadow = self.activation.shadow().filter(differs).cloned();
        Ok(Lineup { packages, shadow })
    }

    /// The package that a selection names: `name/version`, `name` for its newest version, or nothing for the one that
    /// was promoted, or else the newest version of the only package of the kind.
    ///
    /// A broken package is never passed over in favour of an older one: it is an error until it is removed or another
    /// one is named.
    pub fn select(&self, kind: Kind, wanted: &str) -> Result<&Package, RegistryError> {
        self.choose(kind, wanted).map(|(package, _)| package)
    }

    /// As [`Self::select`], with the reason.
    pub fn choose(&self, kind: Kind, wanted: &str) -> Result<(&Package, Choice), RegistryError> {
        if !wanted.is_empty() {
            return Ok((self.fitting(kind, wanted)?, Choice::Configured));
        }
        match self.activation.active(kind) {
            Some(event) => {
                let lost = |error: RegistryError| RegistryError::Lost {
                    package: event.package.clone(),
                    problem: error.to_string(),
                };
                let package = self.package(&event.package).map_err(lost)?;
                let present = package.contents().map_err(lost)?.identity.sha256;
                if present != event.sha256 {
                    // Whoever promoted it never saw this one.
                    let problem = format!("its SHA-256 is {present}, and {} was promoted", event.sha256);
                    return Err(RegistryError::Lost { package: event.package.clone(), problem });
                }
                Ok((package, Choice::Promoted))
            }
            None => Ok((self.fitting(kind, "")?, Choice::Newest)),
        }
    }

    fn fitting(&self, kind: Kind, wanted: &str) -> Result<&Package, RegistryError> {
        let refused =
            |problem: String| RegistryError::Selection { setting: setting(kind), wanted: wanted.to_owned(), problem };
        let folder = self.directory.display();
        let mut fitting: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| wanted.is_empty() || entry.id == wanted || name_of(&entry.id) == wanted)
            .collect();
        if wanted.is_empty() {
            fitting.retain(|entry| entry.package.as_ref().map_or(true, |package| package.manifest.kind == kind));
        }
        let entry = *fitting.last().ok_or_else(|| refused(format!("there is no such package in {folder}")))?;
        for entry in &fitting {
            if let Err(error) = &entry.package
                && (wanted.is_empty() || entry.id == fitting[fitting.len() - 1].id)
            {
                return Err(refused(format!("{error}; remove it from {folder} or name another package")));
            }
            if name_of(&entry.id) != name_of(&fitting[0].id) {
                let names: Vec<&str> = fitting.iter().map(|entry| entry.id.as_str()).collect();
                return Err(refused(format!("more than one package fits ({}); name one", names.join(", "))));
            }
        }
        match &entry.package {
            Ok(package) if package.manifest.kind == kind => Ok(package),
            Ok(package) => Err(refused(format!("{} is a package of the kind {}", entry.id, package.manifest.kind))),
            Err(error) => Err(refused(error.to_string())),
        }
    }
}

impl Package {
    /// The package of an identity, from the configured folder; what was promoted there does not matter. Other files than
    /// those of the identity are never given out.
    pub(super) fn exactly(identity: &ModelIdentity, config: &ModelsConfig) -> Result<Self, RegistryError> {
        let package = Self::open(&directory(config)?.join(&identity.name).join(&identity.version))?;
        Ok(Self { expected: Some(identity.sha256.clone()), ..package })
    }

    /// `name/version`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.manifest.name, self.manifest.version)
    }

    /// Reads the manifest of the package in a folder called `<name>/<version>`.
    pub fn open(directory: &Path) -> Result<Self, RegistryError> {
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let id = format!("{}/{}", part(directory.parent()), part(Some(directory)));
        let path = directory.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|source| RegistryError::Read { path, source })?;
        let manifest =
            Manifest::parse(&text).map_err(|source| RegistryError::Manifest { package: id.clone(), source })?;
        let said = format!("{}/{}", manifest.name, manifest.version);
        if said != id {
            return Err(RegistryError::Misplaced { package: id, said });
        }
        Ok(Self { directory: directory.to_owned(), text, manifest, expected: None })
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads all files and verifies their digests. The identity is the SHA-256 of `model.toml` followed by the files
    /// in the manifest's order: what `cat model.toml encoder.onnx head.onnx | sha256sum` prints.
    pub fn contents(&self) -> Result<Contents, RegistryError> {
        let mut identity = Sha256::new_with_prefix(self.text.as_bytes());
        let mut files = Vec::with_capacity(self.manifest.files.len());
        for file in &self.manifest.files {
            let bytes = self.read(file)?;
            identity.update(&bytes);
            files.push(((file.role, file.member), bytes));
        }
        let sha256 = hexadecimal(&identity.finalize());
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != sha256) {
            return Err(RegistryError::Replaced { package: self.id(), found: sha256, expected: expected.clone() });
        }
        let identity =
            ModelIdentity { name: self.manifest.name.clone(), version: self.manifest.version.clone(), sha256 };
        Ok(Contents { identity, files })
    }

    fn read(&self, file: &File) -> Result<Vec<u8>, RegistryError> {
        let path = self.directory.join(&file.path);
        let bytes = std::fs::read(&path).map_err(|source| RegistryError::Read { path, source })?;
        let found = hexadecimal(&Sha256::digest(&bytes));
        if found != file.sha256 {
            return Err(RegistryError::Digest {
                package: self.id(),
                file: file.path.clone(),
                found,
                expected: file.sha256.clone(),
            });
        }
        Ok(bytes)
    }
}

/// The configured folder of packages.
pub(super) fn directory(config: &ModelsConfig) -> Result<PathBuf, RegistryError> {
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

fn folders(directory: &Path) -> Result<Vec<String>, RegistryError> {
    let failed = |source| RegistryError::Read { path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_token(&name) && entry.path().is_dir() {
            names.push(name);
        }
    }
    Ok(names)
}

fn name_of(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

/// Versions compare part by part, numbers as numbers: 0.10.0 is newer than 0.9.1.
fn by_name_then_version(a: &str, b: &str) -> Ordering {
    let (name_a, version_a) = a.split_once('/').unwrap_or((a, ""));
    let (name_b, version_b) = b.split_once('/').unwrap_or((b, ""));
    name_a.cmp(name_b).then_with(|| {
        let parts = |version: &str| -> Vec<(u64, String)> {
            version.split(['.', '-', '_']).map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
        };
        parts(version_a).cmp(&parts(version_b))
    })
}

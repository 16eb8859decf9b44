//! One model package: `<name>/<version>/model.toml` and the files it names.
//!
//! Nothing is taken on trust: paths are plain names inside the package's folder, and a file's bytes go to the runtime
//! only after their digest was found to match the manifest.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::identity::ModelIdentity;
use super::manifest::{File, Manifest, Role};
use super::package_id::{PackageId, PackageIdError};
use super::validation::ManifestError;
use crate::dicom::hexadecimal;

/// Name of the manifest in a package's folder.
pub const MANIFEST: &str = "model.toml";

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file cannot be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folders' names are not a package's name and version.
    #[error("model package {folder}: {source}; rename the folder, and give `version` in model.toml the same value")]
    Name {
        /// `name/version` from the folders' names.
        folder: String,
        /// What is wrong.
        source: PackageIdError,
    },
    /// The manifest is not valid.
    #[error("model package {package}: {source}")]
    Manifest {
        /// The package that the folders name.
        package: PackageId,
        /// What is wrong.
        source: ManifestError,
    },
    /// The manifest is another package's.
    #[error("model package {package}: model.toml says `{said}`; the folders must be called <name>/<version>")]
    Misplaced {
        /// The package that the folders name.
        package: PackageId,
        /// The package that the manifest names.
        said: Box<PackageId>,
    },
    /// A file is not the one that the manifest describes.
    #[error(
        "model package {package}: {file} has the SHA-256 {found}, model.toml says {expected}; fetch the package again"
    )]
    Digest {
        /// The package.
        package: PackageId,
        /// The file.
        file: Box<str>,
        /// Digest of the bytes on disk.
        found: Box<str>,
        /// Digest in the manifest.
        expected: Box<str>,
    },
    /// The files of a package have changed since it was chosen.
    #[error(
        "{package} was replaced since it became active: its SHA-256 is {found}, {expected} was expected; restore the \
         former files, or verify the new ones with `pe-node models promote {package}` (`shadow` for a shadow model); \
         restart the node if its configuration names the package"
    )]
    Replaced {
        /// The package.
        package: PackageId,
        /// Digest of the files on disk.
        found: String,
        /// Digest of the files that were chosen.
        expected: String,
    },
}

/// A package whose manifest is valid; its files are read and verified on demand.
#[derive(Debug, Clone)]
pub struct Package {
    directory: PathBuf,
    text: String,
    manifest: Manifest,
    /// SHA-256 that manifest and files must have; `None` if any will do.
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

impl Package {
    /// Reads the manifest of the package in a folder called `<name>/<version>`.
    pub fn open(directory: &Path) -> Result<Self, PackageError> {
        let package = named_by_folders(directory)?;
        let path = directory.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|source| PackageError::Read { path, source })?;
        let manifest = match Manifest::parse(&text) {
            Ok(manifest) => manifest,
            Err(source) => return Err(PackageError::Manifest { package, source }),
        };
        let said = manifest.id();
        if said != package {
            return Err(PackageError::Misplaced { package, said: Box::new(said) });
        }
        Ok(Self { directory: directory.to_owned(), text, manifest, expected: None })
    }

    /// The package of an identity in a folder of packages. [`Self::contents`] refuses files other than those of the
    /// identity.
    pub(super) fn exactly(identity: &ModelIdentity, packages: &Path) -> Result<Self, PackageError> {
        let package = Self::open(&identity.package.folder_in(packages))?;
        Ok(Self { expected: Some(identity.sha256.clone()), ..package })
    }

    /// The folder that it was opened in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Name and version.
    pub fn id(&self) -> PackageId {
        self.manifest.id()
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads all files and verifies their digests. The identity is the SHA-256 of `model.toml` followed by the files
    /// in the manifest's order: what `cat model.toml encoder.onnx head.onnx | sha256sum` prints.
    pub fn contents(&self) -> Result<Contents, PackageError> {
        let mut identity = Sha256::new_with_prefix(self.text.as_bytes());
        let mut files = Vec::with_capacity(self.manifest.files.len());
        for file in &self.manifest.files {
            let bytes = self.read(file)?;
            identity.update(&bytes);
            files.push(((file.role, file.member), bytes));
        }
        let identity = ModelIdentity { package: self.id(), sha256: hexadecimal(&identity.finalize()) };
        match &self.expected {
            Some(expected) if *expected != identity.sha256 => Err(PackageError::Replaced {
                package: identity.package,
                found: identity.sha256,
                expected: expected.clone(),
            }),
            _ => Ok(Contents { identity, files }),
        }
    }

    fn read(&self, file: &File) -> Result<Vec<u8>, PackageError> {
        let path = self.directory.join(&file.path);
        let bytes = std::fs::read(&path).map_err(|source| PackageError::Read { path, source })?;
        let found = hexadecimal(&Sha256::digest(&bytes));
        if found == file.sha256 {
            return Ok(bytes);
        }
        let (file, expected) = (file.path.as_str().into(), file.sha256.as_str().into());
        Err(PackageError::Digest { package: self.id(), file, found: found.into(), expected })
    }
}

/// The package that the last two folders of the path name.
fn named_by_folders(directory: &Path) -> Result<PackageId, PackageError> {
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = format!("{}/{}", directory.parent().map(last).unwrap_or_default(), last(directory));
    folder.parse().map_err(|source| PackageError::Name { folder, source })
}

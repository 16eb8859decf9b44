//! Importing a package into the folder: a package's folder as it is, or a third party's network with a manifest.
//!
//! What is to be imported is copied into a draft first. There its digests are verified, and its networks are loaded and
//! run once by the code that serves them. Only then is it renamed to its place. An existing package is never replaced.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::folder::{DRAFT, Folder, FolderError};
use crate::dicom::hexadecimal;
use crate::engine::models::manifest::Manifest;
use crate::engine::models::networks::verify;
use crate::engine::models::package::{MANIFEST, Package};
use crate::engine::models::package_id::is_token;
use crate::engine::models::session::Runtime;
use crate::engine::models::{ModelIdentity, SyntaxError};

/// Extensions of the documents that are copied along with the networks.
const DOCUMENTS: [&str; 9] = ["md", "txt", "json", "csv", "html", "svg", "png", "pdf", "toml"];

/// A package outside the folder.
#[derive(Debug)]
pub struct Incoming {
    manifest: Manifest,
    /// The text of `model.toml`.
    text: String,
    /// Names in the package, and where each file lies now.
    files: Vec<(String, PathBuf)>,
    source: PathBuf,
}

/// The outcome of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The package's identity.
    pub identity: ModelIdentity,
    /// False if the same package already existed.
    pub new: bool,
}

impl Incoming {
    /// The package in a folder, whatever the folder is called. Besides the files of the manifest, documents are copied.
    pub fn from_folder(folder: &Path) -> Result<Self, FolderError> {
        let text = read_manifest(&folder.join(MANIFEST))?;
        let manifest = parse(folder, &text)?;
        let mut files: Vec<(String, PathBuf)> =
            manifest.files.iter().map(|file| (file.path.clone(), folder.join(&file.path))).collect();
        let listing = fs::read_dir(folder).map_err(FolderError::disk("listing", folder))?;
        for entry in listing {
            let path = entry.map_err(FolderError::disk("listing", folder))?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
            let extension = path.extension().and_then(OsStr::to_str);
            let document = extension.map_or(name == "LICENSE" || name == "NOTICE", |one| DOCUMENTS.contains(&one));
            let named = name == MANIFEST || manifest.files.iter().any(|file| file.path == name);
            if document && !named && is_token(&name) && path.is_file() {
                files.push((name, path));
            }
        }
        Ok(Self { manifest, text, files, source: folder.to_owned() })
    }

    /// A single network and a manifest for it. The manifest need not name the file nor its digest; if it does, they
    /// must be right.
    pub fn from_network(network: &Path, manifest: &Path) -> Result<Self, FolderError> {
        let unfit = |problem: String| FolderError::Unfit { path: manifest.to_owned(), problem };
        let mut table: toml::Table = read_manifest(manifest)?
            .parse()
            .map_err(|error: toml::de::Error| unfit(SyntaxError::from(error).to_string()))?;
        let files = table.get_mut("files").and_then(toml::Value::as_array_mut).map(Vec::as_mut_slice);
        let Some([toml::Value::Table(file)]) = files else {
            return Err(unfit(
                "exactly one [[files]] was expected; import the package's folder if it has more".to_owned(),
            ));
        };
        let bytes = fs::read(network).map_err(FolderError::disk("reading", network))?;
        file.entry("path").or_insert_with(|| "network.onnx".into());
        file.entry("sha256").or_insert_with(|| hexadecimal(&Sha256::digest(&bytes)).into());
        let text = toml::to_string_pretty(&table)?;
        let manifest = parse(manifest, &text)?;
        let files = manifest.files.iter().map(|file| (file.path.clone(), network.to_owned())).collect();
        Ok(Self { manifest, text, files, source: network.to_owned() })
    }
}

impl Folder {
    /// Verifies a package, runs it once and puts it into the folder. The active package does not change: a new version
    /// waits for its promotion.
    ///
    /// # Errors
    /// The package is not valid, or another one has its name and version. Nothing has changed then.
    pub fn import(&self, incoming: &Incoming, runtime: &Runtime, now: Timestamp) -> Result<Imported, FolderError> {
        let directory = self.registry().directory();
        let draft = tempfile::Builder::new()
            .prefix(DRAFT)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(directory)
            .map_err(FolderError::disk("creating a folder in", directory))?;
        let prepared = incoming.copy_to(&draft)?;
        let package = Package::open(&prepared)?;
        let identity = verify(&package, runtime)?;
        let place = identity.package.folder_in(directory);
        if fs::symlink_metadata(&place).is_ok() {
            return Self::compare(&place, identity).map(|identity| Imported { identity, new: false });
        }
        self.keep_what_is_active(incoming.manifest.kind, now)?;
        let parent = directory.join(identity.package.name.as_str());
        if !parent.is_dir() {
            make_folder(&parent).map_err(FolderError::disk("creating the folder", &parent))?;
        }
        sync(directory)?;
        fs::rename(&prepared, &place).map_err(FolderError::disk("naming the package", &place))?;
        sync(&parent)?;
        Ok(Imported { identity, new: true })
    }

    /// Fails unless the package at the place is the same one.
    fn compare(place: &Path, new: ModelIdentity) -> Result<ModelIdentity, FolderError> {
        let present = Package::open(place).and_then(|package| package.contents());
        match present {
            Ok(contents) if contents.identity == new => Ok(new),
            other => Err(FolderError::Taken {
                package: new.package,
                present: other.map_or_else(|error| format!("(none: {error})"), |contents| contents.identity.sha256),
                new: new.sha256,
            }),
        }
    }
}

impl Incoming {
    /// Writes the package durably below a draft's folder, in folders named after it.
    fn copy_to(&self, draft: &TempDir) -> Result<PathBuf, FolderError> {
        let folder = self.manifest.id().folder_in(draft.path());
        make_folder(&folder).map_err(FolderError::disk("creating the folder", &folder))?;
        let manifest = folder.join(MANIFEST);
        write_new(&manifest, &mut self.text.as_bytes()).map_err(FolderError::disk("writing", &manifest))?;
        for (name, from) in &self.files {
            let to = folder.join(name);
            let missing = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => FolderError::Unfit {
                    path: self.source.clone(),
                    problem: format!("{} is not there", from.display()),
                },
                _ => FolderError::Disk { action: "copying", path: from.clone(), source: error },
            };
            let mut source = File::open(from).map_err(missing)?;
            write_new(&to, &mut source).map_err(FolderError::disk("writing", &to))?;
        }
        sync(&folder)?;
        Ok(folder)
    }
}

fn read_manifest(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|error| FolderError::Unfit {
        path: path.to_owned(),
        problem: match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                "there is no such file; a package is a folder with a model.toml, a single network needs --manifest"
                    .to_owned()
            }
            _ => error.to_string(),
        },
    })
}

fn parse(path: &Path, text: &str) -> Result<Manifest, FolderError> {
    Manifest::parse(text).map_err(|error| FolderError::Unfit { path: path.to_owned(), problem: error.to_string() })
}

/// Makes a folder, in a draft also those above it. The node may run as another user than the one who imports: all can
/// read the folder, whatever the umask.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Writes a new file durably, readable by all like its folder.
fn write_new(path: &Path, source: &mut impl Read) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    io::copy(source, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<(), FolderError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FolderError::disk("making durable", folder))
}

#[cfg(test)]
mod tests;

//! Promotion, rollback and the shadow model.
//!
//! [`Folder`] holds a lock that no other process has, so there is one change at a time. Files are written under another
//! name in the same folder, made durable and renamed. Whoever reads the folder meanwhile, a running node above all,
//! finds the old state or the new one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::config::ModelsConfig;
use crate::engine::models::activation::{Action, Activation, Event, STATE, ShadowModel};
use crate::engine::models::manifest::Kind;
use crate::engine::models::package::{Package, PackageError};
use crate::engine::models::registry::{Registry, RegistryError, configured, directory};
use crate::engine::models::{ModelIdentity, ModelsError, PackageId};

/// Name of the lock in the folder of packages; no package can have this name.
const LOCK: &str = ".lock";
/// Prefix of unfinished files and folders; no package can have such a name.
pub(super) const DRAFT: &str = ".draft-";

/// Why a change of the folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Packages cannot be selected.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A package does not load or does not run.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// This user cannot change the folder, for instance that of the bundled packages.
    #[error(
        "the folder of model packages {directory} cannot be changed ({source}); set models.directory to a folder of \
         your own and import the packages in use there first", directory = directory.display()
    )]
    ReadOnly {
        /// The folder.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed.
    #[error("{action} {path}: {source}; nothing was changed", path = path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state cannot be written.
    #[error("recording what is active: {0}")]
    State(#[from] toml::ser::Error),
    /// There is nothing to go back to.
    #[error("there is no {kind} before {active}; promote another with `pe-node models promote`")]
    NothingBefore {
        /// Kind of the package.
        kind: Kind,
        /// The active one, or that nothing was promoted.
        active: String,
    },
    /// The files of the package to roll back to are not those that were active.
    #[error(
        "{package} has the SHA-256 {found} now, and {former} was active; nothing was changed; run \
         `pe-node models promote {package}` to use these files, or promote another package"
    )]
    NotTheFormer {
        /// The package.
        package: PackageId,
        /// Digest of the package in the folder.
        found: String,
        /// Digest of what was active.
        former: String,
    },
    /// The shadow model is the active package.
    #[error("{0} is active; a shadow model must be another package than the active one")]
    ShadowOfItself(PackageId),
    /// Another package has the name and version.
    #[error(
        "{package} already exists with the SHA-256 {present}, this one has {new}; a package is never replaced: give \
         this one another version"
    )]
    Taken {
        /// The package.
        package: PackageId,
        /// Digest of the package in the folder, or why it has none.
        present: String,
        /// Digest of the new one.
        new: String,
    },
    /// What was to be imported is not a package.
    #[error("{path} cannot be imported: {problem}", path = path.display())]
    Unfit {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
}

impl FolderError {
    /// An error of the disk.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.to_owned(), source }
    }
}

/// The folder of packages, locked against other changes as long as this lives.
#[derive(Debug)]
pub struct Folder {
    registry: Registry,
    config: ModelsConfig,
    /// The system releases it when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Waits for the lock of the configured folder. A folder that the settings name is created if it is missing.
    ///
    /// # Errors
    /// [`FolderError::ReadOnly`] where nothing can be written.
    pub fn open(config: &ModelsConfig) -> Result<Self, FolderError> {
        let named = &config.directory;
        if !named.as_os_str().is_empty() && !named.exists() {
            fs::create_dir_all(named).map_err(unwritable(named))?;
            fs::set_permissions(named, Permissions::from_mode(0o755)).map_err(unwritable(named))?;
        }
        let directory = directory(config)?;
        let path = directory.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(unwritable(&directory))?;
        lock.lock().map_err(FolderError::disk("taking the lock", &path))?;
        remove_drafts(&directory)?;
        Ok(Self { registry: Registry::of(&directory)?, config: config.clone(), _lock: lock })
    }

    /// The packages and what is active.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Makes a verified package the active one of its kind. False if it already was.
    pub fn promote(&self, package: &Package, identity: &ModelIdentity, now: Timestamp) -> Result<bool, FolderError> {
        let kind = package.manifest().kind;
        self.change(|state| {
            self.record_found(state, kind, now);
            let event = Event {
                at: now,
                action: Action::Promoted,
                kind,
                package: package.id(),
                sha256: identity.sha256.clone(),
            };
            Ok(state.put_on_top(event))
        })
    }

    /// The package that was active before the one that is.
    pub fn before(&self, kind: Kind) -> Result<&Package, FolderError> {
        let state = self.registry.activation();
        let before = state.before(kind).ok_or_else(|| {
            let nothing = || "this one: nothing was promoted".to_owned();
            let active = state.active(kind).map_or_else(nothing, |event| event.package.to_string());
            FolderError::NothingBefore { kind, active }
        })?;
        Ok(self.registry.package(&before.package)?)
    }

    /// Makes the package that [`Self::before`] gives the active one. `identity` comes from its verification now.
    ///
    /// # Errors
    /// [`FolderError::NotTheFormer`] if its files were replaced since it was active.
    pub fn roll_back(&self, kind: Kind, identity: &ModelIdentity, now: Timestamp) -> Result<(), FolderError> {
        let package = self.before(kind)?.id();
        let former = self.registry.activation().before(kind).map(|event| event.sha256.clone()).unwrap_or_default();
        if former != identity.sha256 {
            return Err(FolderError::NotTheFormer { package, found: identity.sha256.clone(), former });
        }
        self.change(|state| Ok(state.roll_back(kind, now))).map(drop)
    }

    /// Makes a verified package the shadow model, in place of any other. False if it already was.
    pub fn set_shadow(&self, package: &Package, identity: &ModelIdentity, now: Timestamp) -> Result<bool, FolderError> {
        let kind = package.manifest().kind;
        if self.registry.lineup(&self.config)?.packages.of(kind) == identity {
            return Err(FolderError::ShadowOfItself(package.id()));
        }
        let shadow = ShadowModel { package: package.id(), kind, sha256: identity.sha256.clone(), since: now };
        self.change(|state| Ok(state.set_shadow(Some(shadow))))
    }

    /// Removes the shadow model. False if there was none.
    pub fn remove_shadow(&self) -> Result<bool, FolderError> {
        self.change(|state| Ok(state.set_shadow(None)))
    }

    /// Records the package that is active without a promotion. A new package in the folder then does not replace it,
    /// and a rollback finds it.
    pub(super) fn keep_what_is_active(&self, kind: Kind, now: Timestamp) -> Result<(), FolderError> {
        self.change(|state| {
            self.record_found(state, kind, now);
            Ok(())
        })
    }

    fn record_found(&self, state: &mut Activation, kind: Kind, now: Timestamp) {
        if state.active(kind).is_some() {
            return;
        }
        let found = self.registry.select(kind, configured(&self.config, kind));
        if let Ok(contents) = found.and_then(|package| Ok(package.contents()?)) {
            let ModelIdentity { package, sha256 } = contents.identity;
            state.put_on_top(Event { at: now, action: Action::Found, kind, package, sha256 });
        }
    }

    /// Changes the state and writes it, unless nothing changed.
    fn change<T>(&self, edit: impl FnOnce(&mut Activation) -> Result<T, FolderError>) -> Result<T, FolderError> {
        let before = self.registry.activation();
        let mut state = before.clone();
        let answer = edit(&mut state)?;
        if state != *before {
            write_whole(&self.registry.directory().join(STATE), state.to_toml()?.as_bytes())?;
        }
        Ok(answer)
    }
}

/// Removes what an interrupted change left behind.
fn remove_drafts(directory: &Path) -> Result<(), FolderError> {
    for entry in fs::read_dir(directory).map_err(FolderError::disk("listing", directory))? {
        let path = entry.map_err(FolderError::disk("listing", directory))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DRAFT)) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(FolderError::disk("removing the unfinished", &path))?;
        }
    }
    Ok(())
}

/// [`FolderError::ReadOnly`] where that is the cause, else the error of the disk.
fn unwritable(directory: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let directory = directory.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            FolderError::ReadOnly { directory, source }
        }
        _ => FolderError::Disk { action: "writing in", path: directory, source },
    }
}

/// Writes a file under another name in the same folder, durably, and renames it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(folder)?;
        // The node may run as another user than the one who promotes: all can read the file, whatever the umask.
        draft.as_file().set_permissions(Permissions::from_mode(0o644))?;
        draft.write_all(bytes)?;
        draft.as_file().sync_all()?;
        draft.persist(path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(FolderError::disk("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_names_the_setting_that_helps() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            let error = unwritable(Path::new("/usr/share/pe-node/onnx"))(kind.into());
            assert!(matches!(error, FolderError::ReadOnly { .. }));
            let text = error.to_string();
            assert!(text.contains("set models.directory") && text.contains("/usr/share/pe-node/onnx"), "{text}");
        }
        let error = unwritable(Path::new("/x"))(io::ErrorKind::StorageFull.into());
        assert!(matches!(error, FolderError::Disk { .. }));
    }
}

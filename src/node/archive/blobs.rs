//! Where the objects' bytes are: one DICOM file each, named by digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::error::ArchiveError;
use crate::node::store::BlobName;

/// Folder of the blobs below that of the archive.
pub(super) const FOLDER: &str = "blobs";

/// The file of a blob below the folder of all blobs.
pub(super) fn path_in(blobs: &Path, name: BlobName) -> PathBuf {
    let name = name.to_text();
    blobs.join(&name[..2]).join(format!("{name}.dcm"))
}

/// Bytes that are on the disk but not yet under their name. Dropped without being published, they are removed.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file that has the name of a blob.
#[derive(Debug, Clone)]
pub(super) struct FoundBlob {
    pub(super) name: BlobName,
    pub(super) path: PathBuf,
    /// It was set aside.
    pub(super) is_orphan: bool,
}

impl FoundBlob {
    fn of(path: PathBuf, is_orphan: bool) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".dcm")?;
        let name = stem.parse().ok()?;
        Some(Self { name, path, is_orphan })
    }

    /// When it was written, as far as the system says.
    pub(super) fn written_at(&self) -> SystemTime {
        fs::metadata(&self.path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Immutable blobs as files: `blobs/<first two digits>/<name>.dcm`, drafts in `incoming/`, what the index does not know
/// in `orphans/`. All calls block.
#[derive(Debug)]
pub(super) struct Blobs {
    blobs: PathBuf,
    incoming: PathBuf,
    orphans: PathBuf,
    minimum_free_bytes: u64,
    drafts: AtomicU64,
}

impl Blobs {
    /// Opens the folder, creating what is missing.
    pub(super) fn open(folder: &Path, minimum_free_bytes: u64) -> Result<Self, ArchiveError> {
        let blobs = folder.join(FOLDER);
        let incoming = folder.join("incoming");
        for path in [folder, &blobs, &incoming] {
            fs::create_dir_all(path).map_err(ArchiveError::disk("creating the folder", path))?;
        }
        // All 256 now: storing then never has to make a new folder durable.
        for shard in 0..=u8::MAX {
            let path = blobs.join(format!("{shard:02x}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(ArchiveError::disk("creating the folder", &path)(error));
                }
                _ => {}
            }
        }
        sync_folder(&blobs)?;
        sync_folder(folder)?;
        let orphans = folder.join("orphans");
        Ok(Self { blobs, incoming, orphans, minimum_free_bytes, drafts: AtomicU64::new(0) })
    }

    /// Writes the parts one after the other and makes the bytes durable, without a name yet.
    pub(super) fn write(&self, parts: &[&[u8]]) -> Result<Draft, ArchiveError> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = Draft { path: self.incoming.join(format!("{number}.tmp")) };
        let mut file = File::create_new(&draft.path).map_err(ArchiveError::disk("creating the file", &draft.path))?;
        for part in parts {
            file.write_all(part).map_err(ArchiveError::disk("writing the file", &draft.path))?;
        }
        file.sync_all().map_err(ArchiveError::disk("making the file durable", &draft.path))?;
        Ok(draft)
    }

    /// Gives a draft its name. Once this has returned, the blob survives a loss of power. The same name always stands
    /// for the same data set.
    pub(super) fn publish(&self, mut draft: Draft, name: BlobName) -> Result<(), ArchiveError> {
        let path = self.path(name);
        fs::rename(&draft.path, &path).map_err(ArchiveError::disk("naming the file", &path))?;
        draft.path = PathBuf::new();
        sync_folder(path.parent().unwrap_or(&self.blobs))
    }

    /// The file of a blob.
    pub(super) fn path(&self, name: BlobName) -> PathBuf {
        path_in(&self.blobs, name)
    }

    /// Free space in bytes.
    pub(super) fn free_bytes(&self) -> Result<u64, ArchiveError> {
        let space = rustix::fs::statvfs(&self.blobs)
            .map_err(|error| ArchiveError::disk("asking for free space of", &self.blobs)(error.into()))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Fails with [`ArchiveError::Full`] when space runs out.
    pub(super) fn check_space(&self) -> Result<(), ArchiveError> {
        let free = self.free_bytes()?;
        if free < self.minimum_free_bytes {
            return Err(ArchiveError::Full(format!(
                "{} MiB are free, storage.minimum_free_mib asks for {}",
                free >> 20,
                self.minimum_free_bytes >> 20
            )));
        }
        Ok(())
    }

    /// Fails if no object could be written now.
    pub(super) fn check_writable(&self) -> Result<(), ArchiveError> {
        self.check_space()?;
        self.write(&[b"a trial"]).map(drop)
    }

    /// Removes drafts that a crash left behind and returns how many.
    pub(super) fn remove_drafts(&self) -> Result<usize, ArchiveError> {
        let mut removed = 0;
        for entry in list(&self.incoming)? {
            fs::remove_file(&entry).map_err(ArchiveError::disk("removing the unfinished file", &entry))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// All published blobs.
    pub(super) fn published(&self) -> Result<Vec<FoundBlob>, ArchiveError> {
        let mut found = Vec::new();
        for shard in list(&self.blobs)? {
            found.extend(list(&shard)?.into_iter().filter_map(|path| FoundBlob::of(path, false)));
        }
        Ok(found)
    }

    /// All blobs that were set aside.
    pub(super) fn orphans(&self) -> Result<Vec<FoundBlob>, ArchiveError> {
        if !self.orphans.exists() {
            return Ok(Vec::new());
        }
        Ok(list(&self.orphans)?.into_iter().filter_map(|path| FoundBlob::of(path, true)).collect())
    }

    /// Puts a blob that was set aside in its place, unless one is there.
    pub(super) fn fetch_orphan(&self, name: BlobName) -> Result<(), ArchiveError> {
        let (path, orphan) = (self.path(name), self.orphan(name));
        if path.exists() {
            return Ok(());
        }
        fs::rename(&orphan, &path).map_err(ArchiveError::disk("reclaiming the file", &orphan))?;
        sync_folder(path.parent().unwrap_or(&self.blobs))?;
        sync_folder(&self.orphans)
    }

    fn orphan(&self, name: BlobName) -> PathBuf {
        self.orphans.join(format!("{}.dcm", name.to_text()))
    }

    /// Removes a blob that nothing refers to and nobody was told of.
    pub(super) fn remove(&self, name: BlobName) -> Result<(), ArchiveError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            // The same bytes came twice at a time, and were judged twice.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(ArchiveError::disk("removing the file", &path)),
        }
    }

    /// Puts a blob that nothing refers to out of the way, without losing it.
    pub(super) fn set_aside(&self, name: BlobName) -> Result<(), ArchiveError> {
        fs::create_dir_all(&self.orphans).map_err(ArchiveError::disk("creating the folder", &self.orphans))?;
        let path = self.path(name);
        fs::rename(&path, self.orphan(name)).map_err(ArchiveError::disk("setting the file aside", &path))
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let entries = fs::read_dir(folder).map_err(ArchiveError::disk("listing the folder", folder))?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(ArchiveError::disk("listing the folder", folder)))
        .collect()
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ArchiveError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(ArchiveError::disk("making the folder durable", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let blobs = Blobs::open(folder.path(), 0).expect("open");
        (folder, blobs)
    }

    #[test]
    fn a_blob_is_the_parts_one_after_the_other_under_its_name() {
        let (_folder, blobs) = open();
        let name = BlobName::of("00", "1.2");
        let draft = blobs.write(&[b"ab", b"cd"]).expect("write");
        assert!(!blobs.path(name).exists());
        blobs.publish(draft, name).expect("publish");
        assert_eq!(fs::read(blobs.path(name)).expect("read"), b"abcd");
        let published = blobs.published().expect("list");
        assert_eq!(published.iter().map(|found| found.name).collect::<Vec<_>>(), [name]);
        assert_eq!(blobs.remove_drafts().expect("drafts"), 0);
    }

    #[test]
    fn an_abandoned_draft_leaves_nothing_and_a_crashed_one_is_removed() {
        let (_folder, blobs) = open();
        drop(blobs.write(&[b"ab"]).expect("write"));
        assert_eq!(blobs.remove_drafts().expect("drafts"), 0);
        std::mem::forget(blobs.write(&[b"ab"]).expect("write"));
        assert_eq!(blobs.remove_drafts().expect("drafts"), 1);
    }

    #[test]
    fn only_computed_names_become_paths() {
        let (folder, blobs) = open();
        let path = blobs.path(BlobName::of("../..", "../../etc"));
        assert_eq!(path.parent().and_then(Path::parent), Some(folder.path().join("blobs").as_path()));
    }

    #[test]
    fn an_archive_whose_disk_refuses_to_write_is_not_writable() {
        let (folder, blobs) = open();
        blobs.check_writable().expect("writable");
        assert_eq!(blobs.remove_drafts().expect("drafts"), 0);
        fs::remove_dir(folder.path().join("incoming")).expect("remove");
        assert!(matches!(blobs.check_writable(), Err(ArchiveError::Disk { .. })));
    }

    #[test]
    fn below_the_watermark_the_archive_is_full() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let blobs = Blobs::open(folder.path(), u64::MAX).expect("open");
        assert!(matches!(blobs.check_space(), Err(ArchiveError::Full(_))));
    }
}

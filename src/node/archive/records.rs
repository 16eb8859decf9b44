//! The files of records: one JSON file each in `records/`, beside the objects. A record is durable before the index is
//! told of it; what the index was not told of when the node died, it is told at the next start.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::blobs::sync_folder;
use super::error::ArchiveError;
use crate::node::store::Record;

/// The folder of records.
#[derive(Debug)]
pub(super) struct RecordFiles {
    folder: PathBuf,
}

impl RecordFiles {
    /// Opens the folder, creating it if needed.
    pub(super) fn open(archive: &Path) -> Result<Self, ArchiveError> {
        let folder = archive.join("records");
        fs::create_dir_all(&folder).map_err(ArchiveError::disk("creating the folder", &folder))?;
        sync_folder(archive)?;
        Ok(Self { folder })
    }

    /// Makes a record durable.
    pub(super) fn write(&self, record: &Record) -> Result<(), ArchiveError> {
        let path = self.folder.join(format!("{}.json", record.id));
        let draft = path.with_extension("tmp");
        let text = serde_json::to_vec_pretty(record).map_err(|error| ArchiveError::Record(path.clone(), error))?;
        let mut file = File::create(&draft).map_err(ArchiveError::disk("creating the file", &draft))?;
        file.write_all(&text).map_err(ArchiveError::disk("writing the file", &draft))?;
        file.sync_all().map_err(ArchiveError::disk("making the file durable", &draft))?;
        fs::rename(&draft, &path).map_err(ArchiveError::disk("naming the file", &path))?;
        sync_folder(&self.folder)
    }

    /// All records but those that are known, oldest first.
    pub(super) fn read_others(&self, known: &[String]) -> Result<Vec<Record>, ArchiveError> {
        let failed = || ArchiveError::disk("listing the folder", &self.folder);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            if id.is_some_and(|id| known.binary_search_by(|known| known.as_str().cmp(id)).is_err()) {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        let read = |path: PathBuf| {
            let text = fs::read(&path).map_err(ArchiveError::disk("reading the file", &path))?;
            serde_json::from_slice(&text).map_err(|error| ArchiveError::Record(path, error))
        };
        paths.into_iter().map(read).collect()
    }
}

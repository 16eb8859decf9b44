//! Whether the files of the archive still hold what was received. A file is read and its digest compared before it is
//! used, unless that was done within the last day and the system says that the file has not changed since.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::part10;
use super::stored::StoredInstance;
use crate::dicom::Uid;
use crate::node::store::BlobName;

/// Disks lose bits without touching the times of a file: after a day its bytes are looked at again.
const TRUSTED_FOR: Duration = Duration::from_hours(24);
/// Files that are remembered, of about 120 bytes each; beyond them all are forgotten, which costs one reading of each.
const MOST_REMEMBERED: usize = 200_000;

/// A stored object whose file is not what was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedObject {
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// What is wrong with its file.
    pub damage: String,
}

impl fmt::Display for DamagedObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.sop_instance_uid, self.damage)
    }
}

/// Which file it is, in which state: every write changes the last value, whatever sets the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is known of the state of files: those that were found whole, and those that are damaged.
#[derive(Debug, Default)]
pub(super) struct Integrity {
    whole: Mutex<HashMap<BlobName, (FileState, Instant)>>,
    damaged: Mutex<BTreeMap<BlobName, DamagedObject>>,
}

impl Integrity {
    /// True if the file of an object is whole. One that is not is an alarm until the object was sent again. Blocks.
    pub(super) fn is_whole(&self, object: &StoredInstance) -> bool {
        match self.examine(object) {
            Ok(()) => {
                self.repaired(object.blob);
                true
            }
            Err(damage) => {
                self.note(object, damage);
                false
            }
        }
    }

    fn examine(&self, object: &StoredInstance) -> Result<(), String> {
        // What is written while the file is read must not count as seen.
        let state = FileState::from(&fs::metadata(&object.path).map_err(|error| explained(&error))?);
        let known = guard(&self.whole).get(&object.blob).copied();
        if known.is_some_and(|(known, at)| known == state && at.elapsed() < TRUSTED_FOR) {
            return Ok(());
        }
        compare(&object.path, object.blob, &object.sop_instance_uid)?;
        let mut whole = guard(&self.whole);
        if whole.len() >= MOST_REMEMBERED {
            whole.clear();
        }
        whole.insert(object.blob, (state, Instant::now()));
        Ok(())
    }

    fn note(&self, object: &StoredInstance, damage: String) {
        let StoredInstance { sop_instance_uid, path, .. } = object;
        let entry = DamagedObject { sop_instance_uid: sop_instance_uid.clone(), damage };
        let known = guard(&self.damaged).insert(object.blob, entry.clone());
        if known.as_ref() != Some(&entry) {
            tracing::error!(
                %sop_instance_uid,
                file = %path.display(),
                damage = entry.damage,
                "a stored object is damaged and is not used; send it again, or restore its file from a backup"
            );
        }
    }

    /// Notes that the file of an object was written anew.
    pub(super) fn repaired(&self, blob: BlobName) {
        if let Some(object) = guard(&self.damaged).remove(&blob) {
            tracing::warn!(sop_instance_uid = %object.sop_instance_uid, "a damaged object is whole again");
        }
    }

    /// The objects that are known to be damaged.
    pub(super) fn damaged(&self) -> Vec<DamagedObject> {
        guard(&self.damaged).values().cloned().collect()
    }
}

/// Compares a file with what its name says of its bytes.
fn compare(path: &Path, blob: BlobName, sop_instance_uid: &Uid) -> Result<(), String> {
    use crate::dicom::bounded::ReadError;
    let found = part10::stored(path).map_err(|error| match error {
        ReadError::Io(error) => explained(&error),
        error => format!("its file is no DICOM file any more: {error}"),
    })?;
    if found.sop_instance_uid.as_ref().is_some_and(|found| found != sop_instance_uid) {
        return Err("its file holds another object".to_owned());
    }
    if BlobName::of(&found.sha256, &found.transfer_syntax_uid) != blob {
        return Err("its bytes are not those that were received (SHA-256)".to_owned());
    }
    Ok(())
}

fn explained(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "its file is gone".to_owned(),
        _ => format!("its file cannot be read: {error}"),
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call: what a panic left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The store as others hold it: opened once for a folder, cloned freely.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::SqlitePool;
use tokio::sync::watch;

use super::database::{Database, FILE, watch_over};
use super::error::StoreError;
use super::index::{Filer, fold_descriptions};
use super::refusals::Refusals;
use crate::config::StorageConfig;
use crate::dicom::Uid;
use crate::node::clock::Clock;
use crate::node::queue::{Refusal, Rules};

/// The store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) database: Database,
    pub(super) filer: Filer,
    pub(super) refusals: Refusals,
    pub(super) rules: Arc<Rules>,
    /// Names this run of the node: leases of other runs are void.
    pub(super) run: Arc<str>,
    pub(super) clock: Arc<Clock>,
    changed: watch::Sender<u64>,
    /// Held as long as the store is open; the system releases it when the process ends, however it ends.
    _lock: Arc<File>,
}

impl Store {
    /// Opens the store in the folder of the archive, creating what is missing, and requeues what a former run of the
    /// node left in progress. No second process can open it at the same time.
    pub async fn open(config: &StorageConfig, rules: Rules) -> Result<Self, StoreError> {
        let folder = &config.path;
        fs::create_dir_all(folder).map_err(StoreError::disk("creating the folder", folder))?;
        let lock = lock(folder)?;
        let database = Database::open(&folder.join(FILE)).await?;
        fold_descriptions(&database).await?;
        tokio::spawn(watch_over(database.clone()));
        let store = Self {
            filer: Filer::start(database.clone()),
            refusals: Refusals::start(database.clone()),
            database,
            rules: Arc::new(rules),
            run: run_name(),
            clock: Arc::new(Clock::start()),
            changed: watch::Sender::new(0),
            _lock: Arc::new(lock),
        };
        store.requeue_leftovers(store.now()).await?;
        Ok(store)
    }

    /// Puts the database of a folder that no node uses out of the way, so that the next start makes it anew. Returns its
    /// new name, if there was one.
    pub fn set_index_aside(config: &StorageConfig) -> Result<Option<PathBuf>, StoreError> {
        let _lock = lock(&config.path)?;
        let file = config.path.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let aside = config.path.join(format!("{FILE}.set-aside-{}", Timestamp::now().as_millisecond()));
        for ending in ["-shm", "-wal", ""] {
            let [from, to] = [&file, &aside].map(|path| PathBuf::from(format!("{}{ending}", path.display())));
            if from.exists() {
                fs::rename(&from, &to).map_err(StoreError::disk("setting the index aside", &from))?;
            }
        }
        Ok(Some(aside))
    }

    /// The same store as another run of the node finds it, with other settings perhaps.
    #[cfg(test)]
    pub(in crate::node) async fn restarted(&self, rules: Rules) -> Self {
        let store = Self { rules: Arc::new(rules), run: run_name(), changed: watch::Sender::new(0), ..self.clone() };
        store.requeue_leftovers(Timestamp::now()).await.expect("requeue");
        store
    }

    /// Requeues what former runs of the node left in progress. Only one process can have the store open, so those runs
    /// have ended, and whatever they were doing did not finish.
    async fn requeue_leftovers(&self, now: Timestamp) -> Result<(), StoreError> {
        self.distrust_future_times(now).await?;
        self.requeue_interrupted_jobs(now).await?;
        self.release_running_deliveries(now).await?;
        self.release_commitments().await
    }

    /// What is wrong with the database file, if anything is known to be.
    pub fn damage(&self) -> Option<String> {
        self.database.soundness().damage()
    }

    /// Tells of every change of a job or a delivery: wait with `changed()`, then look again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notes that an object was refused. Its sender does not wait for this.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals.note(refusal);
    }

    /// Waits for what is being committed and closes the database. Every handle of this store fails with
    /// [`StoreError::Closed`] from then on; when the last one is dropped, the folder can be opened again.
    pub async fn close(&self) {
        self.refusals.flush().await;
        self.database.close().await;
    }

    pub(super) fn announce(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        self.database.readers()
    }
}

fn run_name() -> Arc<str> {
    Uid::random().as_str().into()
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::disk("opening the lock", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::disk("taking the lock", &path)(error)),
    }
}

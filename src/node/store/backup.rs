//! A copy of the database before its tables are changed: the way back to the former version of the program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sqlx::SqlitePool;

use super::error::{StoreError, during};

/// Where the copy lies that is made before the tables become those of a version.
fn path_before(database: &Path, version: i64) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".before-{version:04}"));
    name.into()
}

/// Copies a database beside itself, durably, before its tables become those of `version`. It takes the place of an
/// earlier copy for the same version, which an interrupted start left.
pub(super) async fn copy(writer: &SqlitePool, database: &Path, version: i64) -> Result<(), StoreError> {
    let copy = path_before(database, version);
    let draft = copy.with_extension(format!("before-{version:04}.partial"));
    if draft.exists() {
        fs::remove_file(&draft).map_err(StoreError::disk("removing the unfinished copy", &draft))?;
    }
    let to = draft.to_string_lossy().into_owned();
    during("copying the index before its tables change", async {
        sqlx::query("VACUUM INTO $1").bind(to).execute(writer).await?;
        Ok(())
    })
    .await?;
    let durable = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    durable(&draft).map_err(StoreError::disk("making the copy durable", &draft))?;
    fs::rename(&draft, &copy).map_err(StoreError::disk("naming the copy", &copy))?;
    if let Some(folder) = copy.parent() {
        durable(folder).map_err(StoreError::disk("making the folder durable", folder))?;
    }
    tracing::info!(copy = %copy.display(), "the index was copied before its tables change");
    Ok(())
}

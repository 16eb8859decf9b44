//! Columns of a row as the types of this program. A value that a column cannot have is an error, never a guess.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Fault;
use crate::dicom::{SeriesId, Uid};
use crate::node::queue::{Confirmation, JobId};

/// Columns of a row as the types of this program.
pub(super) trait Columns {
    /// A unique identifier.
    fn uid(&self, column: &'static str) -> Result<Uid, Fault>;

    /// The series of the columns `study_instance_uid` and `series_instance_uid`.
    fn series(&self) -> Result<SeriesId, Fault>;

    /// A job's identity.
    fn job_id(&self, column: &'static str) -> Result<JobId, Fault>;

    /// Milliseconds since 1970 as a time.
    fn time(&self, column: &'static str) -> Result<Timestamp, Fault>;

    /// Milliseconds since 1970 as a time, or NULL.
    fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, Fault>;

    /// A value by its name.
    fn named<T: FromStr>(&self, column: &'static str) -> Result<T, Fault>;

    /// A value written as JSON.
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Fault>;

    /// A value written as JSON, or NULL.
    fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Fault>;

    /// How many.
    fn count(&self, column: &'static str) -> Result<u64, Fault>;
}

impl Columns for SqliteRow {
    fn uid(&self, column: &'static str) -> Result<Uid, Fault> {
        Uid::parse(self.try_get(column)?).map_err(|error| Fault::row(column, error))
    }

    fn series(&self) -> Result<SeriesId, Fault> {
        Ok(SeriesId::new(self.uid("study_instance_uid")?, self.uid("series_instance_uid")?))
    }

    fn job_id(&self, column: &'static str) -> Result<JobId, Fault> {
        Ok(JobId::from_text(self.try_get(column)?))
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, Fault> {
        Timestamp::from_millisecond(self.try_get(column)?).map_err(|error| Fault::row(column, error))
    }

    fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, Fault> {
        let milliseconds: Option<i64> = self.try_get(column)?;
        milliseconds.map(|_| self.time(column)).transpose()
    }

    fn named<T: FromStr>(&self, column: &'static str) -> Result<T, Fault> {
        let name: &str = self.try_get(column)?;
        name.parse::<T>().map_err(|_| Fault::row(column, format!("`{name}` is not known to this program")))
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Fault> {
        serde_json::from_str(self.try_get(column)?).map_err(|error| Fault::row(column, error))
    }

    fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Fault> {
        let json: Option<&str> = self.try_get(column)?;
        json.map(|_| self.json(column)).transpose()
    }

    fn count(&self, column: &'static str) -> Result<u64, Fault> {
        let count: i64 = self.try_get(column)?;
        u64::try_from(count).map_err(|error| Fault::row(column, error))
    }
}

/// What a destination has, by the columns `sent_as` and `remark`.
pub(super) fn confirmation(row: &SqliteRow) -> Result<Confirmation, Fault> {
    let sent_as: Option<&str> = row.try_get("sent_as")?;
    Ok(Confirmation { sent_as: sent_as.map(|_| row.named("sent_as")).transpose()?, remark: row.try_get("remark")? })
}

/// A value as JSON for a column.
pub(super) fn to_json(column: &'static str, value: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::row(column, error))
}

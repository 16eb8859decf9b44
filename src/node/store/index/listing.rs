//! Listing what the index holds, and adding to it.

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::blob_name::BlobName;
use super::instance::{Filed, IndexedInstance, Scope, is_of_analysis};
use super::unfiled::Unfiled;
use super::visibility::{Visibility, also_listed};
use crate::dicom::Uid;
use crate::node::store::error::{Fault, StoreError, during};
use crate::node::store::handle::Store;
use crate::node::store::rows::Columns;

impl Store {
    /// Lists an object whose bytes are durable; returns after the commit.
    pub async fn file(&self, object: Unfiled) -> Result<Filed, StoreError> {
        self.filer.file(object).await
    }

    /// The instances of a scope that can be retrieved, in order of series and instance number; empty if there is nothing.
    pub async fn instances(&self, scope: &Scope) -> Result<Vec<IndexedInstance>, StoreError> {
        during("listing instances of the index", async {
            // A superseded result is asked for by its own identifier alone.
            let superseded = also_listed(matches!(scope, Scope::Instance(..)));
            let rows = listed(scope, Visibility::Current.name(), superseded).build().fetch_all(self.readers()).await?;
            rows.iter().map(indexed_instance).collect()
        })
        .await
    }

    /// The instances of a study that rejections hide.
    pub async fn rejected_instances(&self, study: &Uid) -> Result<Vec<IndexedInstance>, StoreError> {
        during("listing rejected instances", async {
            let scope = Scope::Study(study.clone());
            let rows = listed(&scope, Visibility::Rejected.name(), None).build().fetch_all(self.readers()).await?;
            rows.iter().map(indexed_instance).collect()
        })
        .await
    }

    /// The first instances of a study that are listed and were neither made here nor held from a trusted sender.
    pub async fn first_outstanding(&self, study: &Uid, limit: usize) -> Result<Vec<IndexedInstance>, StoreError> {
        during("looking for objects that did not come again", async {
            let mut statement = in_scope(&Scope::Study(study.clone()), Visibility::Current.name(), None);
            statement.push(
                " AND i.origin <> 'analysis' AND NOT EXISTS (SELECT 1 FROM conflicts c \
                 WHERE c.sop_instance_uid = i.sop_instance_uid AND c.state = 'held' AND c.trusted = 1) LIMIT ",
            );
            let rows = statement.push_bind(limit as i64).build().fetch_all(self.readers()).await?;
            rows.iter().map(indexed_instance).collect()
        })
        .await
    }

    /// The instances whose bytes lie in these files, whatever hides them.
    pub async fn instances_in(&self, blobs: &[BlobName]) -> Result<Vec<IndexedInstance>, StoreError> {
        during("looking up the objects of files", async {
            let mut instances = Vec::new();
            for blob in blobs {
                let rows = sqlx::query(
                    "SELECT study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, \
                     transfer_syntax_uid, sha256, blob, origin, received_at FROM instances WHERE blob = $1",
                )
                .bind(blob.to_text())
                .fetch_all(self.readers())
                .await?;
                for row in &rows {
                    instances.push(indexed_instance(row)?);
                }
            }
            Ok(instances)
        })
        .await
    }

    /// All blobs that instances and conflicts refer to, sorted.
    pub async fn blobs(&self) -> Result<Vec<BlobName>, StoreError> {
        during("listing files of the index", async {
            let mut rows = sqlx::query("SELECT blob FROM instances UNION SELECT blob FROM conflicts WHERE kept = 1")
                .fetch(self.readers());
            let mut names: Vec<BlobName> = Vec::new();
            while let Some(row) = rows.try_next().await? {
                names.push(row.named("blob")?);
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }
}

impl Store {
    /// True if some row refers to a file.
    pub async fn is_referenced(&self, blob: BlobName) -> Result<bool, StoreError> {
        during("looking for a file in the index", async {
            let rows: i64 = sqlx::query_scalar(
                "SELECT (SELECT COUNT(*) FROM instances WHERE blob = $1) \
                 + (SELECT COUNT(*) FROM conflicts WHERE blob = $1 AND kept = 1)",
            )
            .bind(blob.to_text())
            .fetch_one(self.readers())
            .await?;
            Ok(rows > 0)
        })
        .await
    }

    /// Lists the bytes of an object in the place of damaged ones with the same content.
    pub async fn heal(&self, object: &Unfiled) -> Result<(), StoreError> {
        during("listing the file of a healed object", async {
            let mut change = self.database.begin().await?;
            sqlx::query(
                "UPDATE instances SET transfer_syntax_uid = $2, sha256 = $3, blob = $4, bytes = $5 \
                 WHERE sop_instance_uid = $1",
            )
            .bind(object.sop_instance_uid().as_str())
            .bind(object.transfer_syntax_uid().as_str())
            .bind(object.sha256())
            .bind(object.blob().to_text())
            .bind(object.bytes())
            .execute(&mut *change)
            .await?;
            Ok(change.commit().await?)
        })
        .await
    }
}

/// The instances of a scope with a visibility, and those that are `also` asked for.
fn listed(scope: &Scope, visibility: &'static str, also: Option<&'static str>) -> QueryBuilder<Sqlite> {
    let mut statement = in_scope(scope, visibility, also);
    statement.push(
        " ORDER BY COALESCE(e.series_number, 2147483648), i.series_instance_uid, \
         COALESCE(i.instance_number, 2147483648), i.sop_instance_uid",
    );
    statement
}

fn in_scope(scope: &Scope, visibility: &'static str, also: Option<&'static str>) -> QueryBuilder<Sqlite> {
    let mut statement = QueryBuilder::new(
        "SELECT i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, \
         i.transfer_syntax_uid, i.sha256, i.blob, i.origin, i.received_at FROM instances i JOIN series e ON \
         e.study_instance_uid = i.study_instance_uid AND e.series_instance_uid = i.series_instance_uid \
         WHERE i.study_instance_uid = ",
    );
    let (study, series, instance) = match scope {
        Scope::Study(study) => (study, None, None),
        Scope::Series(study, series) => (study, Some(series), None),
        Scope::Instance(study, series, instance) => (study, Some(series), Some(instance)),
    };
    statement.push_bind(study.to_string());
    statement.push(" AND (i.visibility = ").push_bind(visibility);
    statement.push(" OR i.visibility = ").push_bind(also).push(")");
    if let Some(series) = series {
        statement.push(" AND i.series_instance_uid = ").push_bind(series.to_string());
    }
    if let Some(instance) = instance {
        statement.push(" AND i.sop_instance_uid = ").push_bind(instance.to_string());
    }
    statement
}

fn indexed_instance(row: &SqliteRow) -> Result<IndexedInstance, Fault> {
    Ok(IndexedInstance {
        study_instance_uid: row.uid("study_instance_uid")?,
        series_instance_uid: row.uid("series_instance_uid")?,
        sop_instance_uid: row.uid("sop_instance_uid")?,
        sop_class_uid: row.uid("sop_class_uid")?,
        transfer_syntax_uid: row.uid("transfer_syntax_uid")?,
        sha256: row.try_get("sha256")?,
        received_at: row.time("received_at")?,
        blob: row.named("blob")?,
        is_result: is_of_analysis(row.try_get("origin")?),
    })
}

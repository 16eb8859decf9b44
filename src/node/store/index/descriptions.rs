//! Descriptions in lower case for rows that an earlier version of the program wrote without them. `rowid` is SQLite's own
//! name of a row.

use dicom_dictionary_std::tags;
use dicom_object::Tag;

use super::attributes;
use crate::node::store::database::Database;
use crate::node::store::error::{Fault, StoreError, during};

/// Rows of a table that lack their description, and how they get it.
struct Lacking {
    tag: Tag,
    select: &'static str,
    update: &'static str,
}

const LACKING: [Lacking; 2] = [
    Lacking {
        tag: tags::STUDY_DESCRIPTION,
        select: "SELECT rowid, attributes FROM studies WHERE description_folded IS NULL LIMIT 1000",
        update: "UPDATE studies SET description_folded = $2 WHERE rowid = $1",
    },
    Lacking {
        tag: tags::SERIES_DESCRIPTION,
        select: "SELECT rowid, attributes FROM series WHERE description_folded IS NULL LIMIT 1000",
        update: "UPDATE series SET description_folded = $2 WHERE rowid = $1",
    },
];

/// Reads the descriptions of rows that lack them, once after an update of the program. SQL could not: its lower case is
/// that of ASCII alone.
pub(in crate::node::store) async fn fold_descriptions(database: &Database) -> Result<(), StoreError> {
    during("reading the descriptions of the index", async {
        for lacking in LACKING {
            while fold_some(database, &lacking).await? > 0 {}
        }
        Ok(())
    })
    .await
}

/// Reads some of them in one transaction; returns how many.
async fn fold_some(database: &Database, lacking: &Lacking) -> Result<usize, Fault> {
    let rows: Vec<(i64, String)> = sqlx::query_as(lacking.select).fetch_all(database.readers()).await?;
    let mut change = database.begin().await?;
    for (row, json) in &rows {
        let folded = attributes::folded(json, lacking.tag);
        sqlx::query(lacking.update).bind(row).bind(folded).execute(&mut *change).await?;
    }
    change.commit().await?;
    Ok(rows.len())
}

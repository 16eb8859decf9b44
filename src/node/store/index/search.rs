//! Searching.

use dicom_core::header::Header;
use dicom_object::Tag;
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::attributes::{self, is_returned};
use super::checking::is_compared;
use super::matching;
use super::narrowing::narrowed;
use super::query::{ItemKeys, Level, Query};
use super::visibility::also_listed;
use crate::dicom::elements::DataSet;
use crate::node::store::error::{Fault, StoreError, during};
use crate::node::store::handle::Store;

impl Store {
    /// Answers a query with one data set per match: the study that arrived last comes first, its series and instances
    /// in order of their numbers. The order is total, so pages do not overlap. Each data set holds the standard's return attributes for the level
    /// (PS3.18 10.6.3) and those that were asked for. Texts are decoded; Specific Character Set is left out.
    pub async fn find(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, StoreError> {
        during("searching the index", self.search(level, query)).await
    }

    async fn search(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, Fault> {
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut statement = narrowed(level, query, also_listed(self.rules.list_superseded));
        let every_row_matches = keys(level, query).next().is_none() && sequences(level, query).next().is_none();
        let mut to_skip = query.offset;
        let mut rows = statement.build().fetch(self.readers());
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.try_next().await?
        {
            if every_row_matches && to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            let data_set = data_set(level, &row)?;
            if !matches(level, query, &data_set) {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            found.push(data_set);
        }
        drop(rows);
        for data_set in &mut found {
            if !query.include_all {
                data_set.retain(|element| is_returned(level, element.tag()) || query.include.contains(&element.tag()));
            }
        }
        self.count(level, query, &mut found).await?;
        Ok(found)
    }
}

/// True if the attributes match all keys that are compared at this level.
fn matches(level: Level, query: &Query, data_set: &DataSet) -> bool {
    keys(level, query).all(|(tag, pattern)| matching::matches(data_set, *tag, pattern))
        && sequences(level, query).all(|keys| matching::matches_item(data_set, keys))
}

/// The keys that are compared row by row at this level.
fn keys(level: Level, query: &Query) -> impl Iterator<Item = &(Tag, String)> {
    query.matching.iter().filter(move |(tag, pattern)| is_compared(level, *tag) && !matching::is_universal(pattern))
}

/// The keys inside sequences that are compared at this level.
fn sequences(level: Level, query: &Query) -> impl Iterator<Item = &ItemKeys> {
    query.sequences.iter().filter(move |keys| is_compared(level, keys.sequence))
}

/// One row's attributes, of its level and of those above.
fn data_set(level: Level, row: &SqliteRow) -> Result<DataSet, Fault> {
    let mut data_set = attributes::read(row.try_get(0)?);
    for column in 1..=level as usize {
        for element in attributes::read(row.try_get(column)?) {
            data_set.put(element);
        }
    }
    Ok(data_set)
}

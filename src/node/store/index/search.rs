//! Searching.

use dicom_core::header::Header;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::attributes::{self, is_returned};
use super::checking::is_compared;
use super::matching;
use super::narrowing::narrowed;
use super::query::{Level, Query};
use super::visibility::also_listed;
use crate::dicom::elements::{DataSet, text};
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
        let mut statement = narrowed(level, query, self.also_listed());
        let mut rows = statement.build().fetch(self.readers());
        let mut found = Vec::new();
        let mut to_skip = query.offset;
        while found.len() < limit
            && let Some(row) = rows.try_next().await?
        {
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
            self.count(level, query, data_set).await?;
        }
        Ok(found)
    }

    /// Adds what is computed from other rows, and what is true of all that the node holds.
    async fn count(&self, level: Level, query: &Query, data_set: &mut DataSet) -> Result<(), Fault> {
        data_set.put(DataElement::new(tags::INSTANCE_AVAILABILITY, VR::CS, "ONLINE"));
        let wanted = |tag| query.include_all || query.include.contains(&tag);
        let study = text(data_set, tags::STUDY_INSTANCE_UID).unwrap_or_default();
        if level == Level::Study || wanted(tags::MODALITIES_IN_STUDY) {
            let modalities = self
                .distinct(
                    "SELECT DISTINCT e.modality FROM series e WHERE e.study_instance_uid = $1 AND EXISTS (SELECT 1 \
                     FROM instances i WHERE i.study_instance_uid = $1 AND i.series_instance_uid = e.series_instance_uid \
                     AND (i.visibility = 'current' OR i.visibility = $2)) ORDER BY e.modality",
                    &study,
                )
                .await?;
            data_set.put(DataElement::new(tags::MODALITIES_IN_STUDY, VR::CS, PrimitiveValue::Strs(modalities.into())));
        }
        if wanted(tags::SOP_CLASSES_IN_STUDY) {
            let classes = self
                .distinct(
                    "SELECT DISTINCT sop_class_uid FROM instances WHERE study_instance_uid = $1 \
                     AND (visibility = 'current' OR visibility = $2) ORDER BY sop_class_uid",
                    &study,
                )
                .await?;
            data_set.put(DataElement::new(tags::SOP_CLASSES_IN_STUDY, VR::UI, PrimitiveValue::Strs(classes.into())));
        }
        if level == Level::Study || wanted(tags::NUMBER_OF_STUDY_RELATED_INSTANCES) {
            let (series, instances): (i64, i64) = sqlx::query_as(
                "SELECT COUNT(DISTINCT series_instance_uid), COUNT(*) FROM instances WHERE study_instance_uid = $1 \
                 AND (visibility = 'current' OR visibility = $2)",
            )
            .bind(&study)
            .bind(self.also_listed())
            .fetch_one(self.readers())
            .await?;
            put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_SERIES, series);
            put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, instances);
        }
        if level == Level::Series {
            let series = text(data_set, tags::SERIES_INSTANCE_UID).unwrap_or_default();
            let instances: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
                 AND (visibility = 'current' OR visibility = $3)",
            )
            .bind(&study)
            .bind(&series)
            .bind(self.also_listed())
            .fetch_one(self.readers())
            .await?;
            put_count(data_set, tags::NUMBER_OF_SERIES_RELATED_INSTANCES, instances);
        }
        Ok(())
    }

    fn also_listed(&self) -> Option<&'static str> {
        also_listed(self.rules.list_superseded)
    }

    async fn distinct(&self, sql: &'static str, study_instance_uid: &str) -> Result<Vec<String>, Fault> {
        let values: Vec<String> =
            sqlx::query_scalar(sql).bind(study_instance_uid).bind(self.also_listed()).fetch_all(self.readers()).await?;
        Ok(values.into_iter().filter(|value| !value.is_empty()).collect())
    }
}

fn put_count(data_set: &mut DataSet, tag: Tag, count: i64) {
    data_set.put(DataElement::new(tag, VR::IS, PrimitiveValue::from(i32::try_from(count).unwrap_or(i32::MAX))));
}

/// True if the attributes match all keys that are compared at this level.
fn matches(level: Level, query: &Query, data_set: &DataSet) -> bool {
    let keys = query.matching.iter().filter(|(tag, _)| is_compared(level, *tag));
    let sequences = query.sequences.iter().filter(|keys| is_compared(level, keys.sequence));
    keys.into_iter().all(|(tag, pattern)| matching::matches(data_set, *tag, pattern))
        && sequences.into_iter().all(|keys| matching::matches_item(data_set, keys))
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

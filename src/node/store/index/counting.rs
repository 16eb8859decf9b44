//! Searching: what is counted in rows below those that were found. One statement counts for many matches.

use std::collections::HashMap;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder};

use super::query::{Level, Query};
use super::visibility::{also_listed, push_listed};
use crate::dicom::elements::{DataSet, text};
use crate::node::store::error::Fault;
use crate::node::store::handle::Store;

/// Most matches that one statement counts for; databases have a limit of bound values.
const AT_A_TIME: usize = 1_000;

impl Store {
    /// Adds what is counted in other rows, and what is true of all that the node holds.
    pub(super) async fn count(&self, level: Level, query: &Query, found: &mut [DataSet]) -> Result<(), Fault> {
        for some in found.chunks_mut(AT_A_TIME) {
            self.count_some(level, query, some).await?;
        }
        Ok(())
    }

    async fn count_some(&self, level: Level, query: &Query, found: &mut [DataSet]) -> Result<(), Fault> {
        for data_set in &mut *found {
            data_set.put(DataElement::new(tags::INSTANCE_AVAILABILITY, VR::CS, "ONLINE"));
        }
        let wanted = |tag| query.include_all || query.include.contains(&tag);
        if level == Level::Study || wanted(tags::MODALITIES_IN_STUDY) {
            let modalities = self.values(MODALITIES, found).await?;
            put_values(found, tags::MODALITIES_IN_STUDY, VR::CS, &modalities);
        }
        if wanted(tags::SOP_CLASSES_IN_STUDY) {
            let classes = self.values(SOP_CLASSES, found).await?;
            put_values(found, tags::SOP_CLASSES_IN_STUDY, VR::UI, &classes);
        }
        if level == Level::Study || wanted(tags::NUMBER_OF_STUDY_RELATED_INSTANCES) {
            let rows: Vec<(String, i64, i64)> = self.rows_of(IN_STUDIES, found).await?;
            let of: HashMap<_, _> =
                rows.into_iter().map(|(study, series, instances)| (study, (series, instances))).collect();
            for data_set in &mut *found {
                let (series, instances) = of.get(&uid(data_set, tags::STUDY_INSTANCE_UID)).copied().unwrap_or_default();
                put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_SERIES, series);
                put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, instances);
            }
        }
        if level == Level::Series {
            let rows: Vec<(String, String, i64)> = self.rows_of(IN_SERIES, found).await?;
            let of: HashMap<_, _> =
                rows.into_iter().map(|(study, series, instances)| ((study, series), instances)).collect();
            for data_set in &mut *found {
                let key = (uid(data_set, tags::STUDY_INSTANCE_UID), uid(data_set, tags::SERIES_INSTANCE_UID));
                put_count(
                    data_set,
                    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
                    of.get(&key).copied().unwrap_or_default(),
                );
            }
        }
        Ok(())
    }

    /// The values of the studies of some matches, by study, in the order of the statement.
    async fn values(&self, counting: Counting, found: &[DataSet]) -> Result<HashMap<String, Vec<String>>, Fault> {
        let mut values: HashMap<_, Vec<_>> = HashMap::new();
        for (study, value) in self.rows_of::<(String, String)>(counting, found).await? {
            if !value.is_empty() {
                values.entry(study).or_default().push(value);
            }
        }
        Ok(values)
    }

    /// What a statement says of the studies of some matches.
    async fn rows_of<R>(&self, counting: Counting, found: &[DataSet]) -> Result<Vec<R>, Fault>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut studies: Vec<String> = found.iter().map(|one| uid(one, tags::STUDY_INSTANCE_UID)).collect();
        studies.sort_unstable();
        studies.dedup();
        let mut statement = QueryBuilder::new(counting.before);
        statement.push(".study_instance_uid IN (");
        let mut separated = statement.separated(", ");
        for study in studies {
            separated.push_bind(study);
        }
        statement.push(counting.between);
        push_listed(&mut statement, also_listed(self.rules.list_superseded));
        statement.push(counting.after);
        Ok(statement.build_query_as().fetch_all(self.readers()).await?)
    }
}

/// A statement without its list of studies and its condition on what is listed.
struct Counting {
    before: &'static str,
    between: &'static str,
    after: &'static str,
}

/// Series are few beside their instances: one instance that is listed is enough.
const MODALITIES: Counting = Counting {
    before: "SELECT DISTINCT e.study_instance_uid, e.modality FROM series e WHERE e",
    between: ") AND EXISTS (SELECT 1 FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
              AND i.series_instance_uid = e.series_instance_uid AND ",
    after: ") ORDER BY e.modality",
};
const SOP_CLASSES: Counting = Counting {
    before: "SELECT DISTINCT i.study_instance_uid, i.sop_class_uid FROM instances i WHERE i",
    between: ") AND ",
    after: " ORDER BY i.sop_class_uid",
};
const IN_STUDIES: Counting = Counting {
    before: "SELECT i.study_instance_uid, COUNT(DISTINCT i.series_instance_uid), COUNT(*) FROM instances i WHERE i",
    between: ") AND ",
    after: " GROUP BY i.study_instance_uid",
};
const IN_SERIES: Counting = Counting {
    before: "SELECT i.study_instance_uid, i.series_instance_uid, COUNT(*) FROM instances i WHERE i",
    between: ") AND ",
    after: " GROUP BY i.study_instance_uid, i.series_instance_uid",
};

fn uid(data_set: &DataSet, tag: Tag) -> String {
    text(data_set, tag).unwrap_or_default()
}

fn put_values(found: &mut [DataSet], tag: Tag, representation: VR, of: &HashMap<String, Vec<String>>) {
    for data_set in found {
        let values = of.get(&uid(data_set, tags::STUDY_INSTANCE_UID)).cloned().unwrap_or_default();
        data_set.put(DataElement::new(tag, representation, PrimitiveValue::Strs(values.into())));
    }
}

fn put_count(data_set: &mut DataSet, tag: Tag, count: i64) {
    data_set.put(DataElement::new(tag, VR::IS, PrimitiveValue::from(i32::try_from(count).unwrap_or(i32::MAX))));
}

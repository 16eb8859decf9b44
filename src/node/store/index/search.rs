//! The index in SQL: searching. SQL narrows, [`matching`] decides, so that both dialects give the same answer.

use dicom_core::header::Header;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::attributes::{self, is_returned, level_of};
use super::blobs::BlobName;
use super::database::Database;
use super::error::ArchiveError;
use super::filing::Filer;
use super::index::{Entry, Index, IndexedInstance};
use super::instance::{Scope, Stored};
use super::matching;
use super::progress::{self, SeriesMember, UnassembledSeries};
use super::query::{Level, Query};
use crate::dicom::Uid;
use crate::dicom::elements::{DataSet, text};

/// The index in an SQL database.
#[derive(Debug, Clone)]
pub(super) struct SqlIndex {
    database: Database,
    filer: Filer,
}

impl SqlIndex {
    pub(super) fn new(database: Database) -> Self {
        Self { filer: Filer::start(database.clone()), database }
    }

    async fn search(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, sqlx::Error> {
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut statement = narrowed(level, query);
        let mut rows = statement.build().fetch(self.database.readers());
        let mut found = Vec::new();
        let mut to_skip = query.offset;
        while found.len() < limit
            && let Some(row) = rows.try_next().await?
        {
            let data_set = data_set(level, &row)?;
            let asked = query.matching.iter().filter(|(tag, _)| level_of(*tag) <= level && !is_computed(*tag));
            if !asked.clone().all(|(tag, pattern)| matching::matches(&data_set, *tag, pattern)) {
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
    async fn count(&self, level: Level, query: &Query, data_set: &mut DataSet) -> Result<(), sqlx::Error> {
        data_set.put(DataElement::new(tags::INSTANCE_AVAILABILITY, VR::CS, "ONLINE"));
        let wanted = |tag| query.include_all || query.include.contains(&tag);
        let study = text(data_set, tags::STUDY_INSTANCE_UID).unwrap_or_default();
        if level == Level::Study || wanted(tags::MODALITIES_IN_STUDY) {
            let modalities = self
                .distinct(
                    "SELECT DISTINCT modality FROM series WHERE study_instance_uid = $1 ORDER BY modality",
                    &study,
                )
                .await?;
            data_set.put(DataElement::new(tags::MODALITIES_IN_STUDY, VR::CS, PrimitiveValue::Strs(modalities.into())));
        }
        if wanted(tags::SOP_CLASSES_IN_STUDY) {
            let classes = self
                .distinct(
                    "SELECT DISTINCT sop_class_uid FROM instances WHERE study_instance_uid = $1 ORDER BY sop_class_uid",
                    &study,
                )
                .await?;
            data_set.put(DataElement::new(tags::SOP_CLASSES_IN_STUDY, VR::UI, PrimitiveValue::Strs(classes.into())));
        }
        if level == Level::Study || wanted(tags::NUMBER_OF_STUDY_RELATED_INSTANCES) {
            let (series, instances): (i64, i64) = sqlx::query_as(
                "SELECT (SELECT COUNT(*) FROM series WHERE study_instance_uid = $1), \
                 (SELECT COUNT(*) FROM instances WHERE study_instance_uid = $1)",
            )
            .bind(&study)
            .fetch_one(self.database.readers())
            .await?;
            put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_SERIES, series);
            put_count(data_set, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, instances);
        }
        if level == Level::Series {
            let series = text(data_set, tags::SERIES_INSTANCE_UID).unwrap_or_default();
            let instances: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2",
            )
            .bind(&study)
            .bind(&series)
            .fetch_one(self.database.readers())
            .await?;
            put_count(data_set, tags::NUMBER_OF_SERIES_RELATED_INSTANCES, instances);
        }
        Ok(())
    }

    async fn distinct(&self, sql: &'static str, study_instance_uid: &str) -> Result<Vec<String>, sqlx::Error> {
        let values: Vec<String> =
            sqlx::query_scalar(sql).bind(study_instance_uid).fetch_all(self.database.readers()).await?;
        Ok(values.into_iter().filter(|value| !value.is_empty()).collect())
    }

    async fn list(&self, scope: &Scope) -> Result<Vec<IndexedInstance>, sqlx::Error> {
        let mut statement = QueryBuilder::<Sqlite>::new(
            "SELECT i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, \
             i.transfer_syntax_uid, i.sha256, i.blob FROM instances i JOIN series e ON \
             e.study_instance_uid = i.study_instance_uid AND e.series_instance_uid = i.series_instance_uid \
             WHERE i.study_instance_uid = ",
        );
        let (study, series, instance) = match scope {
            Scope::Study(study) => (study, None, None),
            Scope::Series(study, series) => (study, Some(series), None),
            Scope::Instance(study, series, instance) => (study, Some(series), Some(instance)),
        };
        statement.push_bind(study.to_string());
        if let Some(series) = series {
            statement.push(" AND i.series_instance_uid = ").push_bind(series.to_string());
        }
        if let Some(instance) = instance {
            statement.push(" AND i.sop_instance_uid = ").push_bind(instance.to_string());
        }
        statement.push(
            " ORDER BY COALESCE(e.series_number, 2147483648), i.series_instance_uid, \
             COALESCE(i.instance_number, 2147483648), i.sop_instance_uid",
        );
        let rows = statement.build().fetch_all(self.database.readers()).await?;
        rows.iter().map(indexed_instance).collect()
    }

    async fn referenced_blobs(&self) -> Result<Vec<BlobName>, sqlx::Error> {
        let mut rows = sqlx::query("SELECT blob FROM instances UNION ALL SELECT blob FROM conflicts")
            .fetch(self.database.readers());
        let mut names = Vec::new();
        while let Some(row) = rows.try_next().await? {
            names.push(blob(&row, 0)?);
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Index for SqlIndex {
    fn file(&self, entry: Entry) -> BoxFuture<'_, Result<Stored, ArchiveError>> {
        Box::pin(self.filer.file(entry))
    }

    fn find<'a>(&'a self, level: Level, query: &'a Query) -> BoxFuture<'a, Result<Vec<DataSet>, ArchiveError>> {
        Box::pin(async move { self.search(level, query).await.map_err(ArchiveError::index("searching the index")) })
    }

    fn instances<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<IndexedInstance>, ArchiveError>> {
        Box::pin(async move { self.list(scope).await.map_err(ArchiveError::index("listing instances of the index")) })
    }

    fn unassembled(&self) -> BoxFuture<'_, Result<Vec<UnassembledSeries>, ArchiveError>> {
        Box::pin(async move {
            progress::unassembled(&self.database).await.map_err(ArchiveError::index("looking for new instances"))
        })
    }

    fn members<'a>(
        &'a self,
        study: &'a Uid,
        series: &'a Uid,
    ) -> BoxFuture<'a, Result<Vec<SeriesMember>, ArchiveError>> {
        Box::pin(async move {
            let members = progress::members(&self.database, study, series).await;
            members.map_err(ArchiveError::index("listing the instances of a series"))
        })
    }

    fn blobs(&self) -> BoxFuture<'_, Result<Vec<BlobName>, ArchiveError>> {
        Box::pin(
            async move { self.referenced_blobs().await.map_err(ArchiveError::index("listing files of the index")) },
        )
    }
}

fn put_count(data_set: &mut DataSet, tag: Tag, count: i64) {
    data_set.put(DataElement::new(tag, VR::IS, PrimitiveValue::from(i32::try_from(count).unwrap_or(i32::MAX))));
}

/// Attributes that no object carries: their keys are dealt with in SQL, or match everything.
fn is_computed(tag: Tag) -> bool {
    [
        tags::MODALITIES_IN_STUDY,
        tags::SOP_CLASSES_IN_STUDY,
        tags::INSTANCE_AVAILABILITY,
        tags::NUMBER_OF_STUDY_RELATED_SERIES,
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
        tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
    ]
    .contains(&tag)
}

fn column_error(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(super) fn uid(row: &SqliteRow, column: usize) -> Result<Uid, sqlx::Error> {
    Uid::parse(row.try_get(column)?).map_err(column_error)
}

fn blob(row: &SqliteRow, column: usize) -> Result<BlobName, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    BlobName::parse(text).ok_or_else(|| sqlx::Error::Decode("the name of a file is not a digest".into()))
}

fn indexed_instance(row: &SqliteRow) -> Result<IndexedInstance, sqlx::Error> {
    Ok(IndexedInstance {
        study_instance_uid: uid(row, 0)?,
        series_instance_uid: uid(row, 1)?,
        sop_instance_uid: uid(row, 2)?,
        sop_class_uid: uid(row, 3)?,
        transfer_syntax_uid: uid(row, 4)?,
        sha256: row.try_get(5)?,
        blob: blob(row, 6)?,
    })
}

/// One row's attributes, of its level and of those above.
fn data_set(level: Level, row: &SqliteRow) -> Result<DataSet, sqlx::Error> {
    let mut data_set = attributes::read(row.try_get(0)?);
    for column in 1..=level as usize {
        for element in attributes::read(row.try_get(column)?) {
            data_set.put(element);
        }
    }
    Ok(data_set)
}

/// A statement whose rows hold every match of the query, and as few others as SQL can see to.
fn narrowed(level: Level, query: &Query) -> QueryBuilder<Sqlite> {
    let mut statement = QueryBuilder::new(match level {
        Level::Study => "SELECT s.attributes FROM studies s WHERE 1 = 1",
        Level::Series => {
            "SELECT s.attributes, e.attributes FROM series e \
             JOIN studies s ON s.study_instance_uid = e.study_instance_uid WHERE 1 = 1"
        }
        Level::Instance => {
            "SELECT s.attributes, e.attributes, i.attributes FROM instances i \
             JOIN series e ON e.study_instance_uid = i.study_instance_uid \
             AND e.series_instance_uid = i.series_instance_uid \
             JOIN studies s ON s.study_instance_uid = i.study_instance_uid WHERE 1 = 1"
        }
    });
    for (tag, pattern) in query.matching.iter().filter(|(_, pattern)| !matching::is_universal(pattern)) {
        narrow(&mut statement, level, *tag, pattern);
    }
    statement.push(match level {
        Level::Study => " ORDER BY s.received_at, s.study_instance_uid",
        Level::Series => {
            " ORDER BY s.received_at, s.study_instance_uid, COALESCE(e.series_number, 2147483648), \
             e.series_instance_uid"
        }
        Level::Instance => {
            " ORDER BY s.received_at, s.study_instance_uid, COALESCE(e.series_number, 2147483648), \
             e.series_instance_uid, COALESCE(i.instance_number, 2147483648), i.sop_instance_uid"
        }
    });
    statement
}

const SERIES_OF_STUDY: &str =
    " AND EXISTS (SELECT 1 FROM series x WHERE x.study_instance_uid = s.study_instance_uid AND ";
const INSTANCE_OF_STUDY: &str =
    " AND EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = s.study_instance_uid AND ";
const INSTANCE_OF_SERIES: &str = " AND EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = e.study_instance_uid \
     AND x.series_instance_uid = e.series_instance_uid AND ";

fn narrow(statement: &mut QueryBuilder<Sqlite>, level: Level, tag: Tag, pattern: &str) {
    let uids: Vec<&str> = matching::list(pattern).collect();
    match (tag, level) {
        (tags::STUDY_INSTANCE_UID, _) => one_of(statement, " AND ", "s.study_instance_uid", &uids, ""),
        (tags::SERIES_INSTANCE_UID, Level::Study) => {
            one_of(statement, SERIES_OF_STUDY, "x.series_instance_uid", &uids, ")");
        }
        (tags::SERIES_INSTANCE_UID, _) => one_of(statement, " AND ", "e.series_instance_uid", &uids, ""),
        (tags::SOP_INSTANCE_UID, Level::Study) => {
            one_of(statement, INSTANCE_OF_STUDY, "x.sop_instance_uid", &uids, ")");
        }
        (tags::SOP_INSTANCE_UID, Level::Series) => {
            one_of(statement, INSTANCE_OF_SERIES, "x.sop_instance_uid", &uids, ")");
        }
        (tags::SOP_INSTANCE_UID, Level::Instance) => one_of(statement, " AND ", "i.sop_instance_uid", &uids, ""),
        (tags::SOP_CLASS_UID, Level::Instance) => one_of(statement, " AND ", "i.sop_class_uid", &uids, ""),
        (tags::SOP_CLASSES_IN_STUDY, _) | (tags::SOP_CLASS_UID, Level::Study) => {
            one_of(statement, INSTANCE_OF_STUDY, "x.sop_class_uid", &uids, ")");
        }
        (tags::SOP_CLASS_UID, Level::Series) => {
            one_of(statement, INSTANCE_OF_SERIES, "x.sop_class_uid", &uids, ")");
        }
        (tags::MODALITIES_IN_STUDY, _) | (tags::MODALITY, Level::Study) => {
            statement.push(SERIES_OF_STUDY).push("(1 = 0");
            for modality in &uids {
                statement.push(" OR ");
                like(statement, "x.modality", &modality.to_uppercase(), false);
            }
            statement.push("))");
        }
        (tags::PATIENT_ID, _) => and_like(statement, "s.patient_id_folded", pattern, false),
        (tags::ACCESSION_NUMBER, _) => and_like(statement, "s.accession_number_folded", pattern, false),
        // A pattern may match one component group of several, so it may stand anywhere in the column.
        (tags::PATIENT_NAME, _) => {
            and_like(statement, "s.patient_name_folded", pattern.trim_end_matches(['^', '=', ' ']), true);
        }
        (tags::STUDY_DATE, _) => narrow_date(statement, pattern),
        _ => {}
    }
}

fn one_of(
    statement: &mut QueryBuilder<Sqlite>,
    before: &'static str,
    column: &'static str,
    values: &[&str],
    after: &'static str,
) {
    statement.push(before).push(column).push(" IN (");
    let mut separated = statement.separated(", ");
    if values.is_empty() {
        separated.push("NULL");
    }
    for value in values {
        separated.push_bind((*value).to_owned());
    }
    statement.push(")").push(after);
}

fn and_like(statement: &mut QueryBuilder<Sqlite>, column: &'static str, pattern: &str, anywhere: bool) {
    statement.push(" AND ");
    like(statement, column, &pattern.trim_matches([' ', '\0']).to_lowercase(), anywhere);
}

fn like(statement: &mut QueryBuilder<Sqlite>, column: &'static str, pattern: &str, anywhere: bool) {
    if !anywhere && !matching::has_wild_card(pattern) {
        statement.push(column).push(" = ").push_bind(pattern.to_owned());
        return;
    }
    let mut escaped = String::with_capacity(pattern.len() + 2);
    for character in pattern.chars() {
        match character {
            '*' => escaped.push('%'),
            '?' => escaped.push('_'),
            '%' | '_' | '\\' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    if anywhere {
        escaped = format!("%{escaped}%");
    }
    statement.push(column).push(" LIKE ").push_bind(escaped).push(" ESCAPE '\\'");
}

fn narrow_date(statement: &mut QueryBuilder<Sqlite>, pattern: &str) {
    let plain = pattern.replace(['.', ' '], "");
    let (first, last) = plain.split_once('-').unwrap_or((&plain, &plain));
    statement.push(" AND s.study_date <> ''");
    if !first.is_empty() {
        statement.push(" AND s.study_date >= ").push_bind(first.to_owned());
    }
    if !last.is_empty() {
        statement.push(" AND s.study_date <= ").push_bind(last.to_owned());
    }
}

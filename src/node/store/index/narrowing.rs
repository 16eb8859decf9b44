//! Searching: rows that SQL can leave out. SQL narrows, [`matching`] decides: every database gives the same answer.

use dicom_dictionary_std::tags;
use dicom_object::Tag;
use sqlx::{QueryBuilder, Sqlite};

use super::matching;
use super::query::{Level, Query};

/// A statement whose rows hold every match of the query, and as few others as SQL can manage. What is not current is
/// left out, but for instances whose visibility is `also_listed`.
pub(super) fn narrowed(level: Level, query: &Query, also_listed: Option<&'static str>) -> QueryBuilder<Sqlite> {
    let mut statement = QueryBuilder::new(match level {
        Level::Study => {
            "SELECT s.attributes FROM studies s WHERE EXISTS (SELECT 1 FROM instances i \
             WHERE i.study_instance_uid = s.study_instance_uid AND "
        }
        Level::Series => {
            "SELECT s.attributes, e.attributes FROM series e \
             JOIN studies s ON s.study_instance_uid = e.study_instance_uid \
             WHERE EXISTS (SELECT 1 FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
             AND i.series_instance_uid = e.series_instance_uid AND "
        }
        Level::Instance => {
            "SELECT s.attributes, e.attributes, i.attributes FROM instances i \
             JOIN series e ON e.study_instance_uid = i.study_instance_uid \
             AND e.series_instance_uid = i.series_instance_uid \
             JOIN studies s ON s.study_instance_uid = i.study_instance_uid WHERE ("
        }
    });
    statement.push("(i.visibility = 'current' OR i.visibility = ").push_bind(also_listed).push("))");
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

// What can be retrieved counts here: a study is found by the identifier of a superseded result.
const SERIES_OF_STUDY: &str = " AND EXISTS (SELECT 1 FROM series x WHERE x.study_instance_uid = s.study_instance_uid AND EXISTS (SELECT 1 \
     FROM instances v WHERE v.study_instance_uid = x.study_instance_uid \
     AND v.series_instance_uid = x.series_instance_uid AND v.visibility IN ('current', 'superseded')) AND ";
const INSTANCE_OF_STUDY: &str = " AND EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = s.study_instance_uid \
     AND x.visibility IN ('current', 'superseded') AND ";
const INSTANCE_OF_SERIES: &str = " AND EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = e.study_instance_uid \
     AND x.series_instance_uid = e.series_instance_uid AND x.visibility IN ('current', 'superseded') AND ";

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

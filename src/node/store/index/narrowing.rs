//! Searching: rows that SQL can leave out, and the order of those that remain. SQL narrows, [`matching`] decides: every
//! database gives the same answer.

use dicom_dictionary_std::tags;
use dicom_object::Tag;
use sqlx::{QueryBuilder, Sqlite};

use super::matching;
use super::query::{Level, Query};
use super::visibility::push_listed;

type Statement = QueryBuilder<Sqlite>;

/// A statement whose rows hold every match of the query, and as few others as SQL can manage. What is not current is
/// left out, but for instances whose visibility is `also_listed`. Its order is that of an index, so that a search with a
/// limit reads no more rows than it answers.
pub(super) fn narrowed(level: Level, query: &Query, also_listed: Option<&'static str>) -> Statement {
    let mut statement = QueryBuilder::new(match level {
        Level::Study => "SELECT s.attributes FROM studies s WHERE 1 = 1",
        Level::Series => {
            "SELECT s.attributes, e.attributes FROM series e \
             JOIN studies s ON s.study_instance_uid = e.study_instance_uid WHERE 1 = 1"
        }
        // The series come first, in their order: SQLite would begin with all instances and sort them. One instance by
        // its identifier is found at once.
        Level::Instance if has(query, tags::SOP_INSTANCE_UID) => {
            "SELECT s.attributes, e.attributes, i.attributes FROM instances i \
             JOIN series e ON e.study_instance_uid = i.study_instance_uid \
             AND e.series_instance_uid = i.series_instance_uid \
             JOIN studies s ON s.study_instance_uid = i.study_instance_uid WHERE 1 = 1"
        }
        Level::Instance => {
            "SELECT s.attributes, e.attributes, i.attributes FROM series e CROSS JOIN instances i \
             JOIN studies s ON s.study_instance_uid = e.study_instance_uid \
             WHERE i.study_instance_uid = e.study_instance_uid AND i.series_instance_uid = e.series_instance_uid"
        }
    });
    for (tag, pattern) in query.matching.iter().filter(|(_, pattern)| !matching::is_universal(pattern)) {
        if let Some(narrowing) = Narrowing::of(*tag, level) {
            statement.push(" AND ");
            narrowing.push(&mut statement, pattern);
        }
    }
    push_visibility(&mut statement, level, also_listed);
    statement.push(match level {
        Level::Study => " ORDER BY s.received_at DESC, s.study_instance_uid",
        Level::Series => {
            " ORDER BY e.study_received_at DESC, e.study_instance_uid, COALESCE(e.series_number, 2147483648), \
             e.series_instance_uid"
        }
        Level::Instance => {
            " ORDER BY e.study_received_at DESC, e.study_instance_uid, COALESCE(e.series_number, 2147483648), \
             e.series_instance_uid, COALESCE(i.instance_number, 2147483648), i.sop_instance_uid"
        }
    });
    statement
}

/// Leaves out what is not listed. It comes after the keys: SQLite compares in the order of the text, and most rows end
/// at a key.
fn push_visibility(statement: &mut Statement, level: Level, also_listed: Option<&'static str>) {
    statement.push(match level {
        Level::Study => " AND EXISTS (SELECT 1 FROM instances i WHERE i.study_instance_uid = s.study_instance_uid AND ",
        Level::Series => {
            " AND EXISTS (SELECT 1 FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
             AND i.series_instance_uid = e.series_instance_uid AND "
        }
        Level::Instance => " AND ",
    });
    push_listed(statement, also_listed);
    if level != Level::Instance {
        statement.push(")");
    }
}

fn has(query: &Query, wanted: Tag) -> bool {
    query.matching.iter().any(|(tag, pattern)| *tag == wanted && !matching::is_universal(pattern))
}

/// True if SQL leaves out rows that do not match a key of this attribute.
pub(super) fn is_narrowed(tag: Tag, level: Level) -> bool {
    Narrowing::of(tag, level).is_some()
}

/// How SQL compares a key.
enum Narrowing {
    /// One of a list of identifiers.
    Identifiers(Place),
    /// One of a list of modalities.
    Modalities(Place),
    /// Text that the index keeps in lower case.
    Folded(&'static str),
    /// A name: a pattern may match one component group of several, so it may stand anywhere.
    Name,
    /// A date or a range of dates.
    Date(Level),
}

/// Where a compared column stands: in a row of the search itself, or in one that must exist below it.
#[derive(Clone, Copy)]
struct Place {
    before: &'static str,
    column: &'static str,
    after: &'static str,
}

const fn column(column: &'static str) -> Place {
    Place { before: "", column, after: "" }
}

/// In a series of the study. The time makes an index of its columns complete. Here and below, what can be retrieved
/// counts: a study is found by the identifier of a superseded result.
const fn in_series(column: &'static str) -> Place {
    let before = "EXISTS (SELECT 1 FROM series x WHERE x.study_instance_uid = s.study_instance_uid \
                  AND x.study_received_at = s.received_at AND ";
    let after = " AND EXISTS (SELECT 1 FROM instances v WHERE v.study_instance_uid = x.study_instance_uid \
                 AND v.series_instance_uid = x.series_instance_uid AND v.visibility IN ('current', 'superseded')))";
    Place { before, column, after }
}

const fn in_instance_of_study(column: &'static str) -> Place {
    let before = "EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = s.study_instance_uid \
                  AND x.visibility IN ('current', 'superseded') AND ";
    Place { before, column, after: ")" }
}

const fn in_instance_of_series(column: &'static str) -> Place {
    let before = "EXISTS (SELECT 1 FROM instances x WHERE x.study_instance_uid = e.study_instance_uid \
                  AND x.series_instance_uid = e.series_instance_uid \
                  AND x.visibility IN ('current', 'superseded') AND ";
    Place { before, column, after: ")" }
}

impl Narrowing {
    /// How SQL compares a key of this attribute in a search at this level; `None` if it cannot.
    fn of(tag: Tag, level: Level) -> Option<Self> {
        Some(match (tag, level) {
            (tags::STUDY_INSTANCE_UID, _) => Self::Identifiers(column("s.study_instance_uid")),
            (tags::SERIES_INSTANCE_UID, Level::Study) => Self::Identifiers(in_series("x.series_instance_uid")),
            (tags::SERIES_INSTANCE_UID, _) => Self::Identifiers(column("e.series_instance_uid")),
            (tags::SOP_INSTANCE_UID, Level::Study) => Self::Identifiers(in_instance_of_study("x.sop_instance_uid")),
            (tags::SOP_INSTANCE_UID, Level::Series) => Self::Identifiers(in_instance_of_series("x.sop_instance_uid")),
            (tags::SOP_INSTANCE_UID, Level::Instance) => Self::Identifiers(column("i.sop_instance_uid")),
            (tags::SOP_CLASSES_IN_STUDY, _) | (tags::SOP_CLASS_UID, Level::Study) => {
                Self::Identifiers(in_instance_of_study("x.sop_class_uid"))
            }
            (tags::SOP_CLASS_UID, Level::Series) => Self::Identifiers(in_instance_of_series("x.sop_class_uid")),
            (tags::SOP_CLASS_UID, Level::Instance) => Self::Identifiers(column("i.sop_class_uid")),
            (tags::MODALITIES_IN_STUDY, _) | (tags::MODALITY, Level::Study) => {
                Self::Modalities(in_series("x.modality"))
            }
            (tags::MODALITY, _) => Self::Modalities(column("e.modality")),
            (tags::PATIENT_ID, _) => Self::Folded("s.patient_id_folded"),
            (tags::ACCESSION_NUMBER, _) => Self::Folded("s.accession_number_folded"),
            (tags::STUDY_DESCRIPTION, _) => Self::Folded("s.description_folded"),
            (tags::SERIES_DESCRIPTION, Level::Series | Level::Instance) => Self::Folded("e.description_folded"),
            (tags::PATIENT_NAME, _) => Self::Name,
            (tags::STUDY_DATE, _) => Self::Date(level),
            _ => return None,
        })
    }

    fn push(&self, statement: &mut Statement, pattern: &str) {
        match self {
            Self::Identifiers(place) => push_identifiers(statement, *place, pattern),
            Self::Modalities(place) => push_modalities(statement, *place, pattern),
            Self::Folded(column) => {
                push_text(statement, column, &pattern.trim_matches([' ', '\0']).to_lowercase(), false);
            }
            Self::Name => {
                let pattern = pattern.trim_matches([' ', '\0']).trim_end_matches(['^', '=', ' ']);
                push_text(statement, "s.patient_name_folded", &pattern.to_lowercase(), true);
            }
            Self::Date(level) => push_dates(statement, *level, pattern),
        }
    }
}

fn push_identifiers(statement: &mut Statement, place: Place, pattern: &str) {
    statement.push(place.before).push(place.column).push(" IN (");
    let mut separated = statement.separated(", ");
    let mut identifiers = matching::list(pattern).peekable();
    if identifiers.peek().is_none() {
        separated.push("NULL");
    }
    for identifier in identifiers {
        separated.push_bind(identifier.to_owned());
    }
    statement.push(")").push(place.after);
}

fn push_modalities(statement: &mut Statement, place: Place, pattern: &str) {
    statement.push(place.before).push("(");
    let mut or = "";
    for modality in matching::list(pattern) {
        statement.push(or);
        push_text(statement, place.column, &modality.to_uppercase(), false);
        or = " OR ";
    }
    if or.is_empty() {
        statement.push("1 = 0");
    }
    statement.push(")").push(place.after);
}

fn push_text(statement: &mut Statement, column: &'static str, pattern: &str, anywhere: bool) {
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

fn push_dates(statement: &mut Statement, level: Level, pattern: &str) {
    let plain = pattern.replace(['.', ' '], "");
    let Some((first, last)) = plain.split_once('-') else {
        statement.push("s.study_date = ").push_bind(plain);
        return;
    };
    // Below studies, an expression keeps the database from collecting and sorting all rows of a long range.
    let column = if level == Level::Study { "s.study_date" } else { "(s.study_date || '')" };
    statement.push("s.study_date <> ''");
    for (compared, bound) in [(" >= ", first), (" <= ", last)] {
        if !bound.is_empty() {
            statement.push(" AND ").push(column).push(compared).push_bind(bound.to_owned());
        }
    }
}

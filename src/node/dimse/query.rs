//! Identifiers of C-FIND, C-MOVE and C-GET
//! ([PS3.4 annex C](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_C.html)): what they ask of the
//! index, and what is answered, without IO.
//!
//! Keys of higher levels may be left out, whether relational queries were negotiated or not: what is stricter in the
//! standard helps nobody who asks.

use dicom_core::header::Header;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use dicom_object::mem::InMemElement;

use super::service::Root;
use super::status::{Reply, Status};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::{Level, Query, Scope};

/// The level of a query or a retrieval (PS3.4 C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum QueryLevel {
    Patient,
    Study,
    Series,
    Image,
}

impl QueryLevel {
    const ALL: [Self; 4] = [Self::Patient, Self::Study, Self::Series, Self::Image];

    /// Its value in Query/Retrieve Level (0008,0052).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// The attribute that tells its entities apart.
    fn unique_key(self) -> Tag {
        match self {
            Self::Patient => tags::PATIENT_ID,
            Self::Study => tags::STUDY_INSTANCE_UID,
            Self::Series => tags::SERIES_INSTANCE_UID,
            Self::Image => tags::SOP_INSTANCE_UID,
        }
    }

    /// The level of the index that its entities are found at: patients are found by their studies.
    pub(super) fn of_index(self) -> Level {
        match self {
            Self::Patient | Self::Study => Level::Study,
            Self::Series => Level::Series,
            Self::Image => Level::Instance,
        }
    }

    fn of(identifier: &DataSet, root: Root) -> Result<Self, Reply> {
        let name = elements::text(identifier, tags::QUERY_RETRIEVE_LEVEL).unwrap_or_default();
        let highest = if root == Root::Patient { Self::Patient } else { Self::Study };
        Self::ALL.into_iter().find(|level| level.name() == name && *level >= highest).ok_or_else(|| {
            let name: String = name.chars().take(16).collect();
            Reply::new(
                Status::DOES_NOT_MATCH,
                format!("(0008,0052) Query/Retrieve Level `{name}` is not of this model"),
            )
        })
    }
}

/// What every answer says by itself, and what says how the identifier is to be read: no keys.
const NO_KEYS: [Tag; 5] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::QUERY_RETRIEVE_LEVEL,
    tags::RETRIEVE_AE_TITLE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::QUERY_RETRIEVE_VIEW,
];

/// A C-FIND.
#[derive(Debug, PartialEq)]
pub(super) struct Find {
    pub(super) level: QueryLevel,
    keys: Vec<Key>,
}

/// An attribute that is asked for.
#[derive(Debug, PartialEq)]
struct Key {
    tag: Tag,
    vr: VR,
    pattern: Pattern,
}

/// Which values match.
#[derive(Debug, PartialEq)]
enum Pattern {
    /// All.
    Any,
    /// As the index reads it: the values of lists are separated by backslashes.
    Value(String),
    /// Values of keys within a sequence, which are not matched.
    WithinSequence,
}

impl Find {
    pub(super) fn parse(identifier: &DataSet, root: Root) -> Result<Self, Reply> {
        let level = QueryLevel::of(identifier, root)?;
        let keys = identifier
            .iter()
            .filter(|element| element.tag().element() != 0 && !NO_KEYS.contains(&element.tag()))
            .map(|element| Key { tag: element.tag(), vr: element.vr(), pattern: Pattern::of(identifier, element) })
            .collect();
        Ok(Self { level, keys })
    }

    /// What is asked of the index.
    pub(super) fn query(&self, limit: u32) -> Query {
        let matching = |key: &Key| match &key.pattern {
            Pattern::Value(value) => Some((key.tag, value.clone())),
            Pattern::Any | Pattern::WithinSequence => None,
        };
        Query {
            matching: self.keys.iter().filter_map(matching).collect(),
            include: self.keys.iter().map(|key| key.tag).collect(),
            limit: Some(limit),
            ..Query::default()
        }
    }

    /// The status of each match: whether all keys that have a value were matched.
    pub(super) fn pending(&self) -> Status {
        let level = self.level.of_index();
        let matched = |key: &Key| match key.pattern {
            Pattern::Any => true,
            Pattern::Value(_) => level.matches(key.tag),
            Pattern::WithinSequence => false,
        };
        if self.keys.iter().all(matched) { Status::PENDING } else { Status::PENDING_UNSUPPORTED_KEYS }
    }

    /// The answer for a match: what was asked for, empty where the node does not know it.
    pub(super) fn answer(&self, found: &DataSet, retrieve_from: &AeTitle) -> DataSet {
        let known = |key: &Key| found.get(key.tag).cloned().unwrap_or_else(|| DataElement::empty(key.tag, key.vr));
        let mut answer = DataSet::from_element_iter(self.keys.iter().map(known));
        answer.put(DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, self.level.name()));
        answer.put(DataElement::new(tags::RETRIEVE_AE_TITLE, VR::AE, retrieve_from.as_str()));
        answer
    }
}

impl Pattern {
    fn of(identifier: &DataSet, element: &InMemElement) -> Self {
        if let Some(items) = element.items() {
            return if items.iter().any(has_value) { Self::WithinSequence } else { Self::Any };
        }
        let value = elements::texts(identifier, element.tag()).join("\\");
        if value.trim_matches(['*', '\\']).is_empty() { Self::Any } else { Self::Value(value) }
    }
}

fn has_value(item: &DataSet) -> bool {
    item.iter().any(|element| match element.items() {
        Some(items) => items.iter().any(has_value),
        None => element.value().to_str().is_ok_and(|text| !text.trim().is_empty()),
    })
}

/// Studies grouped to the patients that they are of, in order.
#[derive(Debug, Default)]
pub(super) struct Patients(Vec<Patient>);

#[derive(Debug)]
struct Patient {
    /// Patient ID; what a sender left out tells nobody apart.
    id: Option<String>,
    /// The attributes of the first study.
    attributes: DataSet,
    studies: i64,
    series: i64,
    instances: i64,
}

impl Patients {
    pub(super) fn add(&mut self, study: DataSet) {
        let id = elements::text(&study, tags::PATIENT_ID);
        let count = |tag| elements::integer(&study, tag).unwrap_or_default();
        let (series, instances) =
            (count(tags::NUMBER_OF_STUDY_RELATED_SERIES), count(tags::NUMBER_OF_STUDY_RELATED_INSTANCES));
        let known = self.0.iter_mut().find(|patient| patient.id.is_some() && patient.id == id);
        match known {
            Some(patient) => {
                patient.studies += 1;
                patient.series += series;
                patient.instances += instances;
            }
            None => self.0.push(Patient { id, attributes: study, studies: 1, series, instances }),
        }
    }

    /// Each patient's attributes, with what belongs to it counted.
    pub(super) fn into_matches(self) -> impl Iterator<Item = DataSet> {
        self.0.into_iter().map(|Patient { mut attributes, studies, series, instances, .. }| {
            for (tag, count) in [
                (tags::NUMBER_OF_PATIENT_RELATED_STUDIES, studies),
                (tags::NUMBER_OF_PATIENT_RELATED_SERIES, series),
                (tags::NUMBER_OF_PATIENT_RELATED_INSTANCES, instances),
            ] {
                attributes.put(DataElement::new(tag, VR::IS, PrimitiveValue::from(count.to_string())));
            }
            attributes
        })
    }
}

/// What a C-MOVE or a C-GET wants.
#[derive(Debug, PartialEq)]
pub(super) enum Selection {
    /// These, told apart by all their unique keys.
    Scopes(Vec<Scope>),
    /// What a search at this level finds.
    Search(QueryLevel, Vec<(Tag, String)>),
}

impl Selection {
    /// Reads the unique keys of an identifier. That of the level must be there; no key may be a pattern.
    pub(super) fn parse(identifier: &DataSet, root: Root) -> Result<Self, Reply> {
        let level = QueryLevel::of(identifier, root)?;
        let refused = |tag: Tag, problem: &str| {
            let tag = format!("({:04X},{:04X})", tag.group(), tag.element());
            Err(Reply::new(Status::DOES_NOT_MATCH, format!("{tag}: {problem}")))
        };
        let mut keys = Vec::new();
        for each in QueryLevel::ALL.into_iter().filter(|each| *each <= level) {
            let tag = each.unique_key();
            let mut values = elements::texts(identifier, tag);
            values.retain(|value| !value.is_empty());
            if values.iter().any(|value| value.contains(['*', '?'])) {
                return refused(tag, "a retrieval takes no wild cards");
            }
            if values.is_empty() && each == level {
                return refused(tag, "the unique key of the level is missing");
            }
            if !values.is_empty() {
                keys.push((each, values));
            }
        }
        Ok(scopes(&keys).map_or_else(|| Self::search(level, &keys), Self::Scopes))
    }

    fn search(level: QueryLevel, keys: &[(QueryLevel, Vec<String>)]) -> Self {
        Self::Search(level, keys.iter().map(|(level, values)| (level.unique_key(), values.join("\\"))).collect())
    }
}

/// The scopes of keys that are complete from the study down, where only the lowest is a list.
fn scopes(keys: &[(QueryLevel, Vec<String>)]) -> Option<Vec<Scope>> {
    use QueryLevel::{Image, Series, Study};
    let uid = |text: &String| Uid::parse(text).ok();
    let all =
        |values: &[String], scope: &dyn Fn(Uid) -> Scope| values.iter().map(|value| uid(value).map(scope)).collect();
    match keys {
        [(Study, studies)] => all(studies, &Scope::Study),
        [(Study, study), (Series, series)] if study.len() == 1 => {
            let study = uid(&study[0])?;
            all(series, &|series| Scope::Series(study.clone(), series))
        }
        [(Study, study), (Series, series), (Image, instances)] if study.len() == 1 && series.len() == 1 => {
            let (study, series) = (uid(&study[0])?, uid(&series[0])?);
            all(instances, &|instance| Scope::Instance(study.clone(), series.clone(), instance))
        }
        _ => None,
    }
}

/// The scope of what a search has found.
pub(super) fn scope_of(level: QueryLevel, found: &DataSet) -> Option<Scope> {
    let uid = |tag| elements::uid(found, tag);
    let study = uid(tags::STUDY_INSTANCE_UID)?;
    Some(match level {
        QueryLevel::Patient | QueryLevel::Study => Scope::Study(study),
        QueryLevel::Series => Scope::Series(study, uid(tags::SERIES_INSTANCE_UID)?),
        QueryLevel::Image => Scope::Instance(study, uid(tags::SERIES_INSTANCE_UID)?, uid(tags::SOP_INSTANCE_UID)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(keys: &[(Tag, VR, &str)]) -> DataSet {
        DataSet::from_element_iter(keys.iter().map(|(tag, vr, value)| DataElement::new(*tag, *vr, *value)))
    }

    fn at_level(level: &str, keys: &[(Tag, VR, &str)]) -> DataSet {
        let mut identifier = identifier(keys);
        identifier.put(DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level));
        identifier
    }

    #[test]
    fn keys_with_a_value_are_matched_and_all_are_returned() {
        let asked = at_level(
            "STUDY",
            &[
                (tags::PATIENT_NAME, VR::PN, "Doe*"),
                (tags::STUDY_DATE, VR::DA, "20240101-"),
                (tags::STUDY_INSTANCE_UID, VR::UI, "1.2\\1.3"),
                (tags::ACCESSION_NUMBER, VR::SH, ""),
                (tags::STUDY_ID, VR::SH, "*"),
            ],
        );
        let find = Find::parse(&asked, Root::Study).expect("a query");
        let query = find.query(10);
        assert_eq!(
            query.matching,
            [
                (tags::STUDY_DATE, "20240101-".to_owned()),
                (tags::PATIENT_NAME, "Doe*".to_owned()),
                (tags::STUDY_INSTANCE_UID, "1.2\\1.3".to_owned()),
            ]
        );
        assert_eq!((query.include.len(), find.pending()), (5, Status::PENDING));
        let found = identifier(&[(tags::PATIENT_NAME, VR::PN, "Doe^Jane"), (tags::PATIENT_SEX, VR::CS, "F")]);
        let answer = find.answer(&found, &AeTitle::parse("PE-NODE").expect("title"));
        assert_eq!(elements::text(&answer, tags::PATIENT_NAME).as_deref(), Some("Doe^Jane"));
        assert_eq!(elements::text(&answer, tags::QUERY_RETRIEVE_LEVEL).as_deref(), Some("STUDY"));
        assert!(answer.get(tags::ACCESSION_NUMBER).is_some(), "unknown, and therefore empty");
        assert!(answer.get(tags::PATIENT_SEX).is_none(), "nobody asked for it");
    }

    #[test]
    fn keys_that_are_not_matched_are_said_to_be_so() {
        for (level, tag, expected) in [
            ("STUDY", tags::SERIES_DESCRIPTION, Status::PENDING_UNSUPPORTED_KEYS),
            ("STUDY", tags::MODALITIES_IN_STUDY, Status::PENDING),
            ("STUDY", tags::NUMBER_OF_STUDY_RELATED_INSTANCES, Status::PENDING_UNSUPPORTED_KEYS),
            ("SERIES", tags::SERIES_DESCRIPTION, Status::PENDING),
        ] {
            let find = Find::parse(&at_level(level, &[(tag, VR::LO, "1")]), Root::Study).expect("a query");
            assert_eq!(find.pending(), expected, "{level} {tag}");
        }
        let item = identifier(&[(tags::CODE_VALUE, VR::SH, "x")]);
        let mut asked = at_level("STUDY", &[]);
        let items = dicom_core::value::DataSetSequence::from(vec![item]);
        asked.put(DataElement::new(tags::PROCEDURE_CODE_SEQUENCE, VR::SQ, items));
        assert_eq!(Find::parse(&asked, Root::Study).expect("a query").pending(), Status::PENDING_UNSUPPORTED_KEYS);
    }

    #[test]
    fn each_model_has_its_levels() {
        for (level, root, known) in [
            ("PATIENT", Root::Patient, true),
            ("PATIENT", Root::Study, false),
            ("STUDY", Root::Patient, true),
            ("IMAGE", Root::Study, true),
            ("FRAME", Root::Study, false),
            ("", Root::Study, false),
        ] {
            assert_eq!(Find::parse(&at_level(level, &[]), root).is_ok(), known, "{level} of {root:?}");
        }
    }

    #[test]
    fn a_patient_is_found_once_however_many_studies_it_has() {
        let mut patients = Patients::default();
        for (id, instances) in [("P1", "3"), ("P2", "4"), ("P1", "5"), ("", "1"), ("", "1")] {
            patients.add(identifier(&[
                (tags::PATIENT_ID, VR::LO, id),
                (tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, instances),
            ]));
        }
        let matches: Vec<DataSet> = patients.into_matches().collect();
        let counts = |tag| matches.iter().map(|each| elements::integer(each, tag)).collect::<Vec<_>>();
        assert_eq!(counts(tags::NUMBER_OF_PATIENT_RELATED_STUDIES), [2, 1, 1, 1].map(Some));
        assert_eq!(counts(tags::NUMBER_OF_PATIENT_RELATED_INSTANCES), [8, 4, 1, 1].map(Some));
    }

    #[test]
    fn retrievals_name_what_they_want() {
        let uid = |text| Uid::parse(text).expect("uid");
        let study = (tags::STUDY_INSTANCE_UID, VR::UI, "1.2");
        let series = (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.1\\1.2.2");
        let selection = |level, keys: &[_]| Selection::parse(&at_level(level, keys), Root::Study);
        assert_eq!(selection("STUDY", &[study]), Ok(Selection::Scopes(vec![Scope::Study(uid("1.2"))])));
        let both = ["1.2.1", "1.2.2"].map(|text| Scope::Series(uid("1.2"), uid(text)));
        assert_eq!(selection("SERIES", &[study, series]), Ok(Selection::Scopes(both.to_vec())));
        let lists = vec![(tags::SERIES_INSTANCE_UID, "1.2.1\\1.2.2".to_owned())];
        assert_eq!(selection("SERIES", &[series]), Ok(Selection::Search(QueryLevel::Series, lists)));
        let refusal = |level, keys: &[_]| selection(level, keys).expect_err("refused").comment;
        assert_eq!(refusal("SERIES", &[study]), "(0020,000E): the unique key of the level is missing");
        assert_eq!(
            refusal("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, "1.*")]),
            "(0020,000D): a retrieval takes no wild cards"
        );
        let patient = at_level("PATIENT", &[(tags::PATIENT_ID, VR::LO, "P1")]);
        let by_patient = Selection::Search(QueryLevel::Patient, vec![(tags::PATIENT_ID, "P1".to_owned())]);
        assert_eq!(Selection::parse(&patient, Root::Patient), Ok(by_patient));
    }
}

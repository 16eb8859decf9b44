//! A search as its URL states it
//! ([PS3.18 8.3.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.3.4.html)).
//!
//! What names no attribute is ignored with a warning (8.3), so that parameters of other servers do no harm. What is
//! nearly the name of one is a mistake whose answer would be every study there is: an error. So is a value that the
//! attribute cannot have.

use dicom_core::Tag;
use dicom_core::dictionary::DataDictionary;
use dicom_dictionary_std::StandardDataDictionary;

use crate::node::archive::{ItemKeys, Level, Query, keyword, searchable};
use crate::node::http::Problem;

/// Parameters that are no attributes.
const PARAMETERS: [&str; 6] =
    ["limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching"];

/// Keys of one search at most: a database compares no more at once.
const MAXIMUM_KEYS: usize = 100;

/// A search as the URL states it.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) query: Query,
    /// What is done otherwise than the client may expect.
    pub(super) warnings: Vec<String>,
}

impl Search {
    /// Reads the parameters of a search at a level.
    pub(super) fn read(level: Level, parameters: &[(String, String)]) -> Result<Self, Problem> {
        if parameters.len() > MAXIMUM_KEYS {
            return Err(Problem::BadRequest(format!("there are more than {MAXIMUM_KEYS} parameters")));
        }
        let mut search = Self::default();
        for (name, value) in parameters {
            search.take(name, value)?;
        }
        search.query.check().map_err(|invalid| Problem::BadRequest(invalid.to_string()))?;
        for tag in search.query.unmatched(level) {
            search.warnings.push(format!("{} is not matched at this level.", keyword(tag)));
        }
        Ok(search)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name.to_ascii_lowercase().as_str() {
            "limit" => self.query.limit = Some(number(name, value)?),
            "offset" => self.query.offset = number(name, value)?,
            "includefield" => self.include(value),
            "fuzzymatching" if flag(name, value)? => {
                self.warn("Fuzzy matching is not offered; only literal matching has been performed.");
            }
            "emptyvaluematching" | "multiplevaluematching" if flag(name, value)? => {
                self.warn(&format!("{} is not offered.", name.to_ascii_lowercase()));
            }
            // The media types are read where the answer is written.
            "accept" | "charset" | "fuzzymatching" | "emptyvaluematching" | "multiplevaluematching" => {}
            _ => self.key(name, value)?,
        }
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }

    fn include(&mut self, value: &str) {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("all") {
                self.query.include_all = true;
            } else if let Some(path) = path(name) {
                // A sequence is returned with all that is in it.
                self.query.include.push(path[0]);
            } else {
                self.warn(&format!("includefield {} is not an attribute and was ignored.", shown(name)));
            }
        }
    }

    fn key(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let Some(path) = path(name) else {
            if let Some(meant) = name.split('.').find_map(nearly) {
                let name = shown(name);
                return Err(Problem::BadRequest(format!("`{name}` is not a parameter; is `{meant}` meant?")));
            }
            self.warn(&format!("The parameter {} is not an attribute and was ignored.", shown(name)));
            return Ok(());
        };
        match path.as_slice() {
            _ if value.is_empty() => {}
            [tag] => self.query.matching.push((*tag, value.to_owned())),
            nested => ItemKeys::add(&mut self.query.sequences, nested, value.to_owned()),
        }
        Ok(())
    }
}

fn number(name: &str, value: &str) -> Result<u32, Problem> {
    value.parse().map_err(|_| Problem::BadRequest(format!("{name}: a whole number was expected")))
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::BadRequest(format!("{name}: true or false was expected"))),
    }
}

/// The tags of an attribute, and of the sequences that it lies in: `Sequence.Attribute`.
fn path(name: &str) -> Option<Vec<Tag>> {
    name.split('.').map(attribute).collect()
}

/// A tag from eight hexadecimal digits or from a keyword.
fn attribute(name: &str) -> Option<Tag> {
    let digits = (name.len() == 8).then(|| u32::from_str_radix(name, 16).ok()).flatten();
    digits
        .map(|digits| Tag((digits >> 16) as u16, digits as u16))
        .or_else(|| StandardDataDictionary.by_name(name).map(|entry| entry.tag.inner()))
}

/// The parameter or keyword that a name was probably meant to be: another one in a few letters, or only in their case.
fn nearly(name: &str) -> Option<String> {
    let known = searchable().map(keyword).chain(PARAMETERS.map(str::to_owned));
    let distance = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    let (distance, nearest) = known.map(|known| (distance(&known), known)).min()?;
    // One letter in four: what is further away is another word.
    (attribute(name).is_none() && distance * 4 <= nearest.len()).then_some(nearest)
}

/// A name as messages and headers may hold it.
fn shown(name: &str) -> String {
    name.chars().filter(|character| character.is_ascii_graphic() && !matches!(character, '"' | '\\')).take(64).collect()
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;

    fn search(parameters: &[(&str, &str)]) -> Result<Search, Problem> {
        let owned: Vec<_> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Search::read(Level::Study, &owned)
    }

    #[test]
    fn parameters_are_keywords_or_tags() {
        let search = search(&[
            ("PatientID", "A*"),
            ("0020000D", "1.2"),
            ("limit", "101"),
            ("offset", "0"),
            ("fuzzymatching", "false"),
            ("includefield", "00081030,00080060"),
            ("includefield", "PatientName"),
            ("includefield", "RequestAttributesSequence.ScheduledProcedureStepID"),
            ("includefield", "all"),
        ])
        .expect("valid");
        assert_eq!(
            search.query.matching,
            [(tags::PATIENT_ID, "A*".to_owned()), (tags::STUDY_INSTANCE_UID, "1.2".to_owned())]
        );
        let included = [tags::STUDY_DESCRIPTION, tags::MODALITY, tags::PATIENT_NAME, tags::REQUEST_ATTRIBUTES_SEQUENCE];
        assert_eq!(search.query.include, included);
        assert!(search.query.include_all && search.warnings.is_empty());
        assert_eq!((search.query.limit, search.query.offset), (Some(101), 0));
    }

    #[test]
    fn keys_of_one_sequence_are_keys_of_one_item() {
        let search = search(&[
            ("ProcedureCodeSequence.CodeValue", "77"),
            ("00081032.00080102", "SCT"),
            ("ProcedureCodeSequence.EquivalentCodeSequence.CodeValue", "78"),
        ])
        .expect("valid");
        let [keys] = search.query.sequences.as_slice() else { panic!("{:?}", search.query.sequences) };
        assert_eq!(keys.sequence, tags::PROCEDURE_CODE_SEQUENCE);
        assert_eq!(keys.matching.len(), 2);
        assert_eq!(keys.sequences[0].matching, [(tags::CODE_VALUE, "78".to_owned())]);
    }

    #[test]
    fn what_is_nearly_a_name_is_refused_with_the_name_that_was_probably_meant() {
        for (name, meant) in [
            ("PatientId", "PatientID"),
            ("patientid", "PatientID"),
            ("PatientNam", "PatientName"),
            ("Patient", "PatientID"),
            ("StudyDescripton", "StudyDescription"),
            ("RequestAttributesSequenc.ScheduledProcedureStepID", "RequestAttributesSequence"),
            ("limits", "limit"),
        ] {
            match search(&[(name, "x")]) {
                Err(Problem::BadRequest(detail)) => assert!(detail.contains(meant), "{name}: {detail}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        for (name, value) in [
            ("limit", "-1"),
            ("fuzzymatching", "perhaps"),
            ("StudyDate", "garbage"),
            ("StudyInstanceUID", "no-uid"),
            ("ProcedureCodeSequence", "77"),
        ] {
            assert!(matches!(search(&[(name, value)]), Err(Problem::BadRequest(_))), "{name}={value}");
        }
        let many: Vec<_> = (0..=MAXIMUM_KEYS).map(|_| ("PatientID", "x")).collect();
        assert!(search(&many).is_err());
    }

    #[test]
    fn what_is_not_done_is_said_and_does_no_harm() {
        for (name, value, said) in [
            ("orderby", "-StudyDate", "The parameter orderby is not an attribute"),
            ("_", "1699999999", "The parameter _ is not"),
            ("x\"y\\\r\n", "", "The parameter xy is not"),
            ("1234", "x", "The parameter 1234 is not"),
            ("includefield", "Foo", "includefield Foo is not an attribute"),
            ("emptyvaluematching", "true", "emptyvaluematching is not offered"),
            ("fuzzymatching", "true", "Fuzzy matching is not offered"),
            ("NumberOfStudyRelatedInstances", "148", "NumberOfStudyRelatedInstances is not matched"),
            ("Rows", "512", "Rows is not matched"),
            ("00091001", "x", "00091001 is not matched"),
        ] {
            let search = search(&[(name, value)]).expect("harmless");
            assert!(
                matches!(search.warnings.as_slice(), [warning] if warning.starts_with(said)),
                "{:?}",
                search.warnings
            );
        }
    }
}

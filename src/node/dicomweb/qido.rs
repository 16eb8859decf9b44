//! QIDO-RS: searching
//! ([PS3.18 10.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.6.html)).

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use dicom_core::dictionary::DataDictionary;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use serde_json::{Map, Value};

use super::json::{self, BulkData, key, text_element};
use super::request::{Address, Request};
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};
use crate::node::archive::{Archive, Level, Query};
use crate::node::http::{HttpResult, Problem};

/// Most matches in one answer; a client pages on with `offset`.
const MAXIMUM_MATCHES: u32 = 5_000;

/// The media types of an answer.
const OFFERED: [&str; 2] = ["application/dicom+json", "application/json"];

/// A search as the URL states it.
#[derive(Debug, Default)]
struct Search {
    query: Query,
    /// True if fuzzy matching was asked for, which is not offered.
    fuzzy: bool,
}

/// Answers a search. The path may fix a study, or a study and a series.
pub(super) async fn search(archive: &Archive, level: Level, request: &Request) -> HttpResult {
    if !request.accept().takes(&OFFERED) {
        return Err(Problem::NotAcceptable("search results are given as application/dicom+json only".to_owned()));
    }
    let Search { mut query, fuzzy } = read(&request.parameters)?;
    query.matching.extend(request.address.matching());
    let asked = query.limit.unwrap_or(MAXIMUM_MATCHES).min(MAXIMUM_MATCHES);
    let bounded = query.limit.is_none_or(|limit| limit > MAXIMUM_MATCHES);
    // One more than is answered tells whether there are more.
    query.limit = Some(if bounded { asked + 1 } else { asked });
    let mut found = archive.find(level, &query).await?;
    let remaining = bounded && found.len() > asked as usize;
    found.truncate(asked as usize);
    let matches: Vec<Value> =
        found.iter().map(|data_set| Value::Object(item(data_set, level, &request.base))).collect();
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(OFFERED[0]))];
    let mut response = (content_type, Value::Array(matches).to_string()).into_response();
    for (applies, warning) in [
        (fuzzy, "299 pe-node \"Fuzzy matching is not offered; only literal matching has been performed.\""),
        (remaining, "299 pe-node \"There are more results; ask for them with the offset parameter.\""),
    ] {
        if applies {
            response.headers_mut().append(header::WARNING, HeaderValue::from_static(warning));
        }
    }
    Ok(response)
}

/// One match, with the URL it is retrieved from.
fn item(data_set: &DataSet, level: Level, base: &str) -> Map<String, Value> {
    let mut item = json::object(data_set, BulkData::Inline);
    let uid = |tag| elements::uid(data_set, tag);
    let study = uid(tags::STUDY_INSTANCE_UID).map(|uid| format!("{base}/studies/{uid}"));
    let series = |url: String| uid(tags::SERIES_INSTANCE_UID).map(|uid| format!("{url}/series/{uid}"));
    let instance = |url: String| uid(tags::SOP_INSTANCE_UID).map(|uid| format!("{url}/instances/{uid}"));
    let url = match level {
        Level::Study => study,
        Level::Series => study.and_then(series),
        Level::Instance => study.and_then(series).and_then(instance),
    };
    if let Some(url) = url {
        item.insert(key(tags::RETRIEVE_URL), text_element(VR::UR, &url));
    }
    item
}

fn read(parameters: &[(String, String)]) -> Result<Search, Problem> {
    let mut search = Search::default();
    for (name, value) in parameters {
        match name.to_ascii_lowercase().as_str() {
            "limit" => search.query.limit = Some(number(name, value)?),
            "offset" => search.query.offset = number(name, value)?,
            "fuzzymatching" => search.fuzzy = value.eq_ignore_ascii_case("true"),
            "includefield" => include(&mut search.query, value)?,
            "accept" | "charset" => {}
            _ => {
                let tag = attribute(name)?;
                if !value.is_empty() {
                    search.query.matching.push((tag, value.clone()));
                }
            }
        }
    }
    Ok(search)
}

fn number(name: &str, value: &str) -> Result<u32, Problem> {
    value.parse().map_err(|_| Problem::BadRequest(format!("{name}: a whole number was expected")))
}

fn include(query: &mut Query, value: &str) -> Result<(), Problem> {
    for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name.eq_ignore_ascii_case("all") {
            query.include_all = true;
        } else {
            query.include.push(attribute(name)?);
        }
    }
    Ok(())
}

/// A tag from eight hexadecimal digits or from a keyword.
fn attribute(name: &str) -> Result<Tag, Problem> {
    let digits = (name.len() == 8).then(|| u32::from_str_radix(name, 16).ok()).flatten();
    digits
        .map(|digits| Tag((digits >> 16) as u16, digits as u16))
        .or_else(|| StandardDataDictionary.by_name(name).map(|entry| entry.tag.inner()))
        .ok_or_else(|| {
            let shown: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
            let sequence = if shown.contains('.') { "; attributes inside sequences are not matched" } else { "" };
            Problem::BadRequest(format!("`{shown}` is not a parameter, a keyword or a tag{sequence}"))
        })
}

impl Address {
    /// What the path fixes, as matching keys.
    fn matching(&self) -> impl Iterator<Item = (Tag, String)> {
        let key = |tag: Tag, uid: Option<&Uid>| uid.map(|uid| (tag, uid.as_str().to_owned()));
        [key(tags::STUDY_INSTANCE_UID, self.study.as_ref()), key(tags::SERIES_INSTANCE_UID, self.series.as_ref())]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(parameters: &[(&str, &str)]) -> Result<Search, Problem> {
        let owned: Vec<_> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&owned)
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
            ("includefield", "all"),
        ])
        .expect("valid");
        assert_eq!(
            search.query.matching,
            [(tags::PATIENT_ID, "A*".to_owned()), (tags::STUDY_INSTANCE_UID, "1.2".to_owned())]
        );
        assert_eq!(search.query.include, [tags::STUDY_DESCRIPTION, tags::MODALITY, tags::PATIENT_NAME]);
        assert!(search.query.include_all && !search.fuzzy);
        assert_eq!((search.query.limit, search.query.offset), (Some(101), 0));
    }

    #[test]
    fn what_is_not_a_parameter_is_refused() {
        for (name, value) in [("PatientNam", "x"), ("limit", "-1"), ("includefield", "Nonsense"), ("1234", "x")] {
            assert!(matches!(search(&[(name, value)]), Err(Problem::BadRequest(_))), "{name}={value}");
        }
    }
}

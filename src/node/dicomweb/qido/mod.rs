//! QIDO-RS: searching
//! ([PS3.18 10.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.6.html)).

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod parameters;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::{Map, Value};

use self::parameters::Search;
use super::json::{self, BulkData, key, text_element};
use super::notation::Notation;
use super::request::{Address, Request};
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};
use crate::node::archive::{Archive, Level};
use crate::node::http::{HttpResult, Problem};

/// Most matches in one answer; a client pages on with `offset`.
const MAXIMUM_MATCHES: u32 = 5_000;

/// Answers a search. The path may fix a study, or a study and a series.
pub(super) async fn search(archive: &Archive, level: Level, request: &Request) -> HttpResult {
    let notation = Notation::of(&request.accept())?;
    let Search { mut query, mut warnings } = Search::read(level, &request.parameters)?;
    query.matching.extend(request.address.matching());
    let asked = query.limit.unwrap_or(MAXIMUM_MATCHES).min(MAXIMUM_MATCHES);
    // One more than is answered tells whether there are more.
    query.limit = Some(asked + 1);
    let mut found = archive.find(level, &query).await?;
    if found.len() > asked as usize {
        warnings.push("There are more results; ask for them with the offset parameter.".to_owned());
        found.truncate(asked as usize);
    }
    let mut body = Vec::new();
    let items = found.iter().map(|data_set| item(data_set, level, &request.base));
    notation.write_all(&mut body, items).map_err(|error| Problem::reading(&error))?;
    let mut response = ([(header::CONTENT_TYPE, notation.content_type())], body).into_response();
    for warning in warnings {
        if let Ok(warning) = HeaderValue::try_from(format!("299 pe-node \"{warning}\"")) {
            response.headers_mut().append(header::WARNING, warning);
        }
    }
    Ok(response)
}

/// One match, with the URL it is retrieved from.
fn item(data_set: &DataSet, level: Level, base: &str) -> (Map<String, Value>, String) {
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
    if let Some(url) = &url {
        item.insert(key(tags::RETRIEVE_URL), text_element(VR::UR, url));
    }
    (item, url.unwrap_or_default())
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

//! Lists of the API: which part of one is wanted, and where the next part is. What a list cannot do is refused, never
//! ignored: a program would take a part for the whole.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::node::http::{External, Problem};
use crate::node::store::{Listed, Page, Start};

/// Most entries of one answer.
pub(super) const MAXIMUM: u32 = 1000;
/// Entries where no number is given.
const USUAL: u32 = 100;

/// The parameters of a URL. Those that are not known, or not of their type, are a problem with its reason.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::BadRequest(rejection.body_text())),
        }
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    limit: Option<u32>,
    offset: Option<u32>,
    cursor: Option<String>,
    state: Option<String>,
}

impl Listing {
    /// The part, with one entry more than is answered: it tells whether there are more.
    pub(super) fn page<T: Listed>(&self) -> Result<Page<T::State>, Problem> {
        let start = match (self.offset, &self.cursor) {
            (Some(_), Some(_)) => return Err(Problem::BadRequest("offset and cursor exclude each other".to_owned())),
            (offset, None) => Start::Skipping(offset.unwrap_or(0)),
            (None, Some(cursor)) => Start::After(read("cursor", cursor, "a cursor of an earlier answer")?),
        };
        let state = self.state.as_deref().map(|state| read("state", state, "the name of a state")).transpose()?;
        Ok(Page { limit: limited(self.limit, USUAL, MAXIMUM)? + 1, start, state })
    }

    /// The answer, with a link to the next part if there are more entries (RFC 8288). `path` is that of the list.
    pub(super) fn answer<T: Listed + Serialize>(
        &self,
        mut entries: Vec<T>,
        external: &External,
        path: &str,
    ) -> Response {
        let limit = self.limit.unwrap_or(USUAL) as usize;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let cursor = entries.last().map(Listed::cursor);
        let mut response = Json(entries).into_response();
        if let Some(cursor) = cursor.filter(|_| more) {
            let state = self.state.as_ref().map_or_else(String::new, |state| format!("&state={state}"));
            let next = external.url(&format!("{path}?limit={limit}{state}&cursor={cursor}"));
            if let Ok(link) = HeaderValue::try_from(format!("<{next}>; rel=\"next\"")) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        response
    }
}

/// The number of entries that is wanted.
pub(super) fn limited(limit: Option<u32>, usual: u32, maximum: u32) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(usual);
    if !(1..=maximum).contains(&limit) {
        return Err(Problem::BadRequest(format!("limit: a number from 1 to {maximum} was expected")));
    }
    Ok(limit)
}

fn read<T: std::str::FromStr>(name: &str, text: &str, expected: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::BadRequest(format!("{name}: {expected} was expected")))
}

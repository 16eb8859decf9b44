//! `/api/v1`: studies, jobs and destinations as JSON, and retries of failed jobs.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::listing::{Listing, Parameters};
use super::services::Web;
use crate::dicom::Uid;
use crate::node::http::{External, HttpResult, Problem};
use crate::node::queue::JobId;
use crate::node::store::{JobView, StudyView};

pub(super) async fn studies(
    State(web): State<Web>,
    Extension(external): Extension<External>,
    Parameters(listing): Parameters<Listing>,
) -> HttpResult {
    let studies = web.0.store.studies(listing.page::<StudyView>()?).await?;
    Ok(listing.answer(studies, &external, "/api/v1/studies"))
}

pub(super) async fn study(State(web): State<Web>, Path(uid): Path<String>) -> HttpResult {
    let uid = identifier(&uid)?;
    let study = web.0.store.study(&uid).await?;
    study.map(|study| Json(study).into_response()).ok_or_else(|| Problem::NotFound(format!("there is no study {uid}")))
}

pub(super) async fn jobs(
    State(web): State<Web>,
    Extension(external): Extension<External>,
    Parameters(listing): Parameters<Listing>,
) -> HttpResult {
    let jobs = web.0.store.jobs(listing.page::<JobView>()?).await?;
    Ok(listing.answer(jobs, &external, "/api/v1/jobs"))
}

pub(super) async fn job(State(web): State<Web>, Path(id): Path<String>) -> HttpResult {
    let job = web.0.store.job(&JobId::from_text(&id)).await?;
    job.map(|job| Json(job).into_response()).ok_or_else(|| Problem::NotFound("there is no such job".to_owned()))
}

/// Queues a failed job again.
pub(super) async fn retry_job(State(web): State<Web>, Path(id): Path<String>, headers: HeaderMap) -> HttpResult {
    require_same_origin(&headers)?;
    web.0.store.retry(&JobId::from_text(&id), web.0.store.now()).await?;
    tracing::info!(job = id, "queued again by hand");
    Ok(done(&headers, json!({ "queued": 1 })))
}

/// An identifier in an address.
pub(super) fn identifier(text: &str) -> Result<Uid, Problem> {
    Uid::parse(text).map_err(|error| Problem::BadRequest(error.to_string()))
}

/// Refuses what a page of another origin makes a browser send: browsers say where a request comes from
/// ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/)), other programs say nothing.
pub(super) fn require_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    // Browsers too old to say so name the origin of every POST.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let foreign_origin =
        site.is_none() && origin.is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    if foreign_site || foreign_origin {
        return Err(Problem::Forbidden("this request came from a page of another origin".to_owned()));
    }
    Ok(())
}

/// JSON for programs; a browser that sent a form of the dashboard goes back to it.
pub(super) fn done(headers: &HeaderMap, answer: serde_json::Value) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") { Redirect::to("/").into_response() } else { Json(answer).into_response() }
}

pub(super) async fn destinations(State(web): State<Web>) -> HttpResult {
    let counts = web.0.store.counts().await?;
    let configured = web.0.destinations.iter().map(|destination| {
        json!({
            "name": destination.name,
            "configured": true,
            "kind": destination.kind,
            "address": destination.address,
            "attempts": destination.attempts,
            "deliveries": counts.deliveries.get(&destination.name),
        })
    });
    let former = web.stranded(&counts).into_keys().map(|name| {
        let deliveries = counts.deliveries.get(&name);
        json!({ "name": name, "configured": false, "deliveries": deliveries })
    });
    Ok(Json(configured.chain(former).collect::<Vec<_>>()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_change_nothing_here() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value))).collect()
        };
        let host = ("host", "node:8080");
        for good in [
            vec![host],
            vec![host, ("sec-fetch-site", "same-origin"), ("origin", "http://node:8080")],
            vec![host, ("sec-fetch-site", "none")],
            vec![host, ("origin", "http://node:8080")],
        ] {
            assert!(require_same_origin(&headers(&good)).is_ok(), "{good:?}");
        }
        for bad in [
            vec![host, ("sec-fetch-site", "cross-site"), ("origin", "http://node:8080")],
            vec![host, ("sec-fetch-site", "same-site")],
            vec![host, ("origin", "https://other.example")],
            vec![host, ("origin", "null")],
        ] {
            assert!(require_same_origin(&headers(&bad)).is_err(), "{bad:?}");
        }
    }
}

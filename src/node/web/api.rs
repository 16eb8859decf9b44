//! `/api/v1`: studies, jobs, models and destinations as JSON.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Web;
use crate::dicom::Uid;
use crate::node::dicomweb::problem::Problem;
use crate::node::queue::{JobId, QueueError};

/// Most entries of a list.
const MAXIMUM: u32 = 1000;

/// How much of a list is wanted.
#[derive(Debug, Deserialize)]
struct Paging {
    #[serde(default = "Paging::usual")]
    limit: u32,
}

impl Paging {
    fn usual() -> u32 {
        100
    }
}

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/studies", get(studies))
        .route("/studies/{study}", get(study))
        .route("/jobs", get(jobs))
        .route("/jobs/{job}", get(job))
        .route("/models", get(models))
        .route("/destinations", get(destinations))
}

async fn studies(State(web): State<Web>, Query(paging): Query<Paging>) -> Result<Response, Problem> {
    Ok(Json(web.0.queue.studies(paging.limit.min(MAXIMUM)).await?).into_response())
}

async fn study(State(web): State<Web>, Path(uid): Path<String>) -> Result<Response, Problem> {
    let uid = Uid::parse(&uid).map_err(|error| Problem::BadRequest(error.to_string()))?;
    let study = web.0.queue.study(&uid).await?;
    study.map(|study| Json(study).into_response()).ok_or_else(|| Problem::NotFound(format!("there is no study {uid}")))
}

async fn jobs(State(web): State<Web>, Query(paging): Query<Paging>) -> Result<Response, Problem> {
    Ok(Json(web.0.queue.jobs(paging.limit.min(MAXIMUM)).await?).into_response())
}

async fn job(State(web): State<Web>, Path(id): Path<String>) -> Result<Response, Problem> {
    let job = web.0.queue.job(&JobId::from_text(&id)).await?;
    job.map(|job| Json(job).into_response()).ok_or_else(|| Problem::NotFound("there is no such job".to_owned()))
}

async fn models(State(web): State<Web>) -> Response {
    let provider = web.0.analysis.borrow().as_ref().map(|ready| ready.provider.clone());
    Json(json!({ "provider": provider, "models": web.0.models })).into_response()
}

async fn destinations(State(web): State<Web>) -> Result<Response, Problem> {
    let counts = web.0.queue.counts().await?;
    let destinations: Vec<_> = web
        .0
        .destinations
        .iter()
        .map(|destination| {
            let deliveries = counts.deliveries.get(&destination.name);
            json!({
                "name": destination.name,
                "kind": destination.kind,
                "address": destination.address,
                "attempts": destination.attempts,
                "deliveries": deliveries,
            })
        })
        .collect();
    Ok(Json(destinations).into_response())
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        Self::reading(&error)
    }
}

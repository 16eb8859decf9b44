//! Rejecting objects by hand, and revoking that. Only a caller on this machine may, until the node knows who its
//! callers are.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::api::{done, identifier};
use super::conflicts::person;
use super::locality::LocalCaller;
use super::services::Web;
use crate::dicom::{RejectionReason, Uid};
use crate::node::archive::Scope;
use crate::node::http::{HttpResult, Problem};

/// What is rejected of a study, and why.
#[derive(Debug, Deserialize)]
pub(super) struct Rejection {
    reason: RejectionReason,
    /// A series; the whole study without it.
    series: Option<Uid>,
    /// An instance of that series; all of it without it.
    instance: Option<Uid>,
    /// Who rejects it, for the record.
    #[serde(default)]
    by: String,
}

impl Rejection {
    fn scope(self, study: Uid) -> Result<Scope, Problem> {
        match (self.series, self.instance) {
            (None, None) => Ok(Scope::Study(study)),
            (Some(series), None) => Ok(Scope::Series(study, series)),
            (Some(series), Some(instance)) => Ok(Scope::Instance(study, series, instance)),
            (None, Some(_)) => Err(Problem::BadRequest("an instance was named without its series".to_owned())),
        }
    }
}

pub(super) async fn reject(
    State(web): State<Web>,
    Path(study): Path<String>,
    LocalCaller(caller): LocalCaller,
    headers: HeaderMap,
    Form(rejection): Form<Rejection>,
) -> HttpResult {
    let study = identifier(&study)?;
    let (reason, by) = (rejection.reason, person(&rejection.by, caller));
    let objects = web.0.archive.reject(&rejection.scope(study)?, reason, by).await?;
    if objects == 0 {
        return Err(Problem::NotFound("there is nothing to reject".to_owned()));
    }
    Ok(done(&headers, json!({ "objects": objects })))
}

/// The rejection that is revoked.
#[derive(Debug, Deserialize)]
pub(super) struct Restoration {
    /// `id` of its record.
    record: String,
    /// Who revokes it, for the record.
    #[serde(default)]
    by: String,
}

pub(super) async fn restore(
    State(web): State<Web>,
    Path(study): Path<String>,
    LocalCaller(caller): LocalCaller,
    headers: HeaderMap,
    Form(restoration): Form<Restoration>,
) -> HttpResult {
    let study = identifier(&study)?;
    let restored = web.0.archive.restore(&study, &restoration.record, person(&restoration.by, caller)).await?;
    let objects = restored.ok_or_else(|| Problem::NotFound("the study has no such rejection".to_owned()))?;
    Ok(done(&headers, json!({ "objects": objects })))
}

//! `/api/v1/deliveries`: which there are, and what a person decides on those that have failed or wait for a destination
//! that left the settings.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::json;

use super::api::{done, require_same_origin};
use super::listing::MAXIMUM;
use super::locality::LocalCaller;
use super::services::Web;
use crate::node::http::{HttpResult, Problem};
use crate::node::queue::DeliveryState;
use crate::node::store::{Counts, DeliveryFilter};

/// Which deliveries are listed.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    destination: Option<String>,
    state: Option<DeliveryState>,
    #[serde(default = "Wanted::usual_limit")]
    limit: u32,
}

impl Wanted {
    fn usual_limit() -> u32 {
        100
    }
}

pub(super) async fn list(State(web): State<Web>, Query(wanted): Query<Wanted>) -> HttpResult {
    let Wanted { destination, state, limit } = wanted;
    let filter = DeliveryFilter { destination, state };
    Ok(Json(web.0.store.list_deliveries(&filter, limit.min(MAXIMUM)).await?).into_response())
}

/// Which failed deliveries are meant.
#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    /// Name of a destination; all if absent.
    destination: Option<String>,
}

/// Queues failed deliveries again.
pub(super) async fn retry(State(web): State<Web>, headers: HeaderMap, Form(failed): Form<Failed>) -> HttpResult {
    require_same_origin(&headers)?;
    if let Some(destination) = &failed.destination {
        web.require_known(destination).await?;
    }
    let queued = web.0.store.retry_deliveries(failed.destination.as_deref(), web.0.store.now()).await?;
    tracing::info!(destination = failed.destination, queued, "failed deliveries queued again by hand");
    Ok(done(&headers, json!({ "queued": queued })))
}

/// What is taken from a destination.
#[derive(Debug, Deserialize)]
pub(super) struct Taken {
    /// Name of the destination.
    destination: String,
}

/// Drops what is due to a destination or has failed there.
pub(super) async fn drop(
    State(web): State<Web>,
    _: LocalCaller,
    headers: HeaderMap,
    Form(Taken { destination }): Form<Taken>,
) -> HttpResult {
    web.require_known(&destination).await?;
    let dropped = web.0.store.drop_deliveries(&destination, web.0.store.now()).await?;
    tracing::warn!(destination, dropped, "deliveries dropped by hand");
    Ok(done(&headers, json!({ "dropped": dropped })))
}

/// From where to where.
#[derive(Debug, Deserialize)]
pub(super) struct Redirection {
    /// Name of the destination that they are due to.
    from: String,
    /// Name of the destination that gets them.
    to: String,
}

/// Redirects what is due to a destination or has failed there.
pub(super) async fn redirect(
    State(web): State<Web>,
    _: LocalCaller,
    headers: HeaderMap,
    Form(Redirection { from, to }): Form<Redirection>,
) -> HttpResult {
    if from == to {
        return Err(Problem::BadRequest("`from` and `to` are the same destination".to_owned()));
    }
    web.require_known(&from).await?;
    let redirected = web.0.store.redirect_deliveries(&from, &to, web.0.store.now()).await?;
    tracing::warn!(from, to, redirected, "deliveries redirected by hand");
    Ok(done(&headers, json!({ "redirected": redirected })))
}

impl Web {
    /// Refuses a destination that neither the settings nor any delivery name.
    async fn require_known(&self, destination: &str) -> Result<(), Problem> {
        let known =
            self.is_configured(destination) || self.0.store.counts().await?.deliveries.contains_key(destination);
        if known { Ok(()) } else { Err(Problem::NotFound(format!("there is no destination `{destination}`"))) }
    }

    /// How many deliveries wait for destinations, or have failed there, that the settings do not name any more.
    pub(super) fn stranded(&self, counts: &Counts) -> BTreeMap<String, u64> {
        let former = counts.deliveries.iter().filter(|(name, _)| !self.is_configured(name));
        former.map(|(name, states)| (name.clone(), pending(states))).collect()
    }

    fn is_configured(&self, name: &str) -> bool {
        self.0.destinations.iter().any(|destination| destination.name == name)
    }
}

fn pending(states: &BTreeMap<DeliveryState, u64>) -> u64 {
    use DeliveryState::{Failed, Queued, Retrying};
    [Queued, Retrying, Failed].iter().filter_map(|state| states.get(state)).sum()
}

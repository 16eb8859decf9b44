//! Which handler answers at which path.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::services::{Services, Shared, Web};
use super::viewer::Viewer;
use super::{api, conflicts, dashboard, deliveries, health, metrics, models, rejections};
use crate::node::http::{self, LayersError};
use crate::node::{dicomweb, telemetry};

/// All routes of the HTTP interface.
pub fn router(services: Services) -> Result<Router, LayersError> {
    let Services { config, limits, archive, store, events, analysis, models, shadow, destinations, viewer } = services;
    let dicomweb = dicomweb::router(archive.clone(), limits, events, config.maximum_uploads);
    let metrics = telemetry::metrics();
    let web = Web(Arc::new(Shared { archive, store, analysis, models, shadow, destinations, metrics }));
    let router = Router::new()
        .route("/", get(dashboard::page))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::page))
        .nest("/api/v1", api())
        .with_state(web)
        .nest(dicomweb::ROOT, dicomweb)
        .merge(viewer.map_or_else(Router::new, Viewer::router));
    http::around(router, &config)
}

fn api() -> Router<Web> {
    Router::new()
        .route("/studies", get(api::studies))
        .route("/studies/{study}", get(api::study))
        .route("/studies/{study}/conflict", post(conflicts::decide))
        .route("/studies/{study}/reject", post(rejections::reject))
        .route("/studies/{study}/restore", post(rejections::restore))
        .route("/studies/{study}/records", get(conflicts::records))
        .route("/conflicts", get(conflicts::list))
        .route("/jobs", get(api::jobs))
        .route("/jobs/{job}", get(api::job))
        .route("/jobs/{job}/retry", post(api::retry_job))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/retry", post(deliveries::retry))
        .route("/deliveries/redirect", post(deliveries::redirect))
        .route("/deliveries/drop", post(deliveries::drop))
        .route("/models", get(models::list))
        .route("/shadow", get(models::comparisons))
        .route("/destinations", get(api::destinations))
}

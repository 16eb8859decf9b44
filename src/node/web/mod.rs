//! The HTTP door: DICOMweb, API, health, metrics and dashboard behind one listener.

mod api;
mod connections;
mod dashboard;
mod health;
mod layers;
mod metrics;
mod models;
mod stall;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
pub use connections::serve;
pub use layers::LayersError;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;

use crate::config::HttpConfig;
use crate::dicom::bounded::Limits;
use crate::node::archive::Archive;
use crate::node::arrivals::StoreEvents;
use crate::node::dicomweb::{self, target};
use crate::node::models::ModelEntry;
use crate::node::queue::Queue;
use crate::node::telemetry;
use crate::node::worker::Analysis;
use crate::node::worker::shadow::ShadowStatus;

/// What the HTTP door works with.
pub struct Services {
    /// `[http]`
    pub config: HttpConfig,
    /// `[limits]`
    pub limits: Limits,
    /// The archive.
    pub archive: Archive,
    /// Jobs, results and deliveries.
    pub queue: Queue,
    /// Who hears of stored objects.
    pub events: Arc<dyn StoreEvents>,
    /// What runs the networks, and which.
    pub analysis: watch::Receiver<Analysis>,
    /// What is in the folder of model packages.
    pub models: watch::Receiver<Vec<ModelEntry>>,
    /// The candidate that runs beside.
    pub shadow: watch::Receiver<Option<ShadowStatus>>,
    /// Where results are sent.
    pub destinations: Vec<DestinationEntry>,
}

/// A destination, as the API lists it; without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationEntry {
    /// Its name.
    pub name: String,
    /// `dicom` or `stow`.
    pub kind: &'static str,
    /// Address or URL.
    pub address: String,
    /// Attempts before a delivery is a dead letter.
    pub attempts: u32,
}

/// What the handlers share.
#[derive(Clone)]
struct Web(Arc<Shared>);

struct Shared {
    archive: Archive,
    queue: Queue,
    analysis: watch::Receiver<Analysis>,
    models: watch::Receiver<Vec<ModelEntry>>,
    shadow: watch::Receiver<Option<ShadowStatus>>,
    destinations: Vec<DestinationEntry>,
    metrics: PrometheusHandle,
}

/// All routes of the HTTP door.
pub fn router(services: Services) -> Result<Router, LayersError> {
    let Services { config, limits, archive, queue, events, analysis, models, shadow, destinations } = services;
    let dicomweb = dicomweb::router(archive.clone(), limits, events, config.maximum_uploads);
    let metrics = telemetry::metrics();
    let web = Web(Arc::new(Shared { archive, queue, analysis, models, shadow, destinations, metrics }));
    let router = Router::new()
        .route("/", get(dashboard::page))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::page))
        .nest("/api/v1", api::router())
        .with_state(web)
        .nest(target::ROOT, dicomweb);
    layers::around(router, &config)
}

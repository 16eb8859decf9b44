//! The HTTP door: DICOMweb, API, health, metrics and dashboard behind one listener.

mod api;
mod connections;
mod dashboard;
mod health;
mod layers;
mod metrics;
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
use crate::node::queue::Queue;
use crate::node::telemetry;
use crate::node::worker::protocol::Ready;

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
    /// What runs the networks, and which; `None` while nothing does.
    pub analysis: watch::Receiver<Option<Ready>>,
    /// What was found in the folder of model packages at the start.
    pub models: Vec<ModelEntry>,
    /// Where results are sent.
    pub destinations: Vec<DestinationEntry>,
}

/// A model package, as the API lists it.
#[derive(Debug, Clone, Serialize)]
pub struct ModelEntry {
    /// Name of the package.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// `lung-segmentation` or `embolism-classifier`; absent if the manifest cannot be read.
    pub kind: Option<String>,
    /// `demonstration`, `research` or `clinical`.
    pub intended_use: Option<String>,
    /// SHA-256 over manifest and files, once they were verified.
    pub sha256: Option<String>,
    /// True if it analyses exams.
    pub active: bool,
    /// Why it cannot be used, if it cannot.
    pub error: Option<String>,
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
    analysis: watch::Receiver<Option<Ready>>,
    models: Vec<ModelEntry>,
    destinations: Vec<DestinationEntry>,
    metrics: PrometheusHandle,
}

/// All routes of the HTTP door.
pub fn router(services: Services) -> Result<Router, LayersError> {
    let Services { config, limits, archive, queue, events, analysis, models, destinations } = services;
    let dicomweb = dicomweb::router(archive.clone(), limits, events, config.maximum_uploads);
    let metrics = telemetry::metrics();
    let web = Web(Arc::new(Shared { archive, queue, analysis, models, destinations, metrics }));
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

//! What the handlers work with.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;

use super::viewer::Viewer;
use crate::config::{DestinationConfig, DestinationKind, DicomDestination, HttpConfig, Transport};
use crate::dicom::bounded::Limits;
use crate::node::archive::Archive;
use crate::node::arrivals::StoreEvents;
use crate::node::models::ModelEntry;
use crate::node::store::Store;
use crate::node::worker::Analysis;
use crate::node::worker::shadow::ShadowStatus;

/// What the HTTP interface works with.
pub struct Services {
    /// `[http]`
    pub config: HttpConfig,
    /// `[limits]`
    pub limits: Limits,
    /// The archive.
    pub archive: Archive,
    /// Jobs, results and deliveries.
    pub store: Store,
    /// Who is told of stored objects.
    pub events: Arc<dyn StoreEvents>,
    /// The state of the analysis: its packages and its process.
    pub analysis: watch::Receiver<Analysis>,
    /// What is in the folder of model packages.
    pub models: watch::Receiver<Vec<ModelEntry>>,
    /// The shadow model.
    pub shadow: watch::Receiver<Option<ShadowStatus>>,
    /// Where results are sent.
    pub destinations: Vec<DestinationEntry>,
    /// The image viewer, if there is one.
    pub viewer: Option<Viewer>,
}

/// A destination, as the API lists it; without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationEntry {
    /// Its name.
    pub name: String,
    /// `dicom` or `stow`.
    pub kind: DestinationKind,
    /// Address or URL.
    pub address: String,
    /// Attempts before a delivery has failed.
    pub attempts: u32,
}

impl From<&DestinationConfig> for DestinationEntry {
    fn from(config: &DestinationConfig) -> Self {
        let address = match &config.transport {
            Transport::Dicom(DicomDestination { address, ae_title, .. }) => format!("{ae_title}@{address}"),
            Transport::Stow { url, .. } => url.clone(),
        };
        Self { name: config.name.clone(), kind: config.transport.kind(), address, attempts: config.attempts }
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Web(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) archive: Archive,
    pub(super) store: Store,
    pub(super) analysis: watch::Receiver<Analysis>,
    pub(super) models: watch::Receiver<Vec<ModelEntry>>,
    pub(super) shadow: watch::Receiver<Option<ShadowStatus>>,
    pub(super) destinations: Vec<DestinationEntry>,
    pub(super) metrics: PrometheusHandle,
}

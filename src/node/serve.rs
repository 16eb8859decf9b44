//! The node as a whole: its parts in the order they depend on each other, started, run side by side, and stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};

use super::archive::{Archive, ArchiveError};
use super::assembly::Assembly;
use super::deliver::{self, DeliverError, Deliveries};
use super::dimse::commitment::Reporter;
use super::dimse::scp;
use super::http::{self, LayersError};
use super::models::ModelFolder;
use super::notices::Notices;
use super::queue::Rules;
use super::shutdown::Shutdown;
use super::store::{Store, StoreError};
use super::web::{self, DestinationEntry, Viewer, ViewerError};
use super::worker::shadow::Shadow;
use super::worker::{Worker, WorkerError, WorkerSettings, protocol};
use crate::config::{Config, DicomConfig, HttpConfig};
use crate::engine::models::registry::RegistryError;

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("listening on {address} ({setting}): {source}; is another program there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting it comes from.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The archive cannot be opened.
    #[error("opening the archive: {0}")]
    Archive(#[from] ArchiveError),
    /// The store cannot be opened.
    #[error("opening the index: {0}")]
    Store(#[from] StoreError),
    /// The analysis cannot start: no ONNX Runtime, a device that is not available, or models that do not load.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The settings of a destination cannot be used.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// Model packages cannot be listed or chosen.
    #[error(transparent)]
    Models(#[from] RegistryError),
    /// The HTTP interface cannot be built.
    #[error(transparent)]
    Http(#[from] LayersError),
    /// The viewer cannot be served.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// A part ended by a fault of this program; what was acknowledged is safe.
    #[error("a part of the node ended by a fault of this program: {0}; start it again")]
    Fault(#[from] JoinError),
    /// A part ended although nobody stopped the node; what was acknowledged is safe.
    #[error("a part of the node ended by itself, which is a fault of this program; start it again")]
    EndedByItself,
}

/// The listeners of both interfaces: they have their addresses and accept nothing yet.
#[derive(Debug)]
pub struct Listeners {
    dicom: TcpListener,
    http: TcpListener,
}

impl Listeners {
    /// Listens where the settings say; port 0 takes a free port.
    pub async fn open(dicom: &DicomConfig, http: &HttpConfig) -> Result<Self, ServeError> {
        let listen = async |address: SocketAddr, setting: &'static str| {
            TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, setting, source })
        };
        let dicom = listen(dicom.listen, "dicom.listen").await?;
        let http = listen(http.listen, "http.listen").await?;
        Ok(Self { dicom, http })
    }

    /// The actual addresses: DICOM, then HTTP.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.dicom.local_addr()?, self.http.local_addr()?))
    }
}

/// A node that is ready to run.
pub struct Node {
    config: Config,
    listeners: Listeners,
    archive: Archive,
    store: Store,
    assembly: Assembly,
    worker: Worker,
    deliveries: Deliveries,
    models: ModelFolder,
    shadow: Shadow,
    viewer: Option<Viewer>,
}

impl Node {
    /// Opens everything that can fail at the start: errors are reported before anything is accepted.
    pub async fn start(config: Config, listeners: Listeners) -> Result<Self, ServeError> {
        let viewer = Viewer::open(&config.viewer.directory)?;
        let models = ModelFolder::open(&config.models)?;
        let rules = Rules {
            list_superseded: config.report.list_superseded,
            ..Rules::new(&config.analysis, &config.destinations, config.models.allow_demonstration)
        };
        let store = Store::open(&config.storage, rules).await?;
        let archive = Archive::open(&config.storage, config.limits, store.clone()).await?;
        let assembly = Assembly::new(store.clone(), &config.study);
        let delivering = deliver::Services {
            calling: config.dicom.ae_title.clone(),
            limits: config.limits,
            archive: archive.clone(),
            store: store.clone(),
        };
        let deliveries = Deliveries::new(&config.destinations, &delivering)?;
        let working = worker_settings(&config);
        let worker = Worker::start(archive.clone(), store.clone(), &working, models.wanted()).await?;
        let shadow = Shadow::new(archive.clone(), store.clone(), &working, models.wanted())?;
        Ok(Self { config, listeners, archive, store, assembly, worker, deliveries, models, shadow, viewer })
    }

    /// Runs until `shutdown`, then drains: nothing new is accepted, what was begun is finished or returns to the
    /// queue. A part that ends by itself stops the others.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { config, listeners, archive, store, assembly, worker, deliveries, models, shadow, viewer } = self;
        let router = web::router(web::Services {
            config: config.http.clone(),
            limits: config.limits,
            archive: archive.clone(),
            store: store.clone(),
            events: Arc::new(assembly.clone()),
            analysis: worker.analysis(),
            models: models.entries(),
            shadow: shadow.status(),
            destinations: config.destinations.iter().map(DestinationEntry::from).collect(),
            viewer,
        })?;
        let reporter = Reporter::new(&config.dicom, &config.destinations, archive.clone());
        let dimse = scp::Services {
            config: config.dicom.clone(),
            destinations: config.destinations.clone(),
            limits: config.limits,
            archive: archive.clone(),
            events: Arc::new(assembly.clone()),
        };
        let mut parts = JoinSet::new();
        parts.spawn(scp::run(listeners.dicom, dimse, shutdown.clone()));
        parts.spawn(reporter.run(shutdown.clone()));
        parts.spawn(http::serve(listeners.http, router, shutdown.clone()));
        let stop = shutdown.clone();
        parts.spawn(async move { assembly.run(stop).await });
        let (keeper, stop) = (store.clone(), shutdown.clone());
        parts.spawn(async move { keeper.keep_time(stop).await });
        parts.spawn(models.run(shutdown.clone()));
        parts.spawn(worker.run(shutdown.clone()));
        parts.spawn(shadow.run(shutdown.clone()));
        if config.report.not_analysed || config.destinations.iter().any(|destination| destination.rejection_notes) {
            let notices = Notices::new(archive.clone(), store.clone(), config.report.clone(), config.limits);
            parts.spawn(notices.run(shutdown.clone()));
        }
        if !config.destinations.is_empty() {
            parts.spawn(deliveries.run(shutdown.clone()));
        }
        let mut fault = Ok(());
        while let Some(ended) = parts.join_next().await {
            if let Err(error) = ended {
                fault = Err(error.into());
            } else if !shutdown.is_cancelled() {
                fault = Err(ServeError::EndedByItself);
            }
            shutdown.cancel();
        }
        archive.close().await;
        tracing::info!("stopped");
        fault
    }
}

/// The sections that the worker depends on.
fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings {
        folder: config.storage.path.join("work"),
        analysis: config.analysis.clone(),
        child: protocol::Settings {
            models: config.models.clone(),
            onnxruntime: config.onnxruntime.clone(),
            limits: config.limits,
            report: config.report.clone(),
            quality: config.quality.clone(),
            ignore_quality: config.analysis.ignore_quality,
            log: config.log.clone(),
        },
    }
}

//! What the provider works with.

use std::sync::Arc;

use super::super::application_entities::ApplicationEntities;
use super::super::commitment::Reporter;
use crate::config::{DestinationConfig, DicomConfig};
use crate::dicom::bounded::Limits;
use crate::node::archive::Archive;
use crate::node::arrivals::StoreEvents;

/// What the provider works with.
#[derive(Clone)]
pub struct Services {
    /// `[dicom]`
    pub config: DicomConfig,
    /// `[[destinations]]`: C-MOVE goes to those that take C-STORE.
    pub destinations: Vec<DestinationConfig>,
    /// `[limits]`
    pub limits: Limits,
    /// Where objects go.
    pub archive: Archive,
    /// Who is told of them.
    pub events: Arc<dyn StoreEvents>,
}

/// What all associations share.
pub(super) struct Provider {
    pub(super) config: DicomConfig,
    pub(super) limits: Limits,
    pub(super) archive: Archive,
    pub(super) events: Arc<dyn StoreEvents>,
    pub(super) application_entities: ApplicationEntities,
    pub(super) reporter: Reporter,
}

impl From<Services> for Provider {
    fn from(services: Services) -> Self {
        let Services { config, destinations, limits, archive, events } = services;
        Self {
            application_entities: ApplicationEntities::of(&config.peers, &destinations),
            reporter: Reporter::new(&config, &destinations, archive.clone()),
            config,
            limits,
            archive,
            events,
        }
    }
}

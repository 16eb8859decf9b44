//! The ways to a destination.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Transport;
use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::StoredInstance;
use crate::node::dicomweb::client::{ClientError, StowClient};
use crate::node::dimse::scu::{self, Outgoing, Peer};

/// How long a C-STORE peer may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// An object to deliver.
pub(super) type Parcel = StoredInstance;

/// A way to one destination.
pub(super) enum Courier {
    Dicom { peer: Peer, limits: Limits },
    Stow(StowClient),
}

impl Courier {
    pub(super) fn new(transport: &Transport, calling: &AeTitle, limits: Limits) -> Result<Self, ClientError> {
        Ok(match transport {
            Transport::Dicom { address, ae_title } => {
                let peer = Peer {
                    address: address.clone(),
                    called: ae_title.clone(),
                    calling: calling.clone(),
                    timeout: PATIENCE,
                };
                Self::Dicom { peer, limits }
            }
            Transport::Stow { url, authorization } => Self::Stow(StowClient::new(url, authorization)?),
        })
    }

    /// Sends objects; one outcome each, in order, the reason free of patient data.
    pub(super) async fn send(&self, parcels: &[Parcel]) -> Vec<Result<(), String>> {
        match self {
            Self::Dicom { peer, limits } => {
                let objects: Vec<Outgoing> = parcels.iter().map(outgoing).collect();
                let outcomes = scu::store(peer, &objects, limits, |_, _| {}).await;
                let verdict =
                    |outcome: &scu::Outcome| if outcome.is_stored() { Ok(()) } else { Err(outcome.to_string()) };
                outcomes.iter().map(verdict).collect()
            }
            Self::Stow(client) => {
                let files: Vec<PathBuf> = parcels.iter().map(|parcel| parcel.path.clone()).collect();
                let instances: Vec<Uid> = parcels.iter().map(|parcel| parcel.sop_instance_uid.clone()).collect();
                match client.store(&files, &instances).await {
                    Ok(failures) => instances
                        .iter()
                        .map(|instance| match failures.get(instance) {
                            None => Ok(()),
                            Some(Some(reason)) => Err(format!("refused with failure reason 0x{reason:04X}")),
                            Some(None) => Err("refused without a reason".to_owned()),
                        })
                        .collect(),
                    Err(error) => vec![Err(error.to_string()); parcels.len()],
                }
            }
        }
    }
}

fn outgoing(parcel: &Parcel) -> Outgoing {
    Outgoing {
        path: parcel.path.clone(),
        sop_class_uid: parcel.sop_class_uid.clone(),
        sop_instance_uid: parcel.sop_instance_uid.clone(),
        transfer_syntax_uid: parcel.transfer_syntax_uid.to_string(),
    }
}

//! The ways to a destination.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Transport;
use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::StoredInstance;
use crate::node::dicomweb::client::{ClientError, StowClient, Verdict};
use crate::node::dimse::Status;
use crate::node::dimse::scu::{self, Outgoing, Peer};
use crate::node::queue::DeliveryFailure;

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
    pub(super) async fn send(&self, parcels: &[Parcel]) -> Vec<Result<(), DeliveryFailure>> {
        match self {
            Self::Dicom { peer, limits } => {
                let objects: Vec<Outgoing> = parcels.iter().map(outgoing).collect();
                let outcomes = scu::store(peer, &objects, limits, |_, _| {}).await;
                outcomes.iter().map(dicom_outcome).collect()
            }
            Self::Stow(client) => send_by_stow(client, parcels).await,
        }
    }
}

fn dicom_outcome(outcome: &scu::Outcome) -> Result<(), DeliveryFailure> {
    let reason = outcome.to_string();
    match outcome {
        scu::Outcome::Stored(_) => Ok(()),
        scu::Outcome::Refused(status, _) if status.is_out_of_resources() => Err(DeliveryFailure::Destination(reason)),
        scu::Outcome::Unsent(_) => Err(DeliveryFailure::Destination(reason)),
        scu::Outcome::Refused(..) | scu::Outcome::Unsendable(_) | scu::Outcome::Unanswered(_) => {
            Err(DeliveryFailure::Object(reason))
        }
    }
}

/// All objects in one request. Where the service refuses that request as a whole for what is in it, each is sent alone,
/// so that one object does not cost its neighbours an attempt.
async fn send_by_stow(client: &StowClient, parcels: &[Parcel]) -> Vec<Result<(), DeliveryFailure>> {
    match store(client, parcels).await {
        Ok(verdicts) => verdicts.into_iter().map(stow_outcome).collect(),
        Err(error) if error.is_about_the_objects() && parcels.len() > 1 => send_one_by_one(client, parcels).await,
        Err(error) if error.is_about_the_objects() => vec![Err(DeliveryFailure::Object(error.to_string()))],
        Err(error) => vec![Err(DeliveryFailure::Destination(error.to_string())); parcels.len()],
    }
}

/// As with associations: a service that cuts off two requests running is at fault itself, and the rest is not sent.
async fn send_one_by_one(client: &StowClient, parcels: &[Parcel]) -> Vec<Result<(), DeliveryFailure>> {
    let mut outcomes = Vec::with_capacity(parcels.len());
    let mut cut_before = false;
    for parcel in parcels {
        match store(client, std::slice::from_ref(parcel)).await {
            Ok(verdicts) => {
                cut_before = false;
                outcomes.extend(verdicts.into_iter().map(stow_outcome));
            }
            Err(error) if error.is_about_the_objects() => {
                let cut = matches!(error, ClientError::CutOff { .. });
                if cut && cut_before {
                    outcomes.resize(parcels.len(), Err(DeliveryFailure::Destination(error.to_string())));
                    break;
                }
                cut_before = cut;
                outcomes.push(Err(DeliveryFailure::Object(error.to_string())));
            }
            Err(error) => {
                outcomes.resize(parcels.len(), Err(DeliveryFailure::Destination(error.to_string())));
                break;
            }
        }
    }
    outcomes
}

async fn store(client: &StowClient, parcels: &[Parcel]) -> Result<Vec<Verdict>, ClientError> {
    let files: Vec<PathBuf> = parcels.iter().map(|parcel| parcel.path.clone()).collect();
    let instances: Vec<Uid> = parcels.iter().map(|parcel| parcel.sop_instance_uid.clone()).collect();
    client.store(&files, &instances).await
}

fn stow_outcome(verdict: Verdict) -> Result<(), DeliveryFailure> {
    match verdict {
        Verdict::Stored => Ok(()),
        // The same codes as in C-STORE (PS3.18 table 10.5.3-2).
        Verdict::Refused(Some(reason)) if Status(reason).is_out_of_resources() => {
            Err(DeliveryFailure::Destination(format!("out of resources, failure reason 0x{reason:04X}")))
        }
        Verdict::Refused(Some(reason)) => {
            Err(DeliveryFailure::Object(format!("refused with failure reason 0x{reason:04X}")))
        }
        Verdict::Refused(None) => Err(DeliveryFailure::Object("refused without a reason".to_owned())),
        Verdict::NotNamed => Err(DeliveryFailure::Object("the answer does not say that it is stored".to_owned())),
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

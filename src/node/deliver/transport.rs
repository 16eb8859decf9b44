//! How results get to a destination.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Transport;
use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::StoredInstance;
use crate::node::dicomweb::client::{ClientError, StowClient, Verdict};
use crate::node::dimse::Status;
use crate::node::dimse::scu::{self, Outgoing, Peer, SendOutcome};
use crate::node::queue::DeliveryFailure;

/// How long a C-STORE peer may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends to one destination.
pub(super) enum Sender {
    Dicom { peer: Peer, limits: Limits },
    Stow(StowClient),
}

impl Sender {
    pub(super) fn new(transport: &Transport, calling: &AeTitle, limits: Limits) -> Result<Self, ClientError> {
        Ok(match transport {
            Transport::Dicom { address, ae_title } => {
                let peer = Peer {
                    address: address.clone(),
                    called: ae_title.clone(),
                    calling: calling.clone(),
                    timeout: PATIENCE,
                    originator: None,
                };
                Self::Dicom { peer, limits }
            }
            Transport::Stow { url, authorization } => Self::Stow(StowClient::new(url, authorization)?),
        })
    }

    /// Sends objects; one outcome each, in order, the reason free of patient data.
    pub(super) async fn send(&self, objects: &[StoredInstance]) -> Vec<Result<(), DeliveryFailure>> {
        match self {
            Self::Dicom { peer, limits } => {
                let outgoing: Vec<Outgoing> = objects.iter().map(Outgoing::from).collect();
                let outcomes = scu::store(peer, &outgoing, limits, |_, _| {}).await;
                outcomes.iter().map(dicom_outcome).collect()
            }
            Self::Stow(client) => send_by_stow(client, objects).await,
        }
    }
}

fn dicom_outcome(outcome: &SendOutcome) -> Result<(), DeliveryFailure> {
    let reason = outcome.to_string();
    match outcome {
        SendOutcome::Stored(_) => Ok(()),
        SendOutcome::Refused(status, _) if status.is_out_of_resources() => Err(DeliveryFailure::Destination(reason)),
        SendOutcome::Unsent(_) => Err(DeliveryFailure::Destination(reason)),
        SendOutcome::Refused(..) | SendOutcome::Unsendable(_) | SendOutcome::Unanswered(_) => {
            Err(DeliveryFailure::Object(reason))
        }
    }
}

/// All objects in one request. If the service refuses that request because of its content, each is sent alone: a
/// refused object costs the others no attempt.
async fn send_by_stow(client: &StowClient, objects: &[StoredInstance]) -> Vec<Result<(), DeliveryFailure>> {
    match store(client, objects).await {
        Ok(verdicts) => verdicts.into_iter().map(stow_outcome).collect(),
        Err(error) if error.is_about_the_objects() && objects.len() > 1 => send_one_by_one(client, objects).await,
        Err(error) if error.is_about_the_objects() => vec![Err(DeliveryFailure::Object(error.to_string()))],
        Err(error) => vec![Err(DeliveryFailure::Destination(error.to_string())); objects.len()],
    }
}

/// As with associations: a service that cuts off two requests in a row is at fault itself, and the rest is not sent.
async fn send_one_by_one(client: &StowClient, objects: &[StoredInstance]) -> Vec<Result<(), DeliveryFailure>> {
    let mut outcomes = Vec::with_capacity(objects.len());
    let mut cut_before = false;
    for object in objects {
        match store(client, std::slice::from_ref(object)).await {
            Ok(verdicts) => {
                cut_before = false;
                outcomes.extend(verdicts.into_iter().map(stow_outcome));
            }
            Err(error) if error.is_about_the_objects() => {
                let cut = matches!(error, ClientError::CutOff { .. });
                if cut && cut_before {
                    outcomes.resize(objects.len(), Err(DeliveryFailure::Destination(error.to_string())));
                    break;
                }
                cut_before = cut;
                outcomes.push(Err(DeliveryFailure::Object(error.to_string())));
            }
            Err(error) => {
                outcomes.resize(objects.len(), Err(DeliveryFailure::Destination(error.to_string())));
                break;
            }
        }
    }
    outcomes
}

async fn store(client: &StowClient, objects: &[StoredInstance]) -> Result<Vec<Verdict>, ClientError> {
    let files: Vec<PathBuf> = objects.iter().map(|object| object.path.clone()).collect();
    let instances: Vec<Uid> = objects.iter().map(|object| object.sop_instance_uid.clone()).collect();
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

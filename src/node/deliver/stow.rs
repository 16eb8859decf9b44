//! Results by STOW-RS.

use std::path::PathBuf;

use super::answers::Answers;
use crate::dicom::Uid;
use crate::node::archive::StoredInstance;
use crate::node::dicomweb::client::{ClientError, StowClient, Verdict};
use crate::node::dimse::Status;
use crate::node::queue::{Confirmation, DeliveryFailure, DeliveryOutcome};

/// All objects that are still due in one request. If the service refuses that request because of its content, each is sent alone: a
/// refused object costs the others no attempt.
pub(super) async fn send(client: &StowClient, objects: &[StoredInstance], answers: &mut impl Answers) {
    let mut due = Vec::new();
    for (place, object) in objects.iter().enumerate() {
        if answers.is_due(place).await {
            due.push((place, object));
        }
    }
    let together: Vec<&StoredInstance> = due.iter().map(|(_, object)| *object).collect();
    if together.is_empty() {
        return;
    }
    match store(client, &together).await {
        Ok(verdicts) => {
            for ((place, _), verdict) in due.into_iter().zip(verdicts) {
                answers.note(place, outcome(verdict)).await;
            }
        }
        Err(error) if error.is_about_the_objects() && due.len() > 1 => send_one_by_one(client, &due, answers).await,
        Err(error) => {
            for (place, _) in due {
                answers.note(place, Err(failure(&error))).await;
            }
        }
    }
}

/// As with associations: a service that cuts off two requests in a row is at fault itself, and the rest is not sent.
async fn send_one_by_one(client: &StowClient, objects: &[(usize, &StoredInstance)], answers: &mut impl Answers) {
    let mut cut_before = false;
    let mut given_up: Option<DeliveryFailure> = None;
    for (place, object) in objects.iter().copied() {
        if let Some(failure) = &given_up {
            answers.note(place, Err(failure.clone())).await;
            continue;
        }
        if !answers.is_due(place).await {
            continue;
        }
        let outcome = match store(client, &[object]).await {
            Ok(verdicts) => {
                cut_before = false;
                verdicts.into_iter().next().map_or_else(|| outcome(Verdict::NotNamed), outcome)
            }
            Err(error) => {
                let cut = matches!(error, ClientError::CutOff { .. });
                if (cut && cut_before) || !error.is_about_the_objects() {
                    given_up = Some(DeliveryFailure::Destination(error.to_string()));
                }
                cut_before = cut;
                Err(given_up.clone().unwrap_or_else(|| failure(&error)))
            }
        };
        answers.note(place, outcome).await;
    }
}

fn failure(error: &ClientError) -> DeliveryFailure {
    if error.is_about_the_objects() {
        DeliveryFailure::Object(error.to_string())
    } else {
        DeliveryFailure::Destination(error.to_string())
    }
}

async fn store(client: &StowClient, objects: &[&StoredInstance]) -> Result<Vec<Verdict>, ClientError> {
    let files: Vec<PathBuf> = objects.iter().map(|object| object.path.clone()).collect();
    let instances: Vec<Uid> = objects.iter().map(|object| object.sop_instance_uid.clone()).collect();
    client.store(&files, &instances).await
}

fn outcome(verdict: Verdict) -> DeliveryOutcome {
    match verdict {
        Verdict::Stored(None) => Ok(Confirmation::default()),
        Verdict::Stored(Some(warning)) => Ok(Confirmation::remarkable(format!("stored with warning 0x{warning:04X}"))),
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

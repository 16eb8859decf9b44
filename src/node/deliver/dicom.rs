//! Results by C-STORE: in another form where the destination refuses the class and the settings name one, and with a
//! question where it says that it has the object already.

use std::time::Duration;

use dicom_dictionary_std::tags;

use super::answers::Answers;
use crate::config::{DicomDestination, Fallback};
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements;
use crate::dicom::{AeTitle, Uid};
use crate::engine::report::FallbackError;
use crate::node::archive::StoredInstance;
use crate::node::dimse::Status;
use crate::node::dimse::scu::{self, Outgoing, Peer, ScuError, SendOutcome, Sending, Source};
use crate::node::queue::{CommitmentReport, Confirmation, DeliveryFailure, DeliveryOutcome, ReferencedObject};

/// How long a destination may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends to one destination.
pub(super) struct DicomSender {
    peer: Peer,
    limits: Limits,
    fallbacks: Vec<Fallback>,
    query_duplicates: bool,
    commitment: bool,
}

/// An object on its way, with the place that a query needs.
struct Shipment {
    object: Outgoing,
    study: Uid,
    series: Uid,
}

/// Why an object is not sent in another form.
#[derive(Debug, thiserror::Error)]
enum ConversionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Fallback(#[from] FallbackError),
    #[error("writing it: {0}")]
    Write(#[from] Box<dicom_object::WriteError>),
    #[error("{0} is not usable")]
    Identifier(&'static str),
    #[error("converting it failed")]
    Panicked,
}

impl DicomSender {
    pub(super) fn new(destination: &DicomDestination, calling: &AeTitle, limits: Limits) -> Self {
        let peer = Peer {
            address: destination.address.clone(),
            called: destination.ae_title.clone(),
            calling: calling.clone(),
            timeout: PATIENCE,
            originator: None,
        };
        Self {
            peer,
            limits,
            fallbacks: destination.fallbacks.clone(),
            query_duplicates: destination.query_duplicates,
            commitment: destination.commitment,
        }
    }

    /// True if the settings have it asked to commit to what it has.
    pub(super) fn asks_for_commitment(&self) -> bool {
        self.commitment
    }

    /// Asks the destination to commit to keep objects; its report, if it comes at once.
    pub(super) async fn request_commitment(
        &self,
        transaction_uid: &Uid,
        objects: &[ReferencedObject],
    ) -> Result<Option<CommitmentReport>, ScuError> {
        scu::request_commitment(&self.peer, transaction_uid, objects, &self.limits).await
    }

    /// What needs more than one association waits until the first one ends: some destinations serve one at a time.
    pub(super) async fn send(&self, objects: &[StoredInstance], answers: &mut impl Answers) {
        let outgoing: Vec<Outgoing> = objects.iter().map(Outgoing::from).collect();
        let mut postponed = Vec::new();
        let mut sending = Sending::new(&self.peer, &outgoing, &self.limits);
        for place in 0..objects.len() {
            if !answers.is_due(place).await {
                sending.skip();
                continue;
            }
            let Some(outcome) = sending.next().await else { break };
            match outcome {
                SendOutcome::ClassRefused(_) | SendOutcome::Refused(Status::DUPLICATE_INSTANCE, _) => {
                    postponed.push((place, outcome));
                }
                outcome => answers.note(place, judged(&outcome)).await,
            }
        }
        sending.end().await;
        for (place, outcome) in postponed {
            let object = &objects[place];
            let outcome = match outcome {
                SendOutcome::ClassRefused(_) if !answers.is_due(place).await => continue,
                SendOutcome::ClassRefused(reason) => self.send_in_other_form(object, reason).await,
                outcome => self.settled(&Shipment::from(object), &outcome).await,
            };
            answers.note(place, outcome).await;
        }
    }

    /// Tries the other forms of an object whose class was refused for this reason.
    async fn send_in_other_form(&self, object: &StoredInstance, reason: String) -> DeliveryOutcome {
        let mut reasons = vec![reason];
        for fallback in self.fallbacks.iter().filter(|fallback| fallback.is_for(object.sop_class_uid.as_str())) {
            match self.send_as(*fallback, object).await {
                Form::Refused(reason) => reasons.push(format!("as {fallback}: {reason}")),
                Form::Decided(Ok(confirmation)) => {
                    return Ok(Confirmation { sent_as: Some(*fallback), ..confirmation });
                }
                Form::Decided(failed) => return failed,
            }
        }
        Err(DeliveryFailure::Object(reasons.join("; ")))
    }

    /// The object is delivered when each of its converted objects is.
    async fn send_as(&self, fallback: Fallback, object: &StoredInstance) -> Form {
        let shipments = match converted(fallback, object, &self.limits).await {
            Ok(shipments) => shipments,
            Err(error) => return Form::Refused(error.to_string()),
        };
        let outgoing: Vec<Outgoing> = shipments.iter().map(|shipment| shipment.object.clone()).collect();
        let outcomes = scu::store(&self.peer, &outgoing, &self.limits, |_, _| {}).await;
        let mut whole = Confirmation::default();
        for (shipment, outcome) in shipments.iter().zip(outcomes) {
            if let SendOutcome::ClassRefused(reason) = outcome {
                return Form::Refused(reason);
            }
            match self.settled(shipment, &outcome).await {
                Ok(confirmation) => whole.remark = whole.remark.or(confirmation.remark),
                failed => return Form::Decided(failed),
            }
        }
        Form::Decided(Ok(whole))
    }

    /// The outcome, after the destination was asked about a duplicate.
    async fn settled(&self, shipment: &Shipment, outcome: &SendOutcome) -> DeliveryOutcome {
        let SendOutcome::Refused(Status::DUPLICATE_INSTANCE, _) = outcome else { return judged(outcome) };
        let Shipment { object, study, series } = shipment;
        let held = if self.query_duplicates {
            scu::holds(&self.peer, [study, series, &object.sop_instance_uid], &self.limits).await.map(Some)
        } else {
            Ok(None)
        };
        let unsettled = |why: String| {
            if self.commitment {
                Ok(Confirmation::remarkable(format!("{outcome}; {why}; it is asked to commit to keep it")))
            } else {
                Err(DeliveryFailure::Object(format!("{outcome}; {why}")))
            }
        };
        match held {
            Ok(Some(true)) => Ok(Confirmation::remarkable(format!("{outcome}; the destination lists it"))),
            Ok(Some(false)) => Err(DeliveryFailure::Object(format!("{outcome}; the destination does not list it"))),
            Ok(None) => unsettled("the settings have no query for it (query_duplicates)".to_owned()),
            Err(error @ ScuError::Associate { .. }) => Err(DeliveryFailure::Destination(error.to_string())),
            Err(error) => unsettled(format!("whether the destination lists it cannot be asked: {error}")),
        }
    }
}

/// How it went with one form of an object.
enum Form {
    /// The destination does not take it, or there is no such form.
    Refused(String),
    /// Whatever came out, no other form is tried.
    Decided(DeliveryOutcome),
}

fn judged(outcome: &SendOutcome) -> DeliveryOutcome {
    let said = outcome.to_string();
    match outcome {
        SendOutcome::Stored(Status::SUCCESS) => Ok(Confirmation::default()),
        SendOutcome::Stored(_) => Ok(Confirmation::remarkable(said)),
        SendOutcome::Refused(status, _) if status.is_out_of_resources() => Err(DeliveryFailure::Destination(said)),
        SendOutcome::Unsent(_) => Err(DeliveryFailure::Destination(said)),
        SendOutcome::Refused(..)
        | SendOutcome::ClassRefused(_)
        | SendOutcome::Unsendable(_)
        | SendOutcome::Unanswered(_) => Err(DeliveryFailure::Object(said)),
    }
}

impl From<&StoredInstance> for Shipment {
    fn from(object: &StoredInstance) -> Self {
        let (study, series) = (object.study_instance_uid.clone(), object.series_instance_uid.clone());
        Self { object: object.into(), study, series }
    }
}

/// The object in another form, made on a thread that may wait.
async fn converted(
    fallback: Fallback,
    object: &StoredInstance,
    limits: &Limits,
) -> Result<Vec<Shipment>, ConversionError> {
    let (object, limits) = (object.clone(), *limits);
    let convert = move || {
        let original = bounded::open(&object.path, &limits)?;
        fallback.convert(&original)?.iter().map(|form| shipment(&object, form)).collect()
    };
    tokio::task::spawn_blocking(convert).await.unwrap_or(Err(ConversionError::Panicked))
}

fn shipment(original: &StoredInstance, form: &dicom_object::DefaultDicomObject) -> Result<Shipment, ConversionError> {
    let uid = |tag, name| elements::uid(form, tag).ok_or(ConversionError::Identifier(name));
    let mut bytes = Vec::new();
    form.write_all(&mut bytes).map_err(Box::new)?;
    let object = Outgoing {
        source: Source::Memory(bytes.into()),
        sop_class_uid: uid(tags::SOP_CLASS_UID, "SOP Class UID")?,
        sop_instance_uid: uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
        transfer_syntax_uid: form.meta().transfer_syntax().to_owned(),
    };
    let series = uid(tags::SERIES_INSTANCE_UID, "Series Instance UID")?;
    Ok(Shipment { object, study: original.study_instance_uid.clone(), series })
}

//! Storage commitment, push model
//! ([PS3.4 annex J](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_J.html)): what is asked for, what
//! the node can promise, and the report of it.
//!
//! A request is durable before it is answered. The node looks at the bytes of each instance before it commits to it. The
//! requester is told over the association that it asked on, over one that it opens later, or, where the settings say where
//! it listens, over one that the node opens; that is repeated until it has the report.

use std::time::Duration;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_ul::pdu::RequestorRoles;
use futures_util::StreamExt;
use jiff::SignedDuration;

use super::application_entities::ApplicationEntities;
use super::command::Command;
use super::conversation::{AssociationError, Conversation};
use super::encoding;
use super::negotiation::Context;
use super::requesting::{Proposal, Requested};
use super::scu::{self, ScuError};
use super::status::{Reply, Status};
use crate::config::{DestinationConfig, DicomConfig};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::{Archive, ArchiveError, StoredInstance};
use crate::node::queue::{Commitment, CommitmentId, CommitmentInstance, CommitmentState, Verdict};
use crate::node::shutdown::Shutdown;

/// The one action: request storage commitment (PS3.4 J.3.2).
pub(super) const REQUEST_ACTION: u16 = 1;
/// Event types: all instances are committed to; some are not (PS3.4 J.3.3).
const SUCCESSFUL: u16 = 1;
const FAILURES_EXIST: u16 = 2;
/// Most instances of a request.
const MOST_INSTANCES: usize = 100_000;
/// Time for looking at the bytes of all instances and for the report, until somebody else may try.
const LEASE: SignedDuration = SignedDuration::from_mins(10);
/// Between looks at what is due.
const PAUSE: Duration = Duration::from_secs(15);
/// Requesters that are called at the same time.
const CALLS: usize = 4;
/// How long a requester may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a request names: its transaction, and the instances that are to be kept.
pub(super) fn read_request(data_set: &DataSet) -> Result<(Uid, Vec<CommitmentInstance>), Reply> {
    let missing = |name: &str| Reply::new(Status::MISSING_ATTRIBUTE, format!("{name} is missing"));
    let transaction =
        elements::uid(data_set, tags::TRANSACTION_UID).ok_or_else(|| missing("(0008,1195) Transaction UID"))?;
    let items = elements::items(data_set, tags::REFERENCED_SOP_SEQUENCE);
    if items.is_empty() {
        return Err(missing("(0008,1199) Referenced SOP Sequence"));
    }
    if items.len() > MOST_INSTANCES {
        return Err(Reply::new(Status::PROCESSING_FAILURE, format!("more than {MOST_INSTANCES} instances")));
    }
    let instance = |item: &DataSet| {
        Some(CommitmentInstance {
            sop_class_uid: elements::uid(item, tags::REFERENCED_SOP_CLASS_UID)?,
            sop_instance_uid: elements::uid(item, tags::REFERENCED_SOP_INSTANCE_UID)?,
            verdict: None,
        })
    };
    let instances: Option<Vec<CommitmentInstance>> = items.iter().map(instance).collect();
    Ok((transaction, instances.ok_or_else(|| missing("a referenced SOP Class or Instance UID"))?))
}

/// The report of a commitment: event type and data set.
fn report(commitment: &Commitment, verdicts: &[Verdict], retrieve_from: &AeTitle) -> (u16, DataSet) {
    let (mut committed, mut failed) = (Vec::new(), Vec::new());
    for (instance, verdict) in commitment.instances.iter().zip(verdicts) {
        let mut item = DataSet::from_element_iter([
            DataElement::new(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class_uid.as_str()),
            DataElement::new(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance_uid.as_str()),
        ]);
        match verdict {
            Verdict::Committed => committed.push(item),
            Verdict::Refused(reason) => {
                item.put(DataElement::new(tags::FAILURE_REASON, VR::US, PrimitiveValue::from(*reason)));
                failed.push(item);
            }
        }
    }
    let event_type = if failed.is_empty() { SUCCESSFUL } else { FAILURES_EXIST };
    let mut data_set = DataSet::from_element_iter([
        DataElement::new(tags::TRANSACTION_UID, VR::UI, commitment.id.transaction_uid.as_str()),
        DataElement::new(tags::RETRIEVE_AE_TITLE, VR::AE, retrieve_from.as_str()),
    ]);
    for (tag, items) in [(tags::REFERENCED_SOP_SEQUENCE, committed), (tags::FAILED_SOP_SEQUENCE, failed)] {
        if !items.is_empty() {
            data_set.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        }
    }
    (event_type, data_set)
}

/// What the node can promise of an instance: it is listed, it is of the class that the requester states, and its bytes are
/// those that came.
async fn judge(archive: &Archive, instance: &CommitmentInstance) -> Result<Verdict, ArchiveError> {
    let refused = |status: Status| Ok(Verdict::Refused(status.0));
    let Some(scope) = archive.index().locate(&instance.sop_instance_uid).await? else {
        return refused(Status::NO_SUCH_INSTANCE);
    };
    match archive.instances(&scope).await?.into_iter().next() {
        None => refused(Status::NO_SUCH_INSTANCE),
        Some(StoredInstance { sop_class_uid, .. }) if sop_class_uid != instance.sop_class_uid => {
            refused(Status::CLASS_INSTANCE_CONFLICT)
        }
        Some(stored) if archive.damaged_among(std::slice::from_ref(&stored)).await?.is_empty() => {
            Ok(Verdict::Committed)
        }
        Some(stored) => {
            tracing::error!(sop_instance_uid = %stored.sop_instance_uid, "a stored object is damaged or gone");
            refused(Status::PROCESSING_FAILURE)
        }
    }
}

/// Why a requester does not have a report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Request(#[from] ScuError),
    #[error("the association: {0}")]
    Association(#[from] AssociationError),
    #[error("the requester answered with status {0}")]
    Refused(Status),
}

/// A report that is to be sent.
struct Report {
    commitment: Commitment,
    event_type: u16,
    data_set: DataSet,
}

/// Tells requesters what the node has committed to.
#[derive(Clone)]
pub struct Reporter {
    archive: Archive,
    ae_title: AeTitle,
    application_entities: ApplicationEntities,
}

impl Reporter {
    /// The reporter of a node with these settings.
    pub fn new(config: &DicomConfig, destinations: &[DestinationConfig], archive: Archive) -> Self {
        let application_entities = ApplicationEntities::of(&config.peers, destinations);
        Self { archive, ae_title: config.ae_title.clone(), application_entities }
    }

    /// Calls requesters whose reports are due, until `shutdown`. Those that the settings give no address of are told when
    /// they call.
    pub async fn run(self, shutdown: Shutdown) {
        let mut changes = self.archive.index().changes();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.call_all() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn call_all(&self) {
        let store = self.archive.index();
        match store.due_commitments(store.now()).await {
            Ok(due) => futures_util::stream::iter(due).for_each_concurrent(CALLS, |id| self.call(id)).await,
            Err(error) => tracing::error!(%error, "reports of storage commitments wait for the index"),
        }
    }

    async fn call(&self, id: CommitmentId) {
        let Some((called, address)) = self.application_entities.find(&id.requester) else { return };
        let calling = self.ae_title.clone();
        let requester = scu::Peer { address, called, calling, timeout: PATIENCE, originator: None };
        if let Some(report) = self.prepare(&id).await {
            let outcome = call_with(&requester, &report).await;
            self.note(&report.commitment, outcome.err().map(|error| error.to_string())).await;
        }
    }

    /// Tells a requester, over an association that it has opened, all that it was not told.
    pub(super) async fn tell_all(
        &self,
        requester: &str,
        context: &Context,
        conversation: &mut Conversation,
    ) -> Result<(), AssociationError> {
        let untold = self.archive.index().untold_commitments(requester).await.unwrap_or_else(|error| {
            tracing::error!(%error, "reports of storage commitments wait for the index");
            Vec::new()
        });
        for id in &untold {
            let Some(report) = self.prepare(id).await else { continue };
            let sent = send(conversation, context.id, &context.transfer_syntax, &report).await;
            let (failure, end) = match sent {
                Ok(()) => (None, None),
                Err(ReportError::Association(error)) => (Some(error.to_string()), Some(error)),
                Err(error) => (Some(error.to_string()), None),
            };
            self.note(&report.commitment, failure).await;
            if let Some(error) = end {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The report of a commitment, if nobody else is at it. What the node commits to is recorded before it is said.
    async fn prepare(&self, id: &CommitmentId) -> Option<Report> {
        match self.try_prepare(id).await {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, transaction_uid = %id.transaction_uid, "a storage commitment waits");
                None
            }
        }
    }

    async fn try_prepare(&self, id: &CommitmentId) -> Result<Option<Report>, ArchiveError> {
        let store = self.archive.index();
        let Some(commitment) = store.claim_commitment(id, store.now() + LEASE).await? else { return Ok(None) };
        let mut verdicts = Vec::with_capacity(commitment.instances.len());
        for instance in &commitment.instances {
            verdicts.push(match instance.verdict {
                Some(verdict) => verdict,
                None => judge(&self.archive, instance).await?,
            });
        }
        store.judge_commitment(id, &verdicts).await?;
        let (event_type, data_set) = report(&commitment, &verdicts, &self.ae_title);
        Ok(Some(Report { commitment, event_type, data_set }))
    }

    async fn note(&self, commitment: &Commitment, failure: Option<String>) {
        let CommitmentId { requester, transaction_uid } = &commitment.id;
        let now = self.archive.index().now();
        let next = commitment.next_report(now);
        let state = match (&failure, next) {
            (None, _) => CommitmentState::Reported,
            (Some(_), Some(_)) => CommitmentState::Requested,
            (Some(_), None) => CommitmentState::Failed,
        };
        match &failure {
            None => tracing::info!(requester, %transaction_uid, "a storage commitment is reported"),
            Some(reason) => tracing::warn!(requester, %transaction_uid, reason, %state, "a report is not delivered"),
        }
        let not_before = next.unwrap_or(now);
        let recorded = self.archive.index().end_report(&commitment.id, state, not_before, failure.as_deref()).await;
        if let Err(error) = recorded {
            tracing::error!(%error, "the report of a storage commitment is not recorded and is sent again");
        }
    }
}

/// Reports over an association of its own: the node is the provider of the service, although it calls.
async fn call_with(requester: &scu::Peer, report: &Report) -> Result<(), ReportError> {
    let provider = RequestorRoles { scu: false, scp: true };
    let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
    let mut requested = Requested::associate(requester, &[Proposal::service(class).with_roles(provider)]).await?;
    let outcome = match requested.service(class) {
        Ok((context_id, transfer_syntax)) => {
            send(&mut requested.conversation, context_id, &transfer_syntax, report).await
        }
        Err(error) => Err(error.into()),
    };
    requested.conversation.release().await;
    outcome
}

async fn send(
    conversation: &mut Conversation,
    context_id: u8,
    transfer_syntax: &str,
    report: &Report,
) -> Result<(), ReportError> {
    let data_set = encoding::encode(report.data_set.clone(), transfer_syntax);
    let command = |message_id| Command::event_report(message_id, report.event_type);
    let (status, _) = conversation.request(context_id, &data_set, command).await?;
    if status == Status::SUCCESS { Ok(()) } else { Err(ReportError::Refused(status)) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("uid")
    }

    fn instance(number: u8) -> CommitmentInstance {
        let sop_instance_uid = uid(&format!("1.2.{number}"));
        CommitmentInstance { sop_class_uid: uid(uids::CT_IMAGE_STORAGE), sop_instance_uid, verdict: None }
    }

    #[test]
    fn a_report_names_what_is_kept_and_what_is_not_and_why() {
        let id = CommitmentId { requester: "CT".to_owned(), transaction_uid: uid("1.9") };
        let instances = vec![instance(1), instance(2)];
        let commitment = Commitment { id, instances, attempts: 1, requested_at: Timestamp::UNIX_EPOCH };
        let title = AeTitle::parse("PE-NODE").expect("title");
        let (event_type, all) = report(&commitment, &[Verdict::Committed; 2], &title);
        assert_eq!((event_type, elements::items(&all, tags::REFERENCED_SOP_SEQUENCE).len()), (SUCCESSFUL, 2));
        assert!(all.get(tags::FAILED_SOP_SEQUENCE).is_none());
        let refused = Verdict::Refused(Status::NO_SUCH_INSTANCE.0);
        let (event_type, some) = report(&commitment, &[Verdict::Committed, refused], &title);
        let failed = elements::items(&some, tags::FAILED_SOP_SEQUENCE);
        assert_eq!((event_type, failed.len()), (FAILURES_EXIST, 1));
        assert_eq!(elements::integer(&failed[0], tags::FAILURE_REASON), Some(0x0112));
        let (transaction, named) = read_request(&all).expect("the same sequence as in a request");
        assert_eq!((transaction, named), (uid("1.9"), commitment.instances));
    }

    #[test]
    fn a_request_without_transaction_or_instances_is_refused() {
        let mut request = DataSet::new_empty();
        let comment = |request: &DataSet| read_request(request).expect_err("refused").comment;
        assert_eq!(comment(&request), "(0008,1195) Transaction UID is missing");
        request.put(DataElement::new(tags::TRANSACTION_UID, VR::UI, "1.9"));
        assert_eq!(comment(&request), "(0008,1199) Referenced SOP Sequence is missing");
    }
}

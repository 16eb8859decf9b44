//! Storage commitment over an association that the requester opened
//! ([PS3.4 annex J](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_J.html)).

use std::future::pending;
use std::time::Duration;

use jiff::SignedDuration;

use super::super::commitment::{self, REQUEST_ACTION};
use super::super::conversation::AssociationError;
use super::super::message::Body;
use super::super::negotiation::Context;
use super::super::scu;
use super::super::service::Service;
use super::super::status::{Reply, Status};
use super::provider::Provider;
use super::session::{Asked, Session};
use crate::node::queue::{CommitmentId, CommitmentRequest, CommitmentState};

/// A requester that says nothing for so long waits for its reports. One that leaves before is called, if the settings say
/// where it listens, or told when it calls again.
const SILENCE: Duration = Duration::from_millis(500);
/// How long a requester is not called because its association is open.
const OPEN: SignedDuration = SignedDuration::from_mins(5);

/// Reports to the other side of an association.
pub(super) struct Reports {
    /// The context to report in, if there is one.
    context: Option<Context>,
    /// True if the requester may wait for a report: at the beginning, because it may have called to get those of earlier
    /// requests, and after each request.
    awaited: bool,
    /// Requests of this association.
    requested: Vec<CommitmentId>,
}

impl Reports {
    pub(super) fn of(session: &Session) -> Self {
        let context = session
            .contexts
            .iter()
            .find(|context| context.service == Service::Commitment && context.peer_may_use)
            .cloned();
        Self { awaited: context.is_some(), context, requested: Vec::new() }
    }

    /// Waits until reports are due; for ever, if none is awaited.
    pub(super) async fn due(&self) {
        if self.awaited { tokio::time::sleep(SILENCE).await } else { pending().await }
    }

    /// Tells the requester all that it was not told.
    pub(super) async fn send(&mut self, session: &mut Session) -> Result<(), AssociationError> {
        self.awaited = false;
        let Some(context) = &self.context else { return Ok(()) };
        let reporter = &session.provider.reporter;
        match reporter.tell_all(&session.calling_ae_title, context, &mut session.conversation).await {
            // The release is dealt with next.
            Err(AssociationError::Released) => Ok(()),
            told => told,
        }
    }

    /// What was not told is due from now on.
    pub(super) async fn end(self, provider: &Provider) {
        for id in &self.requested {
            let store = provider.archive.index();
            if let Err(error) = store.end_report(id, CommitmentState::Requested, store.now(), None).await {
                tracing::error!(%error, "a report of a storage commitment waits");
            }
        }
    }
}

impl Session {
    /// Takes the report of a destination on what it was asked to keep.
    pub(super) async fn take_report(&self, asked: &Asked<'_>, body: &Body) -> Reply {
        let report = match self.data_set(asked, body) {
            Ok(data_set) => scu::read_report(&data_set),
            Err(reply) => return reply,
        };
        let Some(report) = report else {
            return Reply::new(Status::MISSING_ATTRIBUTE, "(0008,1195) Transaction UID is missing");
        };
        let store = self.provider.archive.index();
        match store.commitment_reported(&report, store.now()).await {
            Ok(true) => Reply::new(Status::SUCCESS, ""),
            Ok(false) => Reply::new(Status::PROCESSING_FAILURE, "the node did not ask for this transaction"),
            Err(error) => {
                tracing::error!(%error, "a report of a commitment cannot be recorded");
                Reply::new(Status::PROCESSING_FAILURE, "the index failed")
            }
        }
    }

    /// Records a request durably. The answer promises a report, and nothing else.
    pub(super) async fn commit(&self, asked: &Asked<'_>, body: Body, reports: &mut Reports) -> Reply {
        if asked.command.details.type_id != Some(REQUEST_ACTION) {
            return Reply::new(Status::NO_SUCH_ACTION, "the only action is 1, request storage commitment");
        }
        let request = self.data_set(asked, &body).and_then(|data_set| commitment::read_request(&data_set));
        let (transaction_uid, instances) = match request {
            Ok(request) => request,
            Err(reply) => return reply,
        };
        let id = CommitmentId { requester: self.calling_ae_title.clone(), transaction_uid };
        let store = self.provider.archive.index();
        let now = store.now();
        match store.request_commitment(&id, &instances, now + OPEN, now).await {
            Ok(CommitmentRequest::Accepted) => {
                tracing::info!(
                    requester = id.requester,
                    transaction_uid = %id.transaction_uid,
                    instances = instances.len(),
                    "storage commitment is asked for"
                );
                reports.awaited = true;
                reports.requested.push(id);
                Reply::new(Status::SUCCESS, "")
            }
            Ok(CommitmentRequest::Duplicate) => {
                Reply::new(Status::DUPLICATE_TRANSACTION, "the transaction is known with other instances")
            }
            Err(error) => {
                tracing::error!(%error, "a request for storage commitment cannot be recorded");
                Reply::new(Status::PROCESSING_FAILURE, "the index failed")
            }
        }
    }
}

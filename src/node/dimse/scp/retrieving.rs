//! C-MOVE and C-GET ([PS3.4 C.4.2, C.4.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.4.2.html)).

use std::time::Duration;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use tokio::sync::mpsc;

use super::super::command::{Command, MoveOriginator, SubOperations};
use super::super::connection::ConnectionError;
use super::super::conversation::AssociationError;
use super::super::encoding;
use super::super::message::Body;
use super::super::negotiation::{Context, UNCOMPRESSED};
use super::super::query::{self, Selection};
use super::super::scu::{self, Outgoing, SendOutcome, Source};
use super::super::service::Root;
use super::super::status::{Reply, Status};
use super::session::{Asked, Session};
use crate::dicom::elements::DataSet;
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::{Query, Scope, StoredInstance};

/// How long a move destination may take to connect, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What became of the sub-operations so far.
#[derive(Debug, Default)]
struct Progress {
    total: usize,
    completed: usize,
    warning: usize,
    failed: Vec<Uid>,
    /// Why the last one failed.
    reason: String,
}

impl Progress {
    fn of(total: usize) -> Self {
        Self { total, ..Self::default() }
    }

    fn note(&mut self, instance: &Uid, outcome: &SendOutcome) {
        match outcome {
            SendOutcome::Stored(Status::SUCCESS) => self.completed += 1,
            stored if stored.is_stored() => self.warning += 1,
            failed => {
                self.reason = failed.to_string();
                self.failed.push(instance.clone());
                tracing::warn!(sop_instance_uid = %instance, reason = self.reason, "an object was not retrieved");
            }
        }
    }

    /// `remaining` is stated while there is more to do, and when it was cancelled.
    fn counts(&self, with_remaining: bool) -> SubOperations {
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let done = self.completed + self.warning + self.failed.len();
        SubOperations {
            remaining: with_remaining.then(|| count(self.total.saturating_sub(done))),
            completed: count(self.completed),
            failed: count(self.failed.len()),
            warning: count(self.warning),
        }
    }

    fn end(&self, cancelled: bool) -> Reply {
        if cancelled {
            Reply::new(Status::CANCELLED, "")
        } else if self.failed.is_empty() && self.warning == 0 {
            Reply::new(Status::SUCCESS, "")
        } else if self.failed.len() == self.total {
            Reply::new(Status::NO_SUB_OPERATION, self.reason.as_str())
        } else {
            Reply::new(Status::SUB_OPERATIONS_FAILED, self.reason.as_str())
        }
    }

    /// Failed SOP Instance UID List (0008,0058); `None` where nothing failed.
    fn failed_list(&self) -> Option<DataSet> {
        let failed: Vec<String> = self.failed.iter().map(Uid::to_string).collect();
        let list = PrimitiveValue::Strs(failed.into());
        (!self.failed.is_empty())
            .then(|| DataSet::from_element_iter([DataElement::new(tags::FAILED_SOP_INSTANCE_UID_LIST, VR::UI, list)]))
    }
}

impl Session {
    /// Sends what is asked for to an application entity that the settings name.
    pub(super) async fn move_to(&mut self, asked: &Asked<'_>, root: Root, body: Body) -> Result<(), AssociationError> {
        let destination = match self.move_destination(asked) {
            Ok(destination) => destination,
            Err(reply) => return self.reply(asked, &reply).await,
        };
        let objects = match self.selected(asked, root, &body).await {
            Ok(objects) => objects,
            Err(reply) => return self.reply(asked, &reply).await,
        };
        drop(body);
        let mut progress = Progress::of(objects.len());
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        let limits = self.provider.limits;
        let sending = scu::store(&destination, &objects, &limits, |place, outcome: &SendOutcome| {
            // Nobody listens any more where the operation was cancelled.
            let _ = sender.send((place, outcome.clone()));
        });
        tokio::pin!(sending);
        let (mut sent, mut cancelled) = (false, false);
        while !(cancelled || sent && outcomes.is_empty()) {
            tokio::select! {
                biased;
                taken = self.conversation.take_in() => {
                    match taken {
                        // It is the peer that waits.
                        Err(AssociationError::Connection(ConnectionError::Idle(_))) => {}
                        taken => taken?,
                    }
                    cancelled = self.conversation.take_cancellation(asked.message_id);
                }
                Some((place, outcome)) = outcomes.recv() => {
                    progress.note(&objects[place].sop_instance_uid, &outcome);
                    self.send_progress(asked, &progress).await?;
                }
                _ = &mut sending, if !sent => sent = true,
            }
        }
        self.end_retrieval(asked, &progress, cancelled).await
    }

    fn move_destination(&self, asked: &Asked<'_>) -> Result<scu::Peer, Reply> {
        let title = asked.command.details.move_destination.as_deref().unwrap_or_default();
        let (called, address) = self.provider.application_entities.find(title).ok_or_else(|| {
            tracing::warn!(calling_ae_title = self.calling_ae_title, "a move destination is in no setting");
            Reply::new(Status::UNKNOWN_DESTINATION, "no setting says where the move destination listens")
        })?;
        let originator = AeTitle::parse(&self.calling_ae_title).ok();
        let message_id = asked.message_id;
        Ok(scu::Peer {
            address,
            called,
            calling: self.provider.config.ae_title.clone(),
            timeout: PATIENCE,
            originator: originator.map(|ae_title| MoveOriginator { ae_title, message_id }),
        })
    }

    /// Sends what is asked for over this association.
    pub(super) async fn get(&mut self, asked: &Asked<'_>, root: Root, body: Body) -> Result<(), AssociationError> {
        let objects = match self.selected(asked, root, &body).await {
            Ok(objects) => objects,
            Err(reply) => return self.reply(asked, &reply).await,
        };
        drop(body);
        let mut progress = Progress::of(objects.len());
        for object in &objects {
            if self.conversation.is_cancelled(asked.message_id).await? {
                return self.end_retrieval(asked, &progress, true).await;
            }
            let outcome = self.send_back(object).await?;
            progress.note(&object.sop_instance_uid, &outcome);
            self.send_progress(asked, &progress).await?;
        }
        self.end_retrieval(asked, &progress, false).await
    }

    /// Stores one object at the peer, over its own association.
    async fn send_back(&mut self, object: &Outgoing) -> Result<SendOutcome, AssociationError> {
        let class = object.sop_class_uid.as_str();
        let Some(context) = self.context_for(class, &object.transfer_syntax_uid) else {
            return Ok(SendOutcome::Unsendable(format!("the peer takes no objects of class {class}")));
        };
        let (context_id, syntax) = (context.id, context.transfer_syntax.clone());
        let bytes = match scu::encode_in_background(object, syntax, &self.provider.limits).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(SendOutcome::Unsendable(error.to_string())),
        };
        let request =
            |message_id| Command::store(message_id, object.sop_class_uid.clone(), object.sop_instance_uid.clone());
        let (status, comment) = self.conversation.request(context_id, &bytes, request).await?;
        Ok(if status.is_stored() { SendOutcome::Stored(status) } else { SendOutcome::Refused(status, comment) })
    }

    /// A context in which the peer takes objects of a class: as they are stored, or else uncompressed.
    fn context_for(&self, class: &str, stored_in: &str) -> Option<&Context> {
        let accepted = |syntax: &str| {
            self.contexts.iter().find(|context| {
                context.peer_is_provider && context.abstract_syntax == class && context.transfer_syntax == syntax
            })
        };
        accepted(stored_in).or_else(|| UNCOMPRESSED.into_iter().find_map(accepted))
    }

    async fn selected(&self, asked: &Asked<'_>, root: Root, body: &Body) -> Result<Vec<Outgoing>, Reply> {
        let selection = Selection::parse(&self.data_set(asked, body)?, root)?;
        let failed = |error| {
            tracing::error!(%error, "what is to be retrieved cannot be looked up");
            Reply::from(&error)
        };
        let archive = &self.provider.archive;
        let scopes: Vec<Scope> = match selection {
            Selection::Scopes(scopes) => scopes,
            Selection::Search(level, matching) => {
                let query = Query { matching, ..Query::default() };
                let found = archive.find(level.of_index(), &query).await.map_err(failed)?;
                found.iter().filter_map(|data_set| query::scope_of(level, data_set)).collect()
            }
        };
        let mut instances: Vec<StoredInstance> = Vec::new();
        for scope in &scopes {
            instances.extend(archive.instances(scope).await.map_err(failed)?);
        }
        // The others are sent all the same.
        let damaged = archive.damaged_among(&instances).await.map_err(failed)?;
        let mut outgoing: Vec<Outgoing> = instances.iter().map(Outgoing::from).collect();
        for object in outgoing.iter_mut().filter(|object| damaged.contains(&object.sop_instance_uid)) {
            object.source = Source::Damaged;
        }
        Ok(outgoing)
    }

    async fn send_progress(&mut self, asked: &Asked<'_>, progress: &Progress) -> Result<(), AssociationError> {
        let response = asked.command.answer(asked.message_id, Status::PENDING, "");
        let response = response.with_sub_operations(progress.counts(true));
        self.conversation.send(asked.context.id, &response, &[]).await
    }

    async fn end_retrieval(
        &mut self,
        asked: &Asked<'_>,
        progress: &Progress,
        cancelled: bool,
    ) -> Result<(), AssociationError> {
        let Reply { status, comment } = progress.end(cancelled);
        let response = asked.command.answer(asked.message_id, status, &comment);
        let response = response.with_sub_operations(progress.counts(cancelled));
        let Some(failed) = progress.failed_list() else {
            return self.conversation.send(asked.context.id, &response, &[]).await;
        };
        let failed = encoding::encode(failed, &asked.context.transfer_syntax);
        self.conversation.send(asked.context.id, &response.with_data_set(), &failed).await
    }
}

//! An accepted association, as the services see it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::command::Command;
use super::super::conversation::{AssociationError, Conversation};
use super::super::message::Body;
use super::super::negotiation::{Accepted, Context};
use super::super::status::{Reply, Status};
use super::provider::Provider;
use crate::dicom::bounded;
use crate::dicom::elements::DataSet;

/// A request of a peer, in the presentation context that it came in.
pub(super) struct Asked<'a> {
    pub(super) message_id: u16,
    pub(super) command: &'a Command,
    pub(super) context: &'a Context,
}

/// An accepted association.
pub(super) struct Session {
    pub(super) calling_ae_title: String,
    pub(super) address: SocketAddr,
    pub(super) contexts: Vec<Context>,
    pub(super) conversation: Conversation,
    pub(super) provider: Arc<Provider>,
}

impl Session {
    pub(super) fn new(
        accepted: Accepted,
        conversation: Conversation,
        address: SocketAddr,
        provider: Arc<Provider>,
    ) -> Self {
        let Accepted { contexts, calling_ae_title, .. } = accepted;
        Self { calling_ae_title, address, contexts, conversation, provider }
    }

    /// Answers a request with a status alone.
    pub(super) async fn reply(&mut self, asked: &Asked<'_>, reply: &Reply) -> Result<(), AssociationError> {
        let answer = asked.command.answer(asked.message_id, reply.status, &reply.comment);
        self.conversation.send(asked.context.id, &answer, &[]).await
    }

    /// The data set of a query, a retrieval or an action.
    pub(super) fn data_set(&self, asked: &Asked<'_>, body: &Body) -> Result<DataSet, Reply> {
        let Body::DataSet(bytes, _) = body else {
            return Err(Reply::new(Status::CANNOT_UNDERSTAND, "the request has no data set"));
        };
        bounded::data_set(bytes, &asked.context.transfer_syntax, &self.provider.limits)
            .map_err(|error| Reply::from(&error))
    }
}

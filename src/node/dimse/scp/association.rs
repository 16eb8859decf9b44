//! One association: accepted or refused, its messages answered one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dicom_ul::Pdu;
use tokio::net::TcpStream;

use super::super::command::{Operation, Role};
use super::super::connection::{Connection, ConnectionError};
use super::super::conversation::{self, AssociationError, Conversation, Incoming};
use super::super::message::{Assembler, Message};
use super::super::negotiation::{self, Accepted, Refusal};
use super::super::service::Service;
use super::super::status::{Reply, Status};
use super::committing::Reports;
use super::provider::Provider;
use super::session::{Asked, Session};
use crate::node::arrivals::Feed;
use crate::node::shutdown::Shutdown;

/// A connection before it is an association.
pub(super) struct Association {
    connection: Connection,
    address: SocketAddr,
    provider: Arc<Provider>,
    shutdown: Shutdown,
}

impl Association {
    pub(super) fn new(stream: TcpStream, address: SocketAddr, provider: Arc<Provider>, shutdown: Shutdown) -> Self {
        let timeout = Duration::from_secs(provider.config.idle_timeout_seconds);
        let connection = Connection::new(stream, provider.config.maximum_pdu_bytes, timeout);
        Self { connection, address, provider, shutdown }
    }

    pub(super) async fn serve(mut self, assembler: Assembler) {
        let shutdown = self.shutdown.clone();
        let accepted = tokio::select! {
            accepted = self.accept() => accepted,
            () = shutdown.cancelled() => Err(AssociationError::Shutdown),
        };
        match accepted {
            Ok(Some(accepted)) => {
                let conversation = Conversation::new(self.connection, assembler, accepted.maximum_pdu);
                Session::new(accepted, conversation, self.address, self.provider).serve(&shutdown).await;
            }
            Ok(None) => self.connection.close().await,
            Err(error) => {
                note_early_end(self.address, None, &error);
                conversation::abort(&mut self.connection, &error).await;
                self.connection.close().await;
            }
        }
    }

    /// Answers the request with a refusal, once it has come: an answer before it could be lost.
    pub(super) async fn refuse(mut self, refusal: Refusal) {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            request = self.connection.receive_request() => if let Ok(request) = request {
                self.reject(refusal, &request.calling_ae_title, &request.called_ae_title).await.ok();
            },
        }
        self.connection.close().await;
    }

    async fn reject(&mut self, refusal: Refusal, calling: &str, called: &str) -> Result<(), ConnectionError> {
        tracing::warn!(address = %self.address, calling, called, reason = %refusal, "an association is refused");
        self.connection.send(&Pdu::AssociationRJ(refusal.answer())).await
    }

    async fn accept(&mut self) -> Result<Option<Accepted>, AssociationError> {
        let request = self.connection.receive_request().await?;
        let (calling, called) = (request.calling_ae_title.clone(), request.called_ae_title.clone());
        match negotiation::negotiate(request, self.address.ip(), &self.provider.config) {
            Ok(accepted) => {
                self.connection.send(&Pdu::AssociationAC(accepted.answer.clone())).await?;
                Ok(Some(accepted))
            }
            Err(refusal) => {
                self.reject(refusal, &calling, &called).await?;
                Ok(None)
            }
        }
    }
}

fn note_early_end(address: SocketAddr, calling_ae_title: Option<&str>, error: &AssociationError) {
    tracing::warn!(%address, calling_ae_title, %error, "an association ended early");
}

impl Session {
    async fn serve(mut self, shutdown: &Shutdown) {
        let mut feed = self.provider.events.begin();
        let mut reports = Reports::of(&self);
        let error = self.converse(shutdown, feed.as_mut(), &mut reports).await.err();
        drop(feed);
        reports.end(&self.provider).await;
        if let Some(error) = &error {
            note_early_end(self.address, Some(&self.calling_ae_title), error);
        }
        self.conversation.close(error.as_ref()).await;
    }

    async fn converse(
        &mut self,
        shutdown: &Shutdown,
        feed: &mut dyn Feed,
        reports: &mut Reports,
    ) -> Result<(), AssociationError> {
        loop {
            while let Some(incoming) = self.conversation.next() {
                match incoming {
                    Incoming::Release => return self.conversation.agree_to_release().await,
                    Incoming::Message(message) => match self.answer(message, feed, reports).await {
                        // The release is dealt with next.
                        Err(AssociationError::Released) => {}
                        answered => answered?,
                    },
                }
            }
            tokio::select! {
                taken = self.conversation.take_in() => taken?,
                () = shutdown.cancelled(), if self.conversation.is_idle() => return Err(AssociationError::Shutdown),
                () = reports.due(), if self.conversation.is_idle() => reports.send(self).await?,
            }
        }
    }

    async fn answer(
        &mut self,
        message: Message,
        feed: &mut dyn Feed,
        reports: &mut Reports,
    ) -> Result<(), AssociationError> {
        let Message { context_id, command, body } = message;
        let context = self.contexts.iter().find(|context| context.id == context_id).cloned();
        let context = context.ok_or(AssociationError::Context(context_id))?;
        let Role::Request { message_id } = command.role else { return Err(AssociationError::OutOfTurn) };
        let asked = Asked { message_id, command: &command, context: &context };
        let reply = match (command.operation, context.service) {
            // What it cancels has ended already.
            (Operation::Cancel, _) => return Ok(()),
            (Operation::Echo, _) => Reply::new(Status::SUCCESS, ""),
            (Operation::Store, _) => self.store(&asked, body, feed).await,
            (Operation::Find, Service::Find(root)) => return self.find(&asked, root, body).await,
            (Operation::Move, Service::Move(root)) => return self.move_to(&asked, root, body).await,
            (Operation::Get, Service::Get(root)) => return self.get(&asked, root, body).await,
            (Operation::Action, Service::Commitment) if context.peer_may_use => {
                self.commit(&asked, body, reports).await
            }
            (Operation::EventReport, Service::Commitment) => self.take_report(&asked, &body).await,
            _ => Reply::new(Status::UNRECOGNIZED_OPERATION, "the presentation context is not for this operation"),
        };
        self.reply(&asked, &reply).await
    }
}

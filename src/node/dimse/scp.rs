//! The service class provider: C-ECHO and C-STORE into the archive.
//!
//! A success is answered after [`Archive::store`] returned, so what a sender counts as sent is durable. One bad object
//! costs its own status, never the association.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dicom_dictionary_std::tags;
use dicom_ul::Pdu;
use dicom_ul::pdu::{AbortRQServiceProviderReason, AbortRQSource, PDataValue, PDataValueType};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::command::{Command, Operation, Role};
use super::connection::{Connection, ConnectionError};
use super::message::{Assembler, Body, Message, MessageError};
use super::negotiation::{self, Accepted, Context, Refusal};
use super::status::{Reply, Status};
use crate::config::DicomConfig;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::sop_class::is_storage_class;
use crate::dicom::{SeriesId, Uid};
use crate::node::archive::{Archive, Origin, ReceivedInstance, Stored};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::memory::Budget;
use crate::node::queue::RefusalCause;
use crate::node::shutdown::Shutdown;
use crate::node::telemetry::{self, Interface, Received};

/// How long associations in the middle of a message may take once the node is told to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// Connections that get no place (strangers, and those beyond `dicom.maximum_associations`) and are told so at the same
/// time; any more are closed.
const MAXIMUM_REFUSALS: usize = 64;

/// What the provider works with.
#[derive(Clone)]
pub struct Services {
    /// `[dicom]`
    pub config: DicomConfig,
    /// `[limits]`
    pub limits: Limits,
    /// Where objects go.
    pub archive: Archive,
    /// Who is told of them.
    pub events: Arc<dyn StoreEvents>,
}

/// Serves associations until `shutdown`. Then nothing new is accepted. Each association answers the message that it is
/// receiving, if that ends soon, and is aborted. Then this returns.
pub async fn run(listener: TcpListener, services: Services, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(services.config.maximum_associations));
    let refusals = Arc::new(Semaphore::new(MAXIMUM_REFUSALS));
    let budget = Budget::new(services.limits.object_bytes());
    let services = Arc::new(services);
    let mut associations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(ended) = associations.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an association ended by a fault of this program");
                }
                continue;
            }
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when associations end.
                tracing::warn!(%error, "a DICOM connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A caller that no entry of dicom.peers can admit takes no place: strangers do not keep the others out.
        let known = negotiation::knows_network(address.ip(), &services.config);
        if let Some(place) = places.clone().try_acquire_owned().ok().filter(|_| known) {
            let association = Association::new(stream, address, services.clone(), shutdown.clone());
            let assembler = Assembler::new(budget.clone());
            associations.spawn(async move {
                association.serve(assembler).await;
                drop(place);
            });
        } else if let Ok(place) = refusals.clone().try_acquire_owned() {
            let association = Association::new(stream, address, services.clone(), shutdown.clone());
            let refusal = if known { Refusal::Busy } else { Refusal::Caller };
            associations.spawn(async move {
                association.refuse(refusal).await;
                drop(place);
            });
        }
    }
    drop(listener);
    let drained = async { while associations.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(associations = associations.len(), "associations were cut off in the middle of a message");
    }
}

/// Why an association ended before it was released.
#[derive(Debug, thiserror::Error)]
enum AssociationError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a message came in presentation context {0}, which was not accepted")]
    Context(u8),
    #[error("a PDU came out of turn")]
    OutOfTurn,
    #[error("the peer aborted it")]
    Aborted,
    #[error("the node shuts down")]
    Shutdown,
}

struct Association {
    connection: Connection,
    address: SocketAddr,
    services: Arc<Services>,
    shutdown: Shutdown,
}

impl Association {
    fn new(stream: TcpStream, address: SocketAddr, services: Arc<Services>, shutdown: Shutdown) -> Self {
        let timeout = Duration::from_secs(services.config.idle_timeout_seconds);
        let connection = Connection::new(stream, services.config.maximum_pdu_bytes, timeout);
        Self { connection, address, services, shutdown }
    }

    async fn serve(mut self, assembler: Assembler) {
        let shutdown = self.shutdown.clone();
        let accepted = tokio::select! {
            accepted = self.accept() => accepted,
            () = shutdown.cancelled() => Err(AssociationError::Shutdown),
        };
        let outcome = match accepted {
            Ok(Some(accepted)) => self.converse(accepted, assembler).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(address = %self.address, %error, "an association ended early");
            self.abort(&error).await;
        }
        self.connection.close().await;
    }

    /// Answers the request with a refusal, once it has come: an answer before it could be lost.
    async fn refuse(mut self, refusal: Refusal) {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            request = self.connection.receive_request() => if let Ok(Pdu::AssociationRQ(_)) = request {
                self.reject(refusal).await.ok();
            },
        }
        self.connection.close().await;
    }

    async fn reject(&mut self, refusal: Refusal) -> Result<(), ConnectionError> {
        tracing::warn!(address = %self.address, reason = %refusal, "an association is refused");
        self.connection.send(&Pdu::AssociationRJ(refusal.answer())).await
    }

    async fn accept(&mut self) -> Result<Option<Accepted>, AssociationError> {
        let Pdu::AssociationRQ(request) = self.connection.receive_request().await? else {
            return Err(AssociationError::OutOfTurn);
        };
        match negotiation::negotiate(request, self.address.ip(), &self.services.config) {
            Ok(accepted) => {
                self.connection.send(&Pdu::AssociationAC(accepted.answer.clone())).await?;
                Ok(Some(accepted))
            }
            Err(refusal) => {
                self.reject(refusal).await?;
                Ok(None)
            }
        }
    }

    async fn converse(&mut self, accepted: Accepted, mut assembler: Assembler) -> Result<(), AssociationError> {
        let mut feed = self.services.events.begin();
        loop {
            let shutdown = self.shutdown.clone();
            let pdu = tokio::select! {
                pdu = self.connection.receive() => pdu?,
                () = shutdown.cancelled(), if assembler.is_idle() => return Err(AssociationError::Shutdown),
            };
            match pdu {
                Pdu::PData { data } => {
                    for value in data {
                        if let Some(message) = assembler.push(value)? {
                            self.answer(message, &accepted, feed.as_mut()).await?;
                        }
                    }
                }
                Pdu::ReleaseRQ => {
                    self.connection.send(&Pdu::ReleaseRP).await?;
                    return Ok(());
                }
                Pdu::AbortRQ { .. } => return Err(AssociationError::Aborted),
                _ => return Err(AssociationError::OutOfTurn),
            }
        }
    }

    async fn answer(
        &mut self,
        message: Message,
        accepted: &Accepted,
        feed: &mut dyn Feed,
    ) -> Result<(), AssociationError> {
        let Message { context_id, command, body } = message;
        let context = accepted
            .contexts
            .iter()
            .find(|context| context.id == context_id)
            .ok_or(AssociationError::Context(context_id))?;
        let Role::Request { message_id } = command.role else { return Err(AssociationError::OutOfTurn) };
        let reply = match command.operation {
            // There is nothing to cancel: C-STORE is answered before the next request is read.
            Operation::Cancel => return Ok(()),
            Operation::Echo => Reply::new(Status::SUCCESS, ""),
            Operation::Store => self.store(&command, context, body, &accepted.calling_ae_title, feed).await,
            Operation::Other(_) => Reply::new(Status::UNRECOGNIZED_OPERATION, "only C-ECHO and C-STORE are served"),
        };
        let response = command.answer(message_id, reply.status, &reply.comment);
        let value = PDataValue {
            presentation_context_id: context_id,
            value_type: PDataValueType::Command,
            is_last: true,
            data: response.encode(),
        };
        Ok(self.connection.send(&Pdu::PData { data: vec![value] }).await?)
    }

    async fn store(
        &self,
        command: &Command,
        context: &Context,
        body: Body,
        calling_ae_title: &str,
        feed: &mut dyn Feed,
    ) -> Reply {
        let size = if let Body::DataSet(bytes, _) = &body { bytes.len() } else { 0 };
        let (reply, outcome) = match self.try_store(command, context, &body, calling_ae_title, feed).await {
            Ok(stored) => (Reply::from(stored), stored.into()),
            Err(reply) => (reply, Received::Refused),
        };
        telemetry::count_received(Interface::Dimse, outcome, size);
        if reply.status != Status::SUCCESS {
            tracing::warn!(
                sop_instance_uid = command.affected_sop_instance_uid.as_ref().map(tracing::field::display),
                calling_ae_title,
                address = %self.address,
                status = %reply.status,
                reason = reply.comment,
                "an object was refused, or stored with a warning"
            );
        }
        reply
    }

    async fn try_store(
        &self,
        command: &Command,
        context: &Context,
        body: &Body,
        calling_ae_title: &str,
        feed: &mut dyn Feed,
    ) -> Result<Stored, Reply> {
        let bytes = match body {
            Body::DataSet(bytes, _) => bytes,
            Body::Nothing => return Err(Reply::new(Status::CANNOT_UNDERSTAND, "the request has no data set")),
            Body::TooLarge => return Err(Reply::new(Status::OUT_OF_RESOURCES, "no memory for so large an object now")),
        };
        if !is_storage_class(&context.abstract_syntax) {
            return Err(Reply::new(Status::SOP_CLASS_NOT_SUPPORTED, "the presentation context is not for storage"));
        }
        let header = self.scan(bytes, &context.transfer_syntax).await?;
        let series = identify(&header, command, context)
            .inspect_err(|_| self.services.archive.note_refusal(&header, RefusalCause::Contradiction))?;
        let instance = ReceivedInstance {
            transfer_syntax_uid: uid(&context.transfer_syntax)?,
            data_set: bytes.clone(),
            header,
            origin: Origin::Dimse {
                calling_ae: calling_ae_title.to_owned(),
                address: self.address.ip().to_canonical().to_string(),
            },
        };
        let stored = self.services.archive.store(instance).await.map_err(|error| {
            // The peer is told the kind of failure; the paths and the database's words stay here.
            tracing::error!(%error, "an object cannot be stored");
            Reply::from(&error)
        })?;
        feed.stored(&series, stored);
        Ok(stored)
    }

    /// Pre-scans all bytes and parses the header, on a thread of its own: other associations continue meanwhile, and a
    /// panic of the parser would cost only this object.
    async fn scan(&self, bytes: &Bytes, transfer_syntax_uid: &str) -> Result<DataSet, Reply> {
        let (bytes, syntax, services) = (bytes.clone(), transfer_syntax_uid.to_owned(), Arc::clone(&self.services));
        let read = move || {
            let limits = &services.limits;
            bounded::header(&bytes, &syntax, limits)
                .inspect_err(|error| services.archive.note_unreadable(&bytes, &syntax, limits, error))
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result.map_err(|error| Reply::from(&error)),
            Err(_) => Err(Reply::new(Status::CANNOT_UNDERSTAND, "reading the object failed")),
        }
    }

    async fn abort(&mut self, error: &AssociationError) {
        use AbortRQServiceProviderReason as Reason;
        let reason = match error {
            AssociationError::Aborted
            | AssociationError::Connection(ConnectionError::Closed | ConnectionError::Network(_)) => return,
            AssociationError::Connection(ConnectionError::Read(_)) => Reason::InvalidPduParameter,
            AssociationError::Context(_) | AssociationError::Message(_) => Reason::UnexpectedPduParameter,
            AssociationError::OutOfTurn => Reason::UnexpectedPdu,
            AssociationError::Connection(_) | AssociationError::Shutdown => Reason::ReasonNotSpecified,
        };
        // A peer that is gone needs no abort.
        self.connection.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) }).await.ok();
    }
}

/// The series of an object that is what its request says it is.
fn identify(header: &DataSet, command: &Command, context: &Context) -> Result<SeriesId, Reply> {
    let required = |tag, name: &str| {
        elements::uid(header, tag).ok_or_else(|| Reply::new(Status::DOES_NOT_MATCH, format!("{name} is missing")))
    };
    let class = required(tags::SOP_CLASS_UID, "SOP Class UID")?;
    let instance = required(tags::SOP_INSTANCE_UID, "SOP Instance UID")?;
    let announced = command.affected_sop_class_uid.as_ref();
    if class.as_str() != context.abstract_syntax || announced.is_some_and(|announced| *announced != class) {
        return Err(Reply::new(Status::DOES_NOT_MATCH, "the SOP class is not the one that was announced"));
    }
    if command.affected_sop_instance_uid.as_ref() != Some(&instance) {
        return Err(Reply::new(Status::DOES_NOT_MATCH, "the SOP instance is not the one that was announced"));
    }
    let study = required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?;
    Ok(SeriesId::new(study, required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?))
}

fn uid(text: &str) -> Result<Uid, Reply> {
    Uid::parse(text).map_err(|error| Reply::new(Status::CANNOT_UNDERSTAND, error.to_string()))
}

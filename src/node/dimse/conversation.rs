//! The messages of an association that is established, in both directions.

use std::collections::VecDeque;
use std::future::ready;

use dicom_ul::Pdu;
use dicom_ul::pdu::{AbortRQServiceProviderReason, AbortRQSource, PDataValue, PDataValueType};

use super::command::{Command, Operation, Role};
use super::connection::{Connection, ConnectionError};
use super::message::{Assembler, Message, MessageError};
use super::status::Status;

/// The longest piece of a data set sent in one PDU, whatever the peer allows.
const MAXIMUM_PIECE: usize = 128 << 10;
/// Messages that may wait while an operation is performed: asynchronous operations are not negotiated.
const MAXIMUM_WAITING: usize = 64;

/// Why an association ended before it was released.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssociationError {
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
    #[error("the peer released it before an answer was given")]
    Released,
    #[error("the node shuts down")]
    Shutdown,
}

/// What a peer says.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(Message),
    Release,
}

/// An established association.
pub(super) struct Conversation {
    connection: Connection,
    assembler: Assembler,
    waiting: VecDeque<Incoming>,
    /// Bytes of a message that fit into one PDU for the peer.
    piece: usize,
    last_message_id: u16,
}

impl Conversation {
    /// Goes on with a connection over which an association was negotiated. `maximum_pdu` is the peer's; 0 for no limit.
    pub(super) fn new(connection: Connection, assembler: Assembler, maximum_pdu: u32) -> Self {
        let allowed = if maximum_pdu == 0 { usize::MAX } else { maximum_pdu as usize };
        // The limit counts the value's own header of six bytes; pieces have an even length.
        let piece = allowed.saturating_sub(6).clamp(2, MAXIMUM_PIECE) & !1;
        Self { connection, assembler, waiting: VecDeque::new(), piece, last_message_id: 0 }
    }

    /// True between messages.
    pub(super) fn is_idle(&self) -> bool {
        self.assembler.is_idle() && self.waiting.is_empty()
    }

    /// What came first of what has come and was not dealt with.
    pub(super) fn next(&mut self) -> Option<Incoming> {
        self.waiting.pop_front()
    }

    /// Takes in one PDU. Nothing is lost when this is dropped.
    pub(super) async fn take_in(&mut self) -> Result<(), AssociationError> {
        match self.connection.receive().await? {
            Pdu::PData { data } => {
                for value in data {
                    let message = self.assembler.push(value)?;
                    self.waiting.extend(message.map(Incoming::Message));
                }
            }
            Pdu::ReleaseRQ => self.waiting.push_back(Incoming::Release),
            Pdu::AbortRQ { .. } => return Err(AssociationError::Aborted),
            _ => return Err(AssociationError::OutOfTurn),
        }
        if self.waiting.len() > MAXIMUM_WAITING { Err(AssociationError::OutOfTurn) } else { Ok(()) }
    }

    /// True if the peer has cancelled the request, or wants to leave. Does not wait.
    pub(super) async fn is_cancelled(&mut self, message_id: u16) -> Result<bool, AssociationError> {
        loop {
            tokio::select! {
                biased;
                taken = self.take_in() => taken?,
                () = ready(()) => return Ok(self.take_cancellation(message_id)),
            }
        }
    }

    /// As [`Self::is_cancelled`], of what has been taken in.
    pub(super) fn take_cancellation(&mut self, message_id: u16) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|incoming| !incoming.cancels(message_id));
        self.waiting.len() < before || self.waiting.iter().any(|incoming| matches!(incoming, Incoming::Release))
    }

    /// Sends a request and waits for the answer to it. What else comes meanwhile waits.
    pub(super) async fn request(
        &mut self,
        context_id: u8,
        data_set: &[u8],
        command: impl FnOnce(u16) -> Command,
    ) -> Result<(Status, String), AssociationError> {
        let message_id = self.next_message_id();
        let command = command(message_id);
        self.send(context_id, &command, data_set).await?;
        loop {
            if let Some(answer) = self.take_answer(command.operation, message_id) {
                return Ok(answer);
            }
            if self.waiting.iter().any(|incoming| matches!(incoming, Incoming::Release)) {
                return Err(AssociationError::Released);
            }
            self.take_in().await?;
        }
    }

    /// The identifier of the next request.
    pub(super) fn next_message_id(&mut self) -> u16 {
        self.last_message_id = self.last_message_id.wrapping_add(1).max(1);
        self.last_message_id
    }

    /// Waits for the next message.
    pub(super) async fn message(&mut self) -> Result<Message, AssociationError> {
        loop {
            match self.next() {
                Some(Incoming::Message(message)) => return Ok(message),
                Some(Incoming::Release) => return Err(AssociationError::Released),
                None => self.take_in().await?,
            }
        }
    }

    fn take_answer(&mut self, operation: Operation, message_id: u16) -> Option<(Status, String)> {
        let answers = |incoming: &Incoming| match incoming {
            Incoming::Message(Message { command, .. }) if command.operation == operation => match &command.role {
                Role::Response { to_message_id, status, comment } if *to_message_id == message_id => {
                    Some((*status, comment.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let (place, answer) =
            self.waiting.iter().enumerate().find_map(|(place, each)| Some((place, answers(each)?)))?;
        self.waiting.remove(place);
        Some(answer)
    }

    /// Sends a message; `data_set` is sent where the command says that it has one.
    pub(super) async fn send(
        &mut self,
        context_id: u8,
        command: &Command,
        data_set: &[u8],
    ) -> Result<(), AssociationError> {
        self.send_values(context_id, PDataValueType::Command, &command.encode()).await?;
        if command.has_data_set {
            self.send_values(context_id, PDataValueType::Data, data_set).await?;
        }
        Ok(())
    }

    async fn send_values(
        &mut self,
        context_id: u8,
        value_type: PDataValueType,
        bytes: &[u8],
    ) -> Result<(), AssociationError> {
        let mut pieces = bytes.chunks(self.piece).peekable();
        while let Some(piece) = pieces.next() {
            let value = PDataValue {
                presentation_context_id: context_id,
                value_type: value_type.clone(),
                is_last: pieces.peek().is_none(),
                data: piece.to_vec(),
            };
            self.connection.send(&Pdu::PData { data: vec![value] }).await?;
        }
        Ok(())
    }

    /// Agrees to the release that the peer asked for.
    pub(super) async fn agree_to_release(&mut self) -> Result<(), AssociationError> {
        Ok(self.connection.send(&Pdu::ReleaseRP).await?)
    }

    /// Releases the association and closes the connection.
    pub(super) async fn release(mut self) {
        // Everything was answered before: a peer that is gone has what it needs.
        if self.connection.send(&Pdu::ReleaseRQ).await.is_ok() {
            while let Ok(Pdu::PData { .. }) = self.connection.receive().await {}
        }
        self.connection.close().await;
    }

    /// Closes the connection; after an error the peer is told of it, if it is still there.
    pub(super) async fn close(mut self, error: Option<&AssociationError>) {
        if let Some(error) = error {
            abort(&mut self.connection, error).await;
        }
        self.connection.close().await;
    }
}

impl Incoming {
    fn cancels(&self, message_id: u16) -> bool {
        let Self::Message(Message { command, .. }) = self else { return false };
        command.operation == Operation::Cancel && command.role == Role::Request { message_id }
    }
}

/// Tells the peer why the association ends, if it is still there.
pub(super) async fn abort(connection: &mut Connection, error: &AssociationError) {
    use AbortRQServiceProviderReason as Reason;
    let reason = match error {
        AssociationError::Aborted
        | AssociationError::Released
        | AssociationError::Connection(ConnectionError::Closed | ConnectionError::Network(_)) => return,
        AssociationError::Connection(
            ConnectionError::Read(_) | ConnectionError::Request(_) | ConnectionError::LongRequest(_),
        ) => Reason::InvalidPduParameter,
        AssociationError::Context(_) | AssociationError::Message(_) => Reason::UnexpectedPduParameter,
        AssociationError::OutOfTurn | AssociationError::Connection(ConnectionError::NoRequest) => Reason::UnexpectedPdu,
        AssociationError::Connection(_) | AssociationError::Shutdown => Reason::ReasonNotSpecified,
    };
    // A peer that is gone needs no abort.
    connection.send(&Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) }).await.ok();
}

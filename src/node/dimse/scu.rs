//! The service class user: C-ECHO, and C-STORE of DICOM files. Each file is sent in the transfer syntax that it is
//! stored in if the peer accepts that, and decompressed otherwise.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};
use dicom_ul::Pdu;
use dicom_ul::association::client::AsyncClientAssociation;
use dicom_ul::association::{Association as _, ClientAssociationOptions};
use dicom_ul::pdu::{PDataValue, PDataValueType};
use tokio::net::TcpStream;

pub use super::command::MoveOriginator;
use super::command::{Command, Operation, Role};
use super::message::{Assembler, MessageError};
use super::status::Status;
use super::{VERIFICATION, describe};
use crate::causes::with_causes;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::StoredInstance;
use crate::node::memory::Budget;

/// What every storage provider accepts; this user falls back to it.
const UNCOMPRESSED: [&str; 2] = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
/// Presentation contexts have odd identifiers of one byte (PS3.8 9.3.2.2).
const MAXIMUM_CONTEXTS: usize = 128;
/// The longest piece of a data set sent in one PDU, whatever the peer allows.
const MAXIMUM_PIECE: usize = 128 << 10;
/// Enough of a file for its file meta information, in all but odd cases.
const META_BYTES: u64 = 16 << 10;

/// Memory for data sets in answers, which C-ECHO and C-STORE do not have.
const ANSWER_BYTES: u64 = 1 << 20;

/// Another application entity, and who calls it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Host and port.
    pub address: String,
    /// Called AE title.
    pub called: AeTitle,
    /// Calling AE title.
    pub calling: AeTitle,
    /// How long to wait for the connection, and for each answer.
    pub timeout: Duration,
    /// Whose C-MOVE the objects are sent for; `None` where the node sends them by itself.
    pub originator: Option<MoveOriginator>,
}

/// Why an association could not be established, or failed later.
#[derive(Debug, thiserror::Error)]
pub enum ScuError {
    /// No association.
    #[error("associating with {called} at {address}: {reason}")]
    Associate {
        /// Host and port.
        address: String,
        /// Called AE title.
        called: AeTitle,
        /// What went wrong.
        reason: String,
    },
    /// The association broke.
    #[error("the association broke: {0}")]
    Broken(String),
    /// The peer does not offer verification, or answered with a failure.
    #[error("the peer answered C-ECHO with status {0}")]
    Echo(Status),
}

/// A DICOM file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The file.
    pub path: PathBuf,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// Transfer syntax it is stored in.
    pub transfer_syntax_uid: String,
}

impl From<&StoredInstance> for Outgoing {
    fn from(object: &StoredInstance) -> Self {
        Self {
            path: object.path.clone(),
            sop_class_uid: object.sop_class_uid.clone(),
            sop_instance_uid: object.sop_instance_uid.clone(),
            transfer_syntax_uid: object.transfer_syntax_uid.to_string(),
        }
    }
}

impl Outgoing {
    /// Reads what negotiation needs from a file: its file meta information, or the data set where that lacks it.
    pub fn identify(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        use std::io::Read;
        let mut start = Vec::new();
        std::fs::File::open(path)?.take(META_BYTES).read_to_end(&mut start)?;
        if let Ok(parts) = bounded::split(&start)
            && let (Some(sop_class_uid), Some(sop_instance_uid)) = (parts.sop_class_uid, parts.sop_instance_uid)
        {
            let transfer_syntax_uid = parts.transfer_syntax_uid;
            return Ok(Self { path: path.to_owned(), sop_class_uid, sop_instance_uid, transfer_syntax_uid });
        }
        let bytes = bounded::read(path, limits)?;
        let parts = bounded::split(&bytes)?;
        let header = bounded::header(parts.data_set, &parts.transfer_syntax_uid, limits)?;
        let uid = |tag, name: &str| {
            elements::uid(&header, tag).ok_or_else(|| ReadError::Unreadable(format!("{name} is missing or not usable")))
        };
        Ok(Self {
            path: path.to_owned(),
            sop_class_uid: uid(tags::SOP_CLASS_UID, "SOP Class UID")?,
            sop_instance_uid: uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            transfer_syntax_uid: parts.transfer_syntax_uid,
        })
    }
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The peer has it; the status is a success or a warning.
    Stored(Status),
    /// The peer refused it, with its words if it had any.
    Refused(Status, String),
    /// It could not be sent: it cannot be read, or not be converted to a transfer syntax that the peer accepts.
    Unsendable(String),
    /// The association broke at it: sent, in whole or in part, and not answered.
    Unanswered(String),
    /// It was not sent, because the peer could not be reached or broke one association after the other.
    Unsent(String),
}

impl SendOutcome {
    /// True if the peer has the object.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}

impl std::fmt::Display for SendOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stored(Status::SUCCESS) => write!(formatter, "stored"),
            Self::Stored(status) => write!(formatter, "stored with warning {status}"),
            Self::Refused(status, comment) if comment.is_empty() => write!(formatter, "refused with status {status}"),
            Self::Refused(status, comment) => write!(formatter, "refused with status {status}: {comment}"),
            Self::Unsendable(reason) => write!(formatter, "cannot be sent: {reason}"),
            Self::Unanswered(reason) => write!(formatter, "not answered: {reason}"),
            Self::Unsent(reason) => write!(formatter, "not sent: {reason}"),
        }
    }
}

/// Asks a peer for an answer (C-ECHO).
pub async fn echo(peer: &Peer) -> Result<(), ScuError> {
    let contexts = [(VERIFICATION.to_owned(), vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()])];
    let mut association = Association::establish(peer, &contexts).await?;
    let (context_id, _) = association
        .context(VERIFICATION, None)
        .ok_or_else(|| ScuError::Broken("the peer accepted a transfer syntax it was not offered".to_owned()))?;
    let message_id = association.send_command(context_id, Command::echo).await?;
    let (status, _) = association.answer(Operation::Echo, message_id).await?;
    association.release().await;
    if status == Status::SUCCESS { Ok(()) } else { Err(ScuError::Echo(status)) }
}

/// Stores files at a peer. `each` is called with every outcome as it comes and the object's place in `objects`; all
/// outcomes are returned in order.
///
/// If the association breaks at an object, those after it are sent over another one. If that breaks at its first object
/// too, the peer is at fault, and the rest is not sent.
pub async fn store(
    peer: &Peer,
    objects: &[Outgoing],
    limits: &Limits,
    mut each: impl FnMut(usize, &SendOutcome),
) -> Vec<SendOutcome> {
    let mut outcomes: Vec<SendOutcome> = Vec::with_capacity(objects.len());
    let mut note = |outcomes: &mut Vec<SendOutcome>, outcome: SendOutcome| {
        each(outcomes.len(), &outcome);
        outcomes.push(outcome);
    };
    while outcomes.len() < objects.len() {
        let (batch, contexts) = plan(&objects[outcomes.len()..]);
        let broke_before = matches!(outcomes.last(), Some(SendOutcome::Unanswered(_)));
        let end = match Association::establish(peer, &contexts).await {
            Ok(association) => {
                let first = outcomes.len();
                let end = association.store_all(batch, limits, |outcome| note(&mut outcomes, outcome)).await;
                end.err().filter(|_| broke_before && outcomes.len() == first + 1)
            }
            Err(error) => Some(error),
        };
        if let Some(error) = end {
            while outcomes.len() < objects.len() {
                note(&mut outcomes, SendOutcome::Unsent(error.to_string()));
            }
        }
    }
    outcomes
}

/// Abstract syntax and transfer syntaxes of a presentation context to propose.
type Proposal = (String, Vec<String>);

/// The objects one association can carry, and what it proposes. For each class, each transfer syntax in use has a
/// context of its own, because a peer accepts only one per context. One more context has the uncompressed ones.
fn plan(objects: &[Outgoing]) -> (&[Outgoing], Vec<Proposal>) {
    let mut stored = BTreeSet::new();
    let mut classes = BTreeSet::new();
    let mut count = 0;
    for object in objects {
        let class = object.sop_class_uid.as_str();
        let more_stored = !stored.contains(&(class, object.transfer_syntax_uid.as_str()));
        let more_classes = !classes.contains(class);
        if stored.len() + classes.len() + usize::from(more_stored) + usize::from(more_classes) > MAXIMUM_CONTEXTS {
            break;
        }
        stored.insert((class, object.transfer_syntax_uid.as_str()));
        classes.insert(class);
        count += 1;
    }
    let exact = stored.iter().map(|(class, syntax)| ((*class).to_owned(), vec![(*syntax).to_owned()]));
    let fallback = classes.iter().map(|class| ((*class).to_owned(), UNCOMPRESSED.map(str::to_owned).to_vec()));
    (&objects[..count], exact.chain(fallback).collect())
}

/// An association that this node requested.
struct Association {
    inner: AsyncClientAssociation<TcpStream>,
    assembler: Assembler,
    originator: Option<MoveOriginator>,
    last_message_id: u16,
}

impl From<MessageError> for ScuError {
    fn from(error: MessageError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<dicom_ul::association::Error> for ScuError {
    fn from(error: dicom_ul::association::Error) -> Self {
        Self::Broken(describe(&error))
    }
}

impl Association {
    async fn establish(peer: &Peer, contexts: &[Proposal]) -> Result<Self, ScuError> {
        let failed =
            |reason| ScuError::Associate { address: peer.address.clone(), called: peer.called.clone(), reason };
        let mut options = ClientAssociationOptions::new()
            .calling_ae_title(peer.calling.as_str())
            .called_ae_title(peer.called.as_str())
            .connection_timeout(peer.timeout)
            .read_timeout(peer.timeout)
            .write_timeout(peer.timeout);
        for (abstract_syntax, transfer_syntaxes) in contexts {
            options = options.with_presentation_context(abstract_syntax.clone(), transfer_syntaxes.clone());
        }
        let mut inner =
            options.establish_async(peer.address.as_str()).await.map_err(|error| failed(describe(&error)))?;
        // Without it the last piece of each object waits for an acknowledgement that many systems delay.
        inner.inner_stream().set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let assembler = Assembler::new(Budget::new(ANSWER_BYTES));
        Ok(Self { inner, assembler, originator: peer.originator.clone(), last_message_id: 0 })
    }

    /// An accepted context for a class: the one with `transfer_syntax`, or else an uncompressed one.
    fn context(&self, abstract_syntax: &str, transfer_syntax: Option<&str>) -> Option<(u8, String)> {
        let accepted = |wanted: &str| {
            self.inner.presentation_contexts().iter().find(|context| {
                context.abstract_syntax == abstract_syntax && context.transfer_syntax.trim_end_matches('\0') == wanted
            })
        };
        let context = transfer_syntax.and_then(accepted).or_else(|| UNCOMPRESSED.into_iter().find_map(accepted))?;
        Some((context.id, context.transfer_syntax.trim_end_matches('\0').to_owned()))
    }

    /// Stores one object after the other and releases the association, or ends at the object at which it broke.
    async fn store_all(
        mut self,
        objects: &[Outgoing],
        limits: &Limits,
        mut note: impl FnMut(SendOutcome),
    ) -> Result<(), ScuError> {
        for object in objects {
            match self.store(object, limits).await {
                Ok(outcome) => note(outcome),
                Err(error) => {
                    note(SendOutcome::Unanswered(error.to_string()));
                    return Err(error);
                }
            }
        }
        self.release().await;
        Ok(())
    }

    async fn store(&mut self, object: &Outgoing, limits: &Limits) -> Result<SendOutcome, ScuError> {
        let class = object.sop_class_uid.as_str();
        let Some((context_id, transfer_syntax)) = self.context(class, Some(&object.transfer_syntax_uid)) else {
            return Ok(SendOutcome::Unsendable(format!("the peer accepts no objects of class {class}")));
        };
        let bytes = {
            let (object, limits) = (object.clone(), *limits);
            let encoded = tokio::task::spawn_blocking(move || encode(&object, &transfer_syntax, &limits)).await;
            match encoded.unwrap_or(Err(EncodeError::Panicked)) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(SendOutcome::Unsendable(error.to_string())),
            }
        };
        let originator = self.originator.clone();
        let message_id = self
            .send_command(context_id, |message_id| {
                let (class, instance) = (object.sop_class_uid.clone(), object.sop_instance_uid.clone());
                Command::store(message_id, class, instance).on_behalf_of(originator)
            })
            .await?;
        self.send_values(context_id, PDataValueType::Data, &bytes).await?;
        let (status, comment) = self.answer(Operation::Store, message_id).await?;
        Ok(if status.is_stored() { SendOutcome::Stored(status) } else { SendOutcome::Refused(status, comment) })
    }

    async fn send_command(&mut self, context_id: u8, command: impl FnOnce(u16) -> Command) -> Result<u16, ScuError> {
        self.last_message_id = self.last_message_id.wrapping_add(1);
        let command = command(self.last_message_id);
        self.send_values(context_id, PDataValueType::Command, &command.encode()).await?;
        Ok(self.last_message_id)
    }

    async fn send_values(&mut self, context_id: u8, value_type: PDataValueType, bytes: &[u8]) -> Result<(), ScuError> {
        // The peer's limit counts the value's own header of six bytes; pieces have an even length.
        let allowed = (self.inner.peer_max_pdu_length() as usize).saturating_sub(6).clamp(2, MAXIMUM_PIECE) & !1;
        let mut pieces = bytes.chunks(allowed).peekable();
        while let Some(piece) = pieces.next() {
            let value = PDataValue {
                presentation_context_id: context_id,
                value_type: value_type.clone(),
                is_last: pieces.peek().is_none(),
                data: piece.to_vec(),
            };
            self.inner.send(&Pdu::PData { data: vec![value] }).await?;
        }
        Ok(())
    }

    /// Waits for the answer to a request.
    async fn answer(&mut self, operation: Operation, message_id: u16) -> Result<(Status, String), ScuError> {
        loop {
            let data = match self.inner.receive().await? {
                Pdu::PData { data } => data,
                Pdu::AbortRQ { .. } => return Err(ScuError::Broken("the peer aborted it".to_owned())),
                _ => return Err(ScuError::Broken("the peer sent a PDU out of turn".to_owned())),
            };
            for value in data {
                let Some(message) = self.assembler.push(value)? else { continue };
                return match message.command.role {
                    Role::Response { to_message_id, status, comment }
                        if to_message_id == message_id && message.command.operation == operation =>
                    {
                        Ok((status, comment))
                    }
                    _ => Err(ScuError::Broken("the peer answered another request".to_owned())),
                };
            }
        }
    }

    /// Releases the association. A peer that does not answer the release has all objects already.
    async fn release(self) {
        if let Err(error) = self.inner.release().await {
            tracing::debug!(reason = describe(&error), "an association was not released in order");
        }
    }
}

/// Why an object cannot be sent in the transfer syntax that the peer accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading it failed")]
    Panicked,
    #[error("the peer chose a transfer syntax that is unknown")]
    Unknown,
    #[error("{from} cannot be turned into {to}: {reason}")]
    Rewrite { from: String, to: String, reason: String },
}

/// The data set of a file in a transfer syntax: its own bytes where it is stored in it, otherwise rewritten.
pub(super) fn encode(object: &Outgoing, transfer_syntax: &str, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let bytes = bounded::read(&object.path, limits)?;
    let parts = bounded::split(&bytes)?;
    if parts.transfer_syntax_uid == transfer_syntax {
        return Ok(parts.data_set.to_vec());
    }
    let target = TransferSyntaxRegistry.get(transfer_syntax).ok_or(EncodeError::Unknown)?;
    let data_set = bounded::data_set(parts.data_set, &parts.transfer_syntax_uid, limits)?;
    rewritten(object, data_set, &parts.transfer_syntax_uid, target).map_err(|error| EncodeError::Rewrite {
        from: parts.transfer_syntax_uid,
        to: transfer_syntax.to_owned(),
        reason: with_causes(error.as_ref()),
    })
}

fn rewritten(
    object: &Outgoing,
    data_set: DataSet,
    from: &str,
    to: &TransferSyntax,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(from)
        .media_storage_sop_class_uid(object.sop_class_uid.as_str())
        .media_storage_sop_instance_uid(object.sop_instance_uid.as_str())
        .build()?;
    let mut file = data_set.with_exact_meta(meta);
    file.transcode(to)?;
    let mut bytes = Vec::new();
    file.write_dataset(&mut bytes)?;
    Ok(bytes)
}

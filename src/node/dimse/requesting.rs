//! An association that the node requests: as the user of a service, or as its provider, its role negotiated
//! ([PS3.8 7.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/chapter_7.html),
//! [PS3.7 D.3.3.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.4.html)).

use std::collections::BTreeSet;

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserVariableItem, read_pdu, write_pdu,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::acceptance;
use super::connection::Connection;
use super::conversation::Conversation;
use super::message::Assembler;
use super::negotiation::{DICOM_APPLICATION_CONTEXT, UNCOMPRESSED};
use super::scu::{Peer, ScuError};
use crate::causes::with_causes;
use crate::dicom::implementation;
use crate::node::memory::Budget;

/// The longest PDU that the peer may send. An answer with 128 contexts has less than 10 kB.
const MAXIMUM_PDU: u32 = 128 << 10;
/// The peer's limit where it states none: the usual one.
const USUAL_MAXIMUM_PDU: u32 = 16 << 10;
/// Memory for data sets of the peer: one match of a query, or one report of a commitment, at a time.
const ANSWER_BYTES: u64 = 4 << 20;

/// A presentation context to propose, and the role of the node in it where it is not that of the user.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntaxes: Vec<String>,
    pub(super) roles: Option<RequestorRoles>,
}

impl Proposal {
    /// A service that is exchanged in messages without pixels.
    pub(super) fn service(class: &str) -> Self {
        Self::new(class, &UNCOMPRESSED)
    }

    pub(super) fn new(class: &str, transfer_syntaxes: &[&str]) -> Self {
        let transfer_syntaxes = transfer_syntaxes.iter().map(|uid| (*uid).to_owned()).collect();
        Self { abstract_syntax: class.to_owned(), transfer_syntaxes, roles: None }
    }

    /// The same with roles to negotiate.
    pub(super) fn with_roles(self, roles: RequestorRoles) -> Self {
        Self { roles: Some(roles), ..self }
    }
}

/// A presentation context, as it was negotiated.
struct Context {
    id: u8,
    abstract_syntax: String,
    answer: Answer,
}

/// What the peer said to a presentation context.
enum Answer {
    /// Accepted, with this transfer syntax.
    Accepted(String),
    /// Not usable, for this reason.
    Rejected(String),
}

/// An association that the node requested.
pub(super) struct Requested {
    pub(super) conversation: Conversation,
    contexts: Vec<Context>,
}

impl Requested {
    /// Connects and negotiates. A peer that rejects every context has not failed: it has said something of each class.
    pub(super) async fn associate(peer: &Peer, proposals: &[Proposal]) -> Result<Self, ScuError> {
        let propose = |(id, proposal): (u8, &Proposal)| PresentationContextProposed {
            id,
            abstract_syntax: proposal.abstract_syntax.clone(),
            transfer_syntaxes: proposal.transfer_syntaxes.clone(),
        };
        let proposed: Vec<_> = (1..=u8::MAX).step_by(2).zip(proposals).map(propose).collect();
        let request = request(peer, proposed.clone(), proposals);
        let negotiated = tokio::time::timeout(peer.timeout, negotiate(peer, &request)).await;
        let (stream, answer) =
            negotiated.map_err(|_| peer.unreachable(format_args!("no answer within {:?}", peer.timeout)))??;
        let connection = Connection::new(stream, MAXIMUM_PDU, peer.timeout);
        let assembler = Assembler::new(Budget::new(ANSWER_BYTES));
        Ok(Self {
            conversation: Conversation::new(connection, assembler, maximum_pdu(&answer)),
            contexts: proposed.into_iter().map(|context| Context::new(context, &answer)).collect(),
        })
    }

    /// An accepted context for a class: the one with `transfer_syntax`, or else an uncompressed one.
    pub(super) fn context(&self, class: &str, transfer_syntax: Option<&str>) -> Option<(u8, String)> {
        let accepted = |wanted: &str| {
            let mut of_class = self.contexts.iter().filter(|context| context.abstract_syntax == class);
            let found =
                of_class.find(|context| matches!(&context.answer, Answer::Accepted(syntax) if syntax == wanted));
            found.map(|context| (context.id, wanted.to_owned()))
        };
        transfer_syntax.and_then(accepted).or_else(|| UNCOMPRESSED.into_iter().find_map(accepted))
    }

    /// The context of a service that is exchanged in messages without pixels.
    pub(super) fn service(&self, class: &str) -> Result<(u8, String), ScuError> {
        self.context(class, None).ok_or_else(|| ScuError::NotOffered(self.refusal(class)))
    }

    /// Why no context for a class can be used.
    pub(super) fn refusal(&self, class: &str) -> String {
        let of_class = self.contexts.iter().filter(|context| context.abstract_syntax == class);
        let reasons: BTreeSet<&str> = of_class
            .filter_map(|context| match &context.answer {
                Answer::Accepted(_) => None,
                Answer::Rejected(reason) => Some(reason.as_str()),
            })
            .collect();
        let reasons: Vec<&str> = reasons.into_iter().collect();
        format!("the peer does not take class {class}: {}", reasons.join(", "))
    }
}

impl Context {
    fn new(proposed: PresentationContextProposed, answer: &AssociationAC) -> Self {
        let result = answer.presentation_contexts.iter().find(|result| result.id == proposed.id);
        let answer = match result {
            Some(PresentationContextResult {
                reason: PresentationContextResultReason::Acceptance,
                transfer_syntax,
                ..
            }) => {
                let chosen = transfer_syntax.trim_matches([' ', '\0']);
                if proposed.transfer_syntaxes.iter().any(|one| one == chosen) {
                    Answer::Accepted(chosen.to_owned())
                } else {
                    Answer::Rejected("accepted in a transfer syntax that was not proposed".to_owned())
                }
            }
            Some(PresentationContextResult { reason, .. }) => Answer::Rejected(reason.to_string()),
            None => Answer::Rejected("no answer to the proposal".to_owned()),
        };
        Self { id: proposed.id, abstract_syntax: proposed.abstract_syntax, answer }
    }
}

/// The longest PDU that the peer receives; 0 for no limit (PS3.8 D.1).
fn maximum_pdu(answer: &AssociationAC) -> u32 {
    let stated = answer.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    stated.unwrap_or(USUAL_MAXIMUM_PDU)
}

fn request(peer: &Peer, proposed: Vec<PresentationContextProposed>, proposals: &[Proposal]) -> Pdu {
    let mut user_variables = vec![
        UserVariableItem::MaxLength(MAXIMUM_PDU),
        UserVariableItem::ImplementationClassUID(implementation::CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(implementation::VERSION_NAME.to_owned()),
    ];
    user_variables.extend(proposals.iter().filter_map(|proposal| {
        let roles = proposal.roles?;
        Some(UserVariableItem::ScuScpRoleSelectionSubItem(proposal.abstract_syntax.clone(), roles))
    }));
    Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: peer.calling.to_string(),
        called_ae_title: peer.called.to_string(),
        application_context_name: DICOM_APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: proposed,
        user_variables,
    })
}

/// Connects, requests the association and reads the answer: the acceptance, or why there is none.
async fn negotiate(peer: &Peer, request: &Pdu) -> Result<(TcpStream, AssociationAC), ScuError> {
    let network = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => peer.unreachable("the peer closed the connection without an answer"),
        _ => peer.unreachable(error),
    };
    let mut stream = TcpStream::connect(peer.address.as_str()).await.map_err(network)?;
    // Without it the last piece of each object waits for an acknowledgement that many systems delay.
    stream.set_nodelay(true).map_err(network)?;
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, request).map_err(|error| peer.unreachable(with_causes(&error)))?;
    stream.write_all(&bytes).await.map_err(network)?;
    let answer = first_pdu(&mut stream).await.map_err(network)?;
    match read_pdu(acceptance::readable(&answer), MAXIMUM_PDU, true) {
        Ok(Some(Pdu::AssociationAC(accepted))) => Ok((stream, accepted)),
        Ok(Some(Pdu::AssociationRJ(rejected))) => {
            Err(peer.unreachable(format_args!("association rejected: {}", rejected.source)))
        }
        Ok(Some(Pdu::AbortRQ { .. })) => Err(peer.unreachable("the peer aborted the association")),
        Ok(_) => Err(peer.unreachable("the peer sent a PDU out of turn")),
        Err(error) => Err(peer.unreachable(format_args!("the answer cannot be read: {}", with_causes(&error)))),
    }
}

/// The bytes of the first PDU: after an acceptance nothing follows unasked.
pub(super) async fn first_pdu(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut pdu = vec![0; 6];
    stream.read_exact(&mut pdu).await?;
    let length = u32::from_be_bytes([pdu[2], pdu[3], pdu[4], pdu[5]]);
    if length > MAXIMUM_PDU {
        return Err(std::io::Error::other(format!("the answer claims {length} bytes; is this a DICOM service?")));
    }
    stream.take(u64::from(length)).read_to_end(&mut pdu).await?;
    if pdu.len() < 6 + length as usize {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(pdu)
}

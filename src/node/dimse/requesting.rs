//! An association that the node opens to act as the provider of a service, its role negotiated
//! ([PS3.7 D.3.3.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.4.html)).

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResultReason, RequestorRoles,
    UserVariableItem,
};
use tokio::net::TcpStream;

use super::connection::{Connection, ConnectionError};
use super::conversation::Conversation;
use super::message::Assembler;
use super::negotiation::{DICOM_APPLICATION_CONTEXT, UNCOMPRESSED};
use super::scu::Peer;
use crate::dicom::implementation;
use crate::node::memory::Budget;

/// The longest PDU that the peer may send: answers without data sets.
const MAXIMUM_PDU: u32 = 64 << 10;
/// Memory for data sets in answers, which there are none of.
const ANSWER_BYTES: u64 = 1 << 20;
/// The identifier of the only presentation context.
const CONTEXT_ID: u8 = 1;

/// Why there is no association.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestingError {
    #[error("connecting to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("connecting to {address} takes longer than {timeout:?}")]
    Slow { address: String, timeout: std::time::Duration },
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the peer rejects the association")]
    Rejected,
    #[error("the peer does not accept the service")]
    NotAccepted,
    #[error("the peer does not answer with an acceptance")]
    OutOfTurn,
}

/// An association with one presentation context.
pub(super) struct Requested {
    pub(super) conversation: Conversation,
    pub(super) context_id: u8,
    pub(super) transfer_syntax: String,
}

/// Opens an association for one class, with the roles that the node wants.
pub(super) async fn associate(peer: &Peer, class: &str, roles: RequestorRoles) -> Result<Requested, RequestingError> {
    let mut connection = Connection::new(connect(peer).await?, MAXIMUM_PDU, peer.timeout);
    connection.send(&Pdu::AssociationRQ(request(peer, class, roles))).await?;
    let answer = match connection.receive().await? {
        Pdu::AssociationAC(answer) => answer,
        Pdu::AssociationRJ(_) => return Err(RequestingError::Rejected),
        _ => return Err(RequestingError::OutOfTurn),
    };
    let accepted = answer
        .presentation_contexts
        .iter()
        .find(|context| context.id == CONTEXT_ID && context.reason == PresentationContextResultReason::Acceptance);
    let transfer_syntax = accepted.map(|context| context.transfer_syntax.trim_matches([' ', '\0']).to_owned());
    let assembler = Assembler::new(Budget::new(ANSWER_BYTES));
    let conversation = Conversation::new(connection, assembler, maximum_pdu(&answer));
    let Some(transfer_syntax) = transfer_syntax.filter(|syntax| UNCOMPRESSED.contains(&syntax.as_str())) else {
        conversation.release().await;
        return Err(RequestingError::NotAccepted);
    };
    Ok(Requested { conversation, context_id: CONTEXT_ID, transfer_syntax })
}

async fn connect(peer: &Peer) -> Result<TcpStream, RequestingError> {
    let address = || peer.address.clone();
    match tokio::time::timeout(peer.timeout, TcpStream::connect(&peer.address)).await {
        Ok(connected) => connected.map_err(|source| RequestingError::Connect { address: address(), source }),
        Err(_) => Err(RequestingError::Slow { address: address(), timeout: peer.timeout }),
    }
}

fn request(peer: &Peer, class: &str, roles: RequestorRoles) -> AssociationRQ {
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: peer.calling.to_string(),
        called_ae_title: peer.called.to_string(),
        application_context_name: DICOM_APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: vec![PresentationContextProposed {
            id: CONTEXT_ID,
            abstract_syntax: class.to_owned(),
            transfer_syntaxes: UNCOMPRESSED.map(str::to_owned).to_vec(),
        }],
        user_variables: vec![
            UserVariableItem::MaxLength(MAXIMUM_PDU),
            UserVariableItem::ImplementationClassUID(implementation::CLASS_UID.to_owned()),
            UserVariableItem::ImplementationVersionName(implementation::VERSION_NAME.to_owned()),
            UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), roles),
        ],
    }
}

/// The longest PDU that the peer receives; 0 for no limit.
fn maximum_pdu(answer: &AssociationAC) -> u32 {
    let stated = answer.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    stated.unwrap_or(0)
}

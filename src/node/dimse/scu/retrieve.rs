//! Having objects sent ([PS3.4 C.4.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.4.2.html)),
//! in the Study Root information model.

use dicom_dictionary_std::uids;

use super::super::command::{Operation, Role, SubOperations};
use super::super::encoding;
use super::super::requesting::{Proposal, Requested};
use super::super::status::Status;
use super::find::query;
use super::peer::{Peer, ScuError};
use crate::dicom::AeTitle;
use crate::dicom::elements::DataSet;

const MODEL: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
const REQUEST: &str = "C-MOVE";

/// How many objects a peer says that it has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retrieved {
    /// Sent and taken, some with a warning.
    pub completed: u16,
    /// Not sent, or not taken.
    pub failed: u16,
    /// Still to be sent.
    pub remaining: u16,
}

impl From<SubOperations> for Retrieved {
    fn from(counts: SubOperations) -> Self {
        Self {
            completed: counts.completed.saturating_add(counts.warning),
            failed: counts.failed,
            remaining: counts.remaining.unwrap_or_default(),
        }
    }
}

/// Has a peer send what an identifier names to an application entity that it knows. `each` is called as the peer tells
/// how far it is.
///
/// # Errors
/// The peer refuses the request as a whole. That some objects are not sent is no error; [`Retrieved`] counts them.
pub async fn retrieve(
    peer: &Peer,
    destination: &AeTitle,
    identifier: &DataSet,
    mut each: impl FnMut(Retrieved),
) -> Result<Retrieved, ScuError> {
    let mut association = Requested::associate(peer, &[Proposal::service(MODEL)]).await?;
    let (context_id, transfer_syntax) = association.service(MODEL)?;
    let message_id = association.conversation.next_message_id();
    let mut request = query(message_id, Operation::Move, MODEL);
    request.details.move_destination = Some(destination.to_string());
    let data_set = encoding::encode(identifier.clone(), &transfer_syntax);
    association.conversation.send(context_id, &request, &data_set).await?;
    loop {
        let command = association.conversation.message().await?.command;
        let (status, comment) = match command.role {
            Role::Response { to_message_id, status, comment } if to_message_id == message_id => (status, comment),
            _ => return Err(ScuError::Broken("the peer answered another request".to_owned())),
        };
        let counts = command.details.sub_operations.map(Retrieved::from);
        match (status, counts) {
            (status, counts) if status.is_pending() => counts.into_iter().for_each(&mut each),
            (Status::SUCCESS, counts) => {
                association.conversation.release().await;
                return Ok(counts.unwrap_or_default());
            }
            // Some objects were not sent: the counts say how many.
            (_, Some(counts)) if counts.completed > 0 => {
                association.conversation.release().await;
                return Ok(counts);
            }
            _ => return Err(ScuError::Refused { request: REQUEST, status, comment }),
        }
    }
}

//! C-ECHO.

use dicom_dictionary_std::uids;

use super::super::VERIFICATION;
use super::super::command::Command;
use super::super::requesting::{Proposal, Requested};
use super::super::status::Status;
use super::peer::{Peer, ScuError};

/// Asks a peer for an answer (C-ECHO).
pub async fn echo(peer: &Peer) -> Result<(), ScuError> {
    let proposals = [Proposal::new(VERIFICATION, &[uids::IMPLICIT_VR_LITTLE_ENDIAN])];
    let mut requested = Requested::associate(peer, &proposals).await?;
    let (context_id, _) = requested.service(VERIFICATION)?;
    let (status, comment) = requested.conversation.request(context_id, &[], Command::echo).await?;
    requested.conversation.release().await;
    if status == Status::SUCCESS { Ok(()) } else { Err(ScuError::Refused { request: "C-ECHO", status, comment }) }
}

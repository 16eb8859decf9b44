//! How results get to a destination.

use super::answers::Answers;
use super::dicom::DicomSender;
use super::stow;
use crate::config::Transport;
use crate::dicom::AeTitle;
use crate::dicom::bounded::Limits;
use crate::node::archive::StoredInstance;
use crate::node::dicomweb::client::{ClientError, StowClient};

/// Sends to one destination.
pub(super) enum Sender {
    Dicom(DicomSender),
    Stow(StowClient),
}

impl Sender {
    pub(super) fn new(transport: &Transport, calling: &AeTitle, limits: Limits) -> Result<Self, ClientError> {
        Ok(match transport {
            Transport::Dicom(destination) => Self::Dicom(DicomSender::new(destination, calling, limits)),
            Transport::Stow { url, authorization } => Self::Stow(StowClient::new(url, authorization)?),
        })
    }

    /// Sends objects; each has one outcome.
    pub(super) async fn send(&self, objects: &[StoredInstance], answers: &mut impl Answers) {
        match self {
            Self::Dicom(sender) => sender.send(objects, answers).await,
            Self::Stow(client) => stow::send(client, objects, answers).await,
        }
    }
}

//! Another application entity, and what can go wrong with it.

use std::time::Duration;

use super::super::command::MoveOriginator;
use super::super::connection::ConnectionError;
use super::super::conversation::AssociationError;
use super::super::status::Status;
use super::outcome::refused;
use crate::dicom::AeTitle;
use crate::dicom::bounded::ReadError;

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

impl Peer {
    pub(in super::super) fn unreachable(&self, reason: impl std::fmt::Display) -> ScuError {
        ScuError::Associate { address: self.address.clone(), called: self.called.clone(), reason: reason.to_string() }
    }
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
    /// The peer does not offer a service.
    #[error("{0}")]
    NotOffered(String),
    /// The peer answered with a failure.
    #[error("{request} was {}", refused(*.status, .comment))]
    Refused {
        /// The request.
        request: &'static str,
        /// Its status.
        status: Status,
        /// Its words, if it had any.
        comment: String,
    },
    /// The peer answered with something that cannot be read.
    #[error("the answer to {request}: {reason}")]
    Answer {
        /// The request.
        request: &'static str,
        /// What is wrong with it.
        reason: ReadError,
    },
    /// The peer found more than this program keeps in memory.
    #[error("the peer found more than {0} objects; ask for less")]
    TooMany(usize),
}

impl From<AssociationError> for ScuError {
    fn from(error: AssociationError) -> Self {
        Self::Broken(match error {
            // Its words name the setting for callers of this node.
            AssociationError::Connection(ConnectionError::Idle(timeout)) => format!("no answer within {timeout:?}"),
            other => other.to_string(),
        })
    }
}

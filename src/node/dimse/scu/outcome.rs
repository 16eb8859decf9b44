//! What became of an object that was sent.

use super::super::status::Status;

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The peer has it; the status is a success or a warning.
    Stored(Status),
    /// The peer refused it, with its words if it had any.
    Refused(Status, String),
    /// The peer takes no objects of its class.
    ClassRefused(String),
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
            Self::Refused(status, comment) => formatter.write_str(&refused(*status, comment)),
            Self::ClassRefused(reason) => formatter.write_str(reason),
            Self::Unsendable(reason) => write!(formatter, "cannot be sent: {reason}"),
            Self::Unanswered(reason) => write!(formatter, "not answered: {reason}"),
            Self::Unsent(reason) => write!(formatter, "not sent: {reason}"),
        }
    }
}

/// A refusal in words.
pub(super) fn refused(status: Status, comment: &str) -> String {
    if comment.is_empty() {
        format!("refused with status {status}")
    } else {
        format!("refused with status {status}: {comment}")
    }
}

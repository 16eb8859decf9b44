//! What HTTP clients are told when something cannot be done: one kind per cause, one table from kinds to status codes,
//! answered as problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::dicom::bounded::ReadError;
use crate::node::archive::{ArchiveError, DecisionError};
use crate::node::store::StoreError;

/// Why a request fails, with a sentence for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// The request breaks the rules of the service.
    #[error("{0}")]
    BadRequest(String),
    /// The client may not ask for this.
    #[error("{0}")]
    Forbidden(String),
    /// The job, the delivery or what is held is not in the state that the request needs.
    #[error("{0}")]
    Conflict(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// The path exists, the method does not.
    #[error("this method is not offered here")]
    MethodNotAllowed,
    /// The answer does not exist in a form that the client accepts.
    #[error("{0}")]
    NotAcceptable(String),
    /// The client sends too slowly.
    #[error("{0}")]
    Timeout(String),
    /// The request is larger than is accepted.
    #[error("{0}")]
    TooLarge(String),
    /// The request's content is of a kind that is not accepted.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The request's content is encoded in a way that is not accepted.
    #[error("{0}")]
    UnsupportedCoding(String),
    /// The requested range lies outside the content, which has this many bytes.
    #[error("the range lies outside the {0} bytes that there are")]
    RangeNotSatisfiable(u64),
    /// Too much is being done at the moment.
    #[error("{0}")]
    Overloaded(String),
    /// The disk is full, or nearly.
    #[error("{0}")]
    Full(String),
    /// Stored objects are damaged.
    #[error("{0}")]
    Damaged(String),
    /// A fault on this side; the log says more.
    #[error("the node failed to {0}; its log says why")]
    Failed(&'static str),
}

impl Problem {
    /// The one table from problems to HTTP status codes.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) | Self::UnsupportedCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Damaged(_) | Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client can do about it.
    fn advice(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "Correct the request; sending it again unchanged will fail again.",
            Self::Forbidden(_) => "Send it from the dashboard, or from a program.",
            Self::Conflict(_) => "Look at its state: only what has failed can be tried again.",
            Self::NotFound(_) => "Search (/dicomweb/studies) or list (/api/v1/studies, /api/v1/jobs) what is there.",
            Self::MethodNotAllowed => "The Allow header lists what is offered.",
            Self::NotAcceptable(_) => "Ask for another media type or transfer syntax in the Accept header.",
            Self::Timeout(_) => "Check the connection and send the request again.",
            Self::TooLarge(_) => "Send less at a time.",
            Self::UnsupportedMediaType(_) => "Send multipart/related; type=\"application/dicom\".",
            Self::UnsupportedCoding(_) => "Send the content as it is, or compressed by gzip.",
            Self::RangeNotSatisfiable(_) => "Ask for a range inside the content.",
            Self::Overloaded(_) => "Wait as long as Retry-After says and send the request again.",
            Self::Full(_) => "Free space where the archive lies, then send the request again.",
            Self::Damaged(_) => "Send the object to this node again; other objects are not affected.",
            Self::Failed(_) => "Try again. If it fails again, read the log of the node.",
        }
    }

    /// A fault while reading the archive, noted in the log.
    pub(crate) fn reading(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "reading the archive");
        Self::Failed("read the archive")
    }
}

/// What a handler answers.
pub(crate) type HttpResult = Result<Response, Problem>;

/// Seconds after which a client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "advice": self.advice(),
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Overloaded(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::UnsupportedCoding(_) => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            Self::RangeNotSatisfiable(length) => {
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{length}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        response
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Unclear(_) => Self::Conflict(error.to_string()),
            DecisionError::Archive(error) => error.into(),
        }
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Full(_) => Self::Full(error.to_string()),
            ArchiveError::Damaged(_) => Self::Damaged(error.to_string()),
            ArchiveError::Unfit(_) => Self::BadRequest(error.to_string()),
            _ => Self::reading(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown(_) => Self::NotFound(error.to_string()),
            StoreError::Job { .. } => Self::Conflict(error.to_string()),
            _ => Self::reading(&error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Self::reading(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_and_what_to_do_and_when_to_come_back() {
        let response = Problem::Overloaded("16 uploads are running".to_owned()).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let response = Problem::RangeNotSatisfiable(7).into_response();
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */7");
    }
}

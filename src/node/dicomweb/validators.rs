//! What tells a client that it has an answer already
//! ([RFC 9110 8.8](https://www.rfc-editor.org/rfc/rfc9110#section-8.8) and
//! [13](https://www.rfc-editor.org/rfc/rfc9110#section-13)): digests and times of receipt of the objects behind it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use sha2::{Digest, Sha256};

use super::request::Request;
use crate::dicom::hexadecimal;
use crate::node::archive::StoredInstance;

/// The validators of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// Weak: boundaries between parts differ from answer to answer.
    etag: String,
    /// When the latest of the objects came, in full seconds.
    modified: Timestamp,
}

impl Validators {
    /// Of an answer made of `instances` in this form; one URL has several, by the Accept header.
    pub(super) fn of(instances: &[StoredInstance], request: &Request, form: &str) -> Self {
        let mut digest = Sha256::new();
        // Another program may render otherwise, and answers hold URLs that begin as the client called them.
        for part in [env!("CARGO_PKG_VERSION"), &request.base, form] {
            digest.update(part);
            digest.update([0]);
        }
        for instance in instances {
            digest.update(&instance.sha256);
            digest.update(instance.sop_instance_uid.as_str());
        }
        let latest = instances.iter().map(|instance| instance.received_at.as_second()).max();
        Self {
            etag: format!("W/\"{}\"", &hexadecimal(&digest.finalize())[..32]),
            modified: latest.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default(),
        }
    }

    /// The answer to a client that has it already. If-None-Match comes first, and If-Modified-Since counts only without it.
    pub(super) fn unchanged(&self, request: &Request) -> Option<Response> {
        let has = match request.header(header::IF_NONE_MATCH) {
            Some(tags) => self.is_among(tags),
            None => request
                .header(header::IF_MODIFIED_SINCE)
                .and_then(|date| DateTimeParser::new().parse_timestamp(date).ok())
                .is_some_and(|since| self.modified <= since),
        };
        has.then(|| self.mark(StatusCode::NOT_MODIFIED.into_response()))
    }

    /// Adds the validators to an answer.
    pub(super) fn mark(&self, mut response: Response) -> Response {
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.modified).ok();
        let headers = response.headers_mut();
        for (name, value) in [(header::ETAG, Some(self.etag.clone())), (header::LAST_MODIFIED, date)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        headers.append(header::VARY, HeaderValue::from_static("accept"));
        response
    }

    /// Compared weakly (RFC 9110 8.8.3.2).
    fn is_among(&self, tags: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        tags.trim() == "*" || tags.split(',').any(|tag| opaque(tag) == opaque(&self.etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let validators = Validators { etag: "W/\"abc\"".to_owned(), modified: Timestamp::UNIX_EPOCH };
        for tags in ["*", "W/\"abc\"", "\"abc\"", "\"x\", W/\"abc\""] {
            assert!(validators.is_among(tags), "{tags}");
        }
        assert!(!validators.is_among("\"abcd\"") && !validators.is_among(""));
    }
}

//! What a request says of its body
//! ([PS3.18 10.5.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.html)).

use axum::http::header;

use super::super::media::{MULTIPART_RELATED, MediaType};
use super::super::request::Request;
use crate::node::http::Problem;

/// The media type of DICOM JSON.
pub(super) const DICOM_JSON: &str = "application/dicom+json";

/// What the parts of a body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// DICOM files.
    Files,
    /// Metadata as DICOM JSON, and the large values that it refers to.
    Metadata,
}

/// How a body is taken apart.
pub(super) struct Envelope {
    pub(super) form: Form,
    pub(super) boundary: String,
}

impl Envelope {
    /// That of a body that is accepted. The answer is given as DICOM JSON, whatever the client accepts: what it sends is
    /// worth more.
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        let unsupported = |detail: String| Err(Problem::UnsupportedMediaType(detail));
        let Some(media_type) = request.header(header::CONTENT_TYPE).and_then(MediaType::parse) else {
            return unsupported("the request has no Content-Type".to_owned());
        };
        if media_type.essence != MULTIPART_RELATED {
            return unsupported(format!("{} is not accepted", media_type.essence));
        }
        let form = match media_type.payload().as_str() {
            "application/dicom" | "*/*" => Form::Files,
            DICOM_JSON => Form::Metadata,
            other => return unsupported(format!("multipart/related of {other} is not accepted")),
        };
        Ok(Self { form, boundary: media_type.parameter("boundary").unwrap_or_default().to_owned() })
    }
}

//! What a request is about: identifiers in the path, parameters after it, the media types that it accepts, and the URL
//! that the client called.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::media::Accept;
use crate::dicom::Uid;
use crate::node::archive::Scope;
use crate::node::http::{External, Problem};

/// Where the service lies below the root of the server.
pub(crate) const ROOT: &str = "/dicomweb";

/// A request without its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) address: Address,
    /// The URL of the DICOMweb service as the client knows it, without a slash at its end.
    pub(super) base: String,
    /// The parameters of the URL, in their order.
    pub(super) parameters: Vec<(String, String)>,
    headers: HeaderMap,
    /// The named segments of the path.
    segments: Vec<(String, String)>,
}

/// The identifiers in a path, each given only below the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) study: Option<Uid>,
    pub(super) series: Option<Uid>,
    pub(super) instance: Option<Uid>,
}

impl Request {
    /// A header, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        text(&self.headers, name.as_str())
    }

    /// The first value of a parameter of the URL.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name)
    }

    /// A named segment of the path, where the route has it.
    pub(super) fn segment(&self, name: &str) -> Option<&str> {
        value(&self.segments, name)
    }

    /// What the request accepts, by header and by parameter.
    pub(super) fn accept(&self) -> Accept {
        Accept::parse(self.header(header::ACCEPT), self.parameter("accept"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Request {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments: Result<Path<Vec<(String, String)>>, _> = Path::from_request_parts(parts, state).await;
        let segments = segments.map(|Path(segments)| segments).unwrap_or_default();
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Problem::BadRequest("the query of the URL cannot be read".to_owned()))?;
        let address = Address::of(&segments)?;
        Ok(Self { address, base: base_url(parts), parameters, headers: parts.headers.clone(), segments })
    }
}

impl Address {
    fn of(segments: &[(String, String)]) -> Result<Self, Problem> {
        let uid = |name: &str| {
            let parsed = value(segments, name).map(Uid::parse).transpose();
            parsed.map_err(|error| Problem::BadRequest(format!("{name} in the path: {error}")))
        };
        Ok(Self { study: uid("study")?, series: uid("series")?, instance: uid("instance")? })
    }

    /// The stored instances below this path.
    pub(super) fn scope(&self) -> Result<Scope, Problem> {
        let Self { study: Some(study), series, instance } = self.clone() else {
            return Err(Problem::BadRequest("the path names no study".to_owned()));
        };
        Ok(match (series, instance) {
            (Some(series), Some(instance)) => Scope::Instance(study, series, instance),
            (Some(series), None) => Scope::Series(study, series),
            _ => Scope::Study(study),
        })
    }
}

fn base_url(parts: &Parts) -> String {
    parts.extensions.get::<External>().map_or_else(|| ROOT.to_owned(), |external| external.url(ROOT))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

//! What a request is about: identifiers in the path, parameters after it, and the URL this service was called by.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::header;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::dicom::Uid;
use crate::node::archive::Scope;

/// Where the service lies below the root of the server.
pub(crate) const ROOT: &str = "/dicomweb";

/// The identifiers in a path, each given only below the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) study: Option<Uid>,
    pub(super) series: Option<Uid>,
    pub(super) instance: Option<Uid>,
}

impl Address {
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

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments: Result<Path<Vec<(String, String)>>, _> = Path::from_request_parts(parts, state).await;
        let mut address = Self::default();
        for (name, value) in segments.map(|Path(segments)| segments).unwrap_or_default() {
            let place = match name.as_str() {
                "study" => &mut address.study,
                "series" => &mut address.series,
                "instance" => &mut address.instance,
                _ => continue,
            };
            *place =
                Some(Uid::parse(&value).map_err(|error| Problem::BadRequest(format!("{name} in the path: {error}")))?);
        }
        Ok(address)
    }
}

/// The parameters of the URL, in their order.
#[derive(Debug)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|_| Problem::BadRequest("the query of the URL cannot be read".to_owned()))
    }
}

/// The URL of the DICOMweb service as the client knows it, without a slash at its end.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // A proxy that ends TLS says so; nobody else gains anything by it, the URL goes back to who asked.
        let secure = text("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let scheme = if secure { "https" } else { "http" };
        let host = text(header::HOST.as_str()).or(parts.uri.authority().map(axum::http::uri::Authority::as_str));
        Ok(Self(host.map_or_else(|| ROOT.to_owned(), |host| format!("{scheme}://{host}{ROOT}"))))
    }
}

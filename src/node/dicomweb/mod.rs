//! DICOMweb ([PS3.18](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/PS3.18.html)): storing,
//! searching, retrieving.

mod body;
pub mod client;
mod json;
pub(crate) mod media;
pub(crate) mod multipart;
pub(crate) mod problem;
mod qido;
mod stow;
pub(crate) mod target;
mod wado;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use self::problem::Problem;
use self::stow::Stow;
use self::target::{Address, BaseUrl, Parameters};
use self::wado::Wado;
use self::wado::rendered::Size;
use crate::dicom::bounded::Limits;
use crate::node::archive::{Archive, Level};
use crate::node::arrivals::StoreEvents;

/// The service's state.
#[derive(Clone)]
struct Service {
    archive: Archive,
    stow: Stow,
    wado: Wado,
}

type Answer = Result<Response, Problem>;

/// The routes of the service, to be nested below [`target::ROOT`].
pub(crate) fn router(archive: Archive, limits: Limits, events: Arc<dyn StoreEvents>, maximum_uploads: usize) -> Router {
    let stow = Stow::new(archive.clone(), limits, events, maximum_uploads);
    let wado = Wado::new(archive.clone(), limits);
    let study = "/studies/{study}";
    let series = "/studies/{study}/series/{series}";
    let instance = "/studies/{study}/series/{series}/instances/{instance}";
    let mut router = Router::new()
        .route("/studies", get(search_studies).post(store))
        .route("/series", get(search_series))
        .route("/instances", get(search_instances))
        .route(&format!("{study}/series"), get(search_series))
        .route(&format!("{study}/instances"), get(search_instances))
        .route(&format!("{series}/instances"), get(search_instances))
        .route(study, get(objects).post(store))
        .route(series, get(objects))
        .route(instance, get(objects))
        .route(&format!("{instance}/frames/{{list}}"), get(frames))
        .route(&format!("{instance}/frames/{{list}}/rendered"), get(rendered_frame))
        .route(&format!("{instance}/frames/{{list}}/thumbnail"), get(thumbnail_of_frame))
        .route(&format!("{instance}/rendered"), get(rendered))
        .route(&format!("{instance}/bulkdata/{{*path}}"), get(bulk_data));
    for level in [study, series, instance] {
        router = router
            .route(&format!("{level}/metadata"), get(metadata))
            .route(&format!("{level}/thumbnail"), get(thumbnail));
    }
    router.with_state(Service { archive, stow, wado })
}

async fn store(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    address: Address,
    BaseUrl(base): BaseUrl,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    service.stow.store(address.study, peer, &base, &headers, body).await
}

async fn search_studies(
    State(service): State<Service>,
    address: Address,
    BaseUrl(base): BaseUrl,
    Parameters(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    qido::search(&service.archive, Level::Study, &address, &base, &parameters, &headers).await
}

async fn search_series(
    State(service): State<Service>,
    address: Address,
    BaseUrl(base): BaseUrl,
    Parameters(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    qido::search(&service.archive, Level::Series, &address, &base, &parameters, &headers).await
}

async fn search_instances(
    State(service): State<Service>,
    address: Address,
    BaseUrl(base): BaseUrl,
    Parameters(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    qido::search(&service.archive, Level::Instance, &address, &base, &parameters, &headers).await
}

async fn objects(
    State(service): State<Service>,
    address: Address,
    BaseUrl(base): BaseUrl,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    wado::objects::retrieve(&service.wado, &address, &base, &parameters, &headers).await
}

async fn metadata(
    State(service): State<Service>,
    address: Address,
    BaseUrl(base): BaseUrl,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    wado::metadata::retrieve(&service.wado, &address, &base, &parameters, &headers).await
}

async fn frames(
    State(service): State<Service>,
    address: Address,
    Path(segments): Path<Vec<(String, String)>>,
    BaseUrl(base): BaseUrl,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    let list = segment(&segments, "list");
    wado::frames::retrieve(&service.wado, &address, list, &base, &parameters, &headers).await
}

async fn bulk_data(
    State(service): State<Service>,
    address: Address,
    Path(segments): Path<Vec<(String, String)>>,
    BaseUrl(base): BaseUrl,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    let path = segment(&segments, "path");
    wado::bulk_data::retrieve(&service.wado, &address, path, &base, &parameters, &headers).await
}

async fn rendered(
    State(service): State<Service>,
    address: Address,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    wado::rendered::retrieve(&service.wado, &address, None, Size::Full, &parameters, &headers).await
}

async fn thumbnail(
    State(service): State<Service>,
    address: Address,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    wado::rendered::retrieve(&service.wado, &address, None, Size::Thumbnail, &parameters, &headers).await
}

async fn rendered_frame(
    State(service): State<Service>,
    address: Address,
    Path(segments): Path<Vec<(String, String)>>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    let list = Some(segment(&segments, "list"));
    wado::rendered::retrieve(&service.wado, &address, list, Size::Full, &parameters, &headers).await
}

async fn thumbnail_of_frame(
    State(service): State<Service>,
    address: Address,
    Path(segments): Path<Vec<(String, String)>>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Answer {
    let list = Some(segment(&segments, "list"));
    wado::rendered::retrieve(&service.wado, &address, list, Size::Thumbnail, &parameters, &headers).await
}

/// A named segment of the path; the routes have it.
fn segment<'a>(segments: &'a [(String, String)], name: &str) -> &'a str {
    segments.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

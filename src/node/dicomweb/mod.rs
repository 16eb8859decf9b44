//! DICOMweb ([PS3.18](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/PS3.18.html)): storing,
//! searching, retrieving.

mod body;
mod capabilities;
pub mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod media;
pub(crate) mod multipart;
mod notation;
mod qido;
mod request;
mod stow;
mod validators;
mod wado;
mod xml;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRef, State};
use axum::routing::{get, options};

pub(crate) use self::request::ROOT;
use self::request::Request;
use self::stow::Stow;
use self::wado::Wado;
use self::wado::all_bulk_data::Extent;
use crate::dicom::bounded::Limits;
use crate::node::archive::{Archive, Level};
use crate::node::arrivals::StoreEvents;
use crate::node::http::HttpResult;

/// The service's state.
#[derive(Clone)]
struct Service {
    archive: Archive,
    stow: Stow,
    wado: Wado,
}

impl FromRef<Service> for Wado {
    fn from_ref(service: &Service) -> Self {
        service.wado.clone()
    }
}

/// The routes of the service, to be nested below [`ROOT`].
pub(crate) fn router(archive: Archive, limits: Limits, events: Arc<dyn StoreEvents>, maximum_uploads: usize) -> Router {
    let stow = Stow::new(archive.clone(), limits, events, maximum_uploads);
    let wado = Wado::new(archive.clone(), limits);
    let study = "/studies/{study}";
    let series = "/studies/{study}/series/{series}";
    let instance = "/studies/{study}/series/{series}/instances/{instance}";
    let search = |level| {
        get(move |State(service): State<Service>, request: Request| async move {
            qido::search(&service.archive, level, &request).await
        })
    };
    let bulk_data = |extent| {
        get(move |State(wado): State<Wado>, request: Request| async move {
            wado::all_bulk_data::retrieve(&wado, &request, extent).await
        })
    };
    let rendered = || {
        get(|State(wado): State<Wado>, request: Request| async move { wado::rendered::retrieve(&wado, &request).await })
    };
    let thumbnail = || {
        get(
            |State(wado): State<Wado>, request: Request| async move { wado::rendered::thumbnail(&wado, &request).await },
        )
    };
    let mut router = Router::new()
        .route("/", options(capabilities::retrieve))
        .route("/studies", search(Level::Study).post(store))
        .route("/series", search(Level::Series))
        .route("/instances", search(Level::Instance))
        .route(&format!("{study}/series"), search(Level::Series))
        .route(&format!("{study}/instances"), search(Level::Instance))
        .route(&format!("{series}/instances"), search(Level::Instance))
        .route(study, get(wado::objects::retrieve).post(store))
        .route(series, get(wado::objects::retrieve))
        .route(instance, get(wado::objects::retrieve))
        .route(&format!("{instance}/frames/{{list}}"), get(wado::frames::retrieve))
        .route(&format!("{instance}/frames/{{list}}/rendered"), rendered())
        .route(&format!("{instance}/frames/{{list}}/thumbnail"), thumbnail())
        .route("/wado", get(wado::uri::retrieve))
        .route(&format!("{instance}/bulkdata/{{*path}}"), get(wado::bulk_data::retrieve));
    for level in [study, series, instance] {
        router = router
            .route(&format!("{level}/metadata"), get(wado::metadata::retrieve))
            .route(&format!("{level}/rendered"), rendered())
            .route(&format!("{level}/thumbnail"), thumbnail())
            .route(&format!("{level}/bulkdata"), bulk_data(Extent::All))
            .route(&format!("{level}/pixeldata"), bulk_data(Extent::Pixels));
    }
    router.with_state(Service { archive, stow, wado })
}

async fn store(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    body: Body,
) -> HttpResult {
    service.stow.store(&request, peer, body).await
}

//! `/metadata` of a study, a series or an instance, bulk data by reference
//! ([PS3.18 10.4.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::io;
use std::iter;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::super::body;
use super::super::json::{self, BulkData};
use super::super::notation::{Described, Notation};
use super::super::request::Request;
use super::super::validators::Validators;
use super::Wado;
use crate::dicom::bounded::{Limits, ReadError};
use crate::dicom::stored_frames;
use crate::node::archive::StoredInstance;
use crate::node::http::HttpResult;

/// Answers a request for metadata, one object of the answer at a time.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let notation = Notation::of(&request.accept())?;
    let instances = wado.instances(&request.address).await?;
    let validators = Validators::of(&instances, &request, notation.media_type());
    if let Some(unchanged) = validators.unchanged(&request) {
        return Ok(unchanged);
    }
    let (base, limits) = (request.base, wado.limits);
    // The first object is read before the status is sent: if it cannot be read, the answer is an error.
    let (first, instances, base) = super::blocking(move || {
        let first = describe(&instances[0], &base, &limits)?;
        Ok((first, instances, base))
    })
    .await?;
    let content_type = notation.content_type();
    let body = body::written(move |sink| {
        let others = instances[1..].iter().map(|instance| describe(instance, &base, &limits).map_err(io::Error::other));
        notation.try_write_all(sink, iter::once(Ok(first)).chain(others))
    });
    Ok(validators.mark(([(header::CONTENT_TYPE, content_type)], body).into_response()))
}

/// An archived object up to its Pixel Data, with a reference to that. What follows it (signatures, padding, private
/// groups) is left out: it describes the bytes of the file.
fn describe(instance: &StoredInstance, base: &str, limits: &Limits) -> Result<Described, ReadError> {
    let (header, pixel_data) = stored_frames::header_and_tag(&instance.path, limits)?;
    let location = super::url(base, instance);
    let url = format!("{location}/bulkdata");
    let mut object = json::object(&header, BulkData::At(&url));
    object.extend(pixel_data.map(|tag| json::pixel_data_reference(tag, &url)));
    Ok((object, format!("{location}/metadata")))
}

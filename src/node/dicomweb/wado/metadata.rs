//! `/metadata` of a study, a series or an instance: DICOM JSON, bulk data by reference
//! ([PS3.18 10.4.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::io::{self, Write};

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use dicom_dictionary_std::tags;
use dicom_object::OpenFileOptions;

use super::super::body;
use super::super::json::{self, BulkData};
use super::super::problem::Problem;
use super::super::target::{Address, Parameters};
use crate::dicom::elements::DataSet;
use crate::node::archive::{Archive, StoredInstance};

/// Answers a request for metadata, one object of the answer at a time.
pub(in super::super) async fn retrieve(
    archive: &Archive,
    address: &Address,
    base: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    const OFFERED: [&str; 2] = ["application/dicom+json", "application/json"];
    if !super::accept(headers, parameters).takes(&OFFERED) {
        return Err(Problem::NotAcceptable("metadata is given as application/dicom+json only".to_owned()));
    }
    let instances = super::instances(archive, address).await?;
    let base = base.to_owned();
    let body = body::written(move |sink| {
        let mut separator = "[";
        for instance in &instances {
            sink.write_all(separator.as_bytes())?;
            separator = ",";
            write(sink, instance, &base)?;
        }
        sink.write_all(b"]")
    });
    Ok(([(header::CONTENT_TYPE, OFFERED[0])], body).into_response())
}

fn write(sink: &mut impl Write, instance: &StoredInstance, base: &str) -> io::Result<()> {
    let header = read_header(instance).map_err(io::Error::other)?;
    let url = format!("{}/bulkdata", super::url(base, instance));
    let mut object = json::object(&header, BulkData::At(&url));
    object.extend(json::pixel_data_reference(&header, &url));
    serde_json::to_writer(sink, &object).map_err(io::Error::from)
}

/// An archived object up to its Pixel Data. What is in the archive passed the pre-scan when it came.
fn read_header(instance: &StoredInstance) -> Result<DataSet, dicom_object::ReadError> {
    let file = OpenFileOptions::new().read_until(tags::PIXEL_DATA).open_file(&instance.path)?;
    Ok(file.into_inner())
}

//! Whole objects: a study, a series or an instance as DICOM files.

use std::fs::File;
use std::io::{self, Write};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use dicom_dictionary_std::uids;
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::super::body::{self, Multipart};
use super::super::media::covers;
use super::super::request::Request;
use super::Wado;
use super::pixels::{self, Object};
use crate::dicom::bounded::Limits;
use crate::node::archive::StoredInstance;
use crate::node::http::{HttpResult, Problem};

/// The media type of DICOM files.
const DICOM: &str = "application/dicom";

/// In which transfer syntax objects are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// As each is stored.
    Any,
    /// Explicit VR little endian.
    ExplicitLittleEndian,
}

/// How an object is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    AsStored,
    Decoded,
}

/// Answers a request for whole objects.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let instances = wado.instances(&request.address).await?;
    let accept = request.accept();
    let mut refusal = Problem::NotAcceptable("objects are given as application/dicom only".to_owned());
    let chosen = accept.first(|wanted| {
        if !covers(&wanted.payload(), DICOM) {
            return None;
        }
        match plan(&instances, wanted.payload() == "*/*", wanted.parameter("transfer-syntax")) {
            Ok(plan) => Some((plan, wanted.essence == DICOM && request.address.instance.is_some())),
            Err(problem) => {
                refusal = problem;
                None
            }
        }
    });
    let Some((plan, single)) = chosen else { return Err(refusal) };
    let sendings: Vec<(StoredInstance, Sending)> = instances.into_iter().zip(plan).collect();
    let limits = wado.limits;
    // The first object is decoded before the status is sent: if it cannot be decoded, the answer is an error.
    let mut first = match &sendings[0] {
        (instance, Sending::Decoded) => {
            let instance = instance.clone();
            Some(super::blocking(move || decoded(&instance, &limits)).await?)
        }
        (_, Sending::AsStored) => None,
    };
    if single {
        let body = body::written(move |sink| {
            sendings.iter().try_for_each(|(instance, sending)| send(sink, instance, *sending, first.take(), &limits))
        });
        return Ok(([(header::CONTENT_TYPE, DICOM)], body).into_response());
    }
    let multipart = Multipart::new(DICOM);
    let content_type = multipart.content_type();
    let base = request.base;
    let body = body::written(move |sink| {
        for (instance, sending) in &sendings {
            let transfer_syntax_uid = match sending {
                Sending::AsStored => instance.transfer_syntax_uid.as_str(),
                Sending::Decoded => uids::EXPLICIT_VR_LITTLE_ENDIAN,
            };
            multipart.begin_part(sink, transfer_syntax_uid, &super::url(&base, instance))?;
            send(sink, instance, *sending, first.take(), &limits)?;
        }
        multipart.end(sink)
    });
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// How each object is sent under an entry of the Accept header, or why not.
fn plan(instances: &[StoredInstance], anything: bool, transfer_syntax: Option<&str>) -> Result<Vec<Sending>, Problem> {
    let wanted = match transfer_syntax {
        Some("*") => Wanted::Any,
        None if anything => Wanted::Any,
        // The default of application/dicom (8.7.3.5.2).
        None | Some(uids::EXPLICIT_VR_LITTLE_ENDIAN) => Wanted::ExplicitLittleEndian,
        Some(other) => {
            if instances.iter().all(|instance| instance.transfer_syntax_uid.as_str() == other) {
                return Ok(vec![Sending::AsStored; instances.len()]);
            }
            let offered = "as stored (transfer-syntax=*) or as 1.2.840.10008.1.2.1";
            let refusal = format!("not every object is stored in that transfer syntax; objects are given {offered}");
            return Err(Problem::NotAcceptable(refusal));
        }
    };
    instances
        .iter()
        .map(|instance| match (wanted, instance.transfer_syntax_uid.as_str()) {
            (Wanted::Any, _) | (_, uids::EXPLICIT_VR_LITTLE_ENDIAN) => Ok(Sending::AsStored),
            (_, stored) if decodes(stored) => Ok(Sending::Decoded),
            (_, stored) => Err(Problem::NotAcceptable(format!(
                "transfer syntax {stored} cannot be decoded here; ask for transfer-syntax=*"
            ))),
        })
        .collect()
}

/// True if pixel data in this transfer syntax can be decoded.
pub(super) fn decodes(transfer_syntax_uid: &str) -> bool {
    TransferSyntaxRegistry
        .get(transfer_syntax_uid)
        .is_some_and(dicom_transfer_syntax_registry::TransferSyntax::can_decode_all)
}

/// An object in explicit VR little endian.
fn decoded(instance: &StoredInstance, limits: &Limits) -> Result<Object, Problem> {
    let mut object = pixels::read(instance, limits)?;
    object.transcode(&EXPLICIT_VR_LITTLE_ENDIAN.erased()).map_err(|error| {
        tracing::warn!(%error, sop_instance_uid = %instance.sop_instance_uid, "an object cannot be decoded");
        Problem::NotAcceptable("an object cannot be decoded here; ask for transfer-syntax=*".to_owned())
    })?;
    Ok(object)
}

/// Sends an object; `ready` is the object if it is decoded already.
fn send(
    sink: &mut impl Write,
    instance: &StoredInstance,
    sending: Sending,
    ready: Option<Object>,
    limits: &Limits,
) -> io::Result<()> {
    match sending {
        Sending::AsStored => io::copy(&mut File::open(&instance.path)?, sink).map(|_| ()),
        Sending::Decoded => {
            let object = ready.map_or_else(|| decoded(instance, limits), Ok).map_err(io::Error::other)?;
            object.write_all(sink).map_err(io::Error::other)
        }
    }
}

//! Whole objects: a study, a series or an instance as DICOM files.

use std::fs::File;
use std::io::{self, Write};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use dicom_dictionary_std::uids;
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;

use super::super::body::{self, Part};
use super::super::media::covers;
use super::super::request::Request;
use super::super::validators::Validators;
use super::Wado;
use super::pixels::Object;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::transfer_syntax;
use crate::node::archive::StoredInstance;
use crate::node::http::{HttpResult, Problem};

/// The media type of DICOM files.
pub(super) const DICOM: &str = "application/dicom";

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
    let validators = Validators::of(&instances, &request, &format!("{single} {plan:?}"));
    if let Some(unchanged) = validators.unchanged(&request) {
        return Ok(unchanged);
    }
    let sendings: Vec<(StoredInstance, Sending)> = instances.into_iter().zip(plan).collect();
    if single {
        return Ok(validators.mark(whole(&wado, sendings).await?));
    }
    let (limits, base) = (wado.limits, request.base);
    let (parts, mut first) = super::blocking(move || {
        let first = ready(&sendings[0], &limits)?;
        let parts: io::Result<Vec<_>> = sendings.into_iter().map(|sending| part(sending, &base)).collect();
        Ok((parts.map_err(|error| Problem::reading(&error))?, first))
    })
    .await?;
    Ok(validators.mark(body::parts(DICOM, parts, move |sending, sink| send(sink, &sending, first.take(), &limits))))
}

/// An object as the body of an answer, in a transfer syntax (`*` for its own).
pub(super) async fn single(
    wado: &Wado,
    request: &Request,
    instance: StoredInstance,
    transfer_syntax: &str,
) -> HttpResult {
    let plan = plan(std::slice::from_ref(&instance), false, Some(transfer_syntax))?;
    let validators = Validators::of(std::slice::from_ref(&instance), request, &format!("{plan:?}"));
    match validators.unchanged(request) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(validators.mark(whole(wado, vec![(instance, plan[0])]).await?)),
    }
}

/// The first object as the body of an answer.
async fn whole(wado: &Wado, mut sendings: Vec<(StoredInstance, Sending)>) -> HttpResult {
    let limits = wado.limits;
    let sending = sendings.swap_remove(0);
    let (sending, length, first) = super::blocking(move || {
        let length = length(&sending).map_err(|error| Problem::reading(&error))?;
        let first = ready(&sending, &limits)?;
        Ok((sending, length, first))
    })
    .await?;
    let body = body::written(move |sink| send(sink, &sending, first, &limits));
    Ok(body::with_length(([(header::CONTENT_TYPE, DICOM)], body).into_response(), length))
}

fn part(sending: (StoredInstance, Sending), base: &str) -> io::Result<Part<(StoredInstance, Sending)>> {
    let transfer_syntax_uid = match &sending {
        (instance, Sending::AsStored) => instance.transfer_syntax_uid.to_string(),
        (_, Sending::Decoded) => uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
    };
    let location = super::url(base, &sending.0);
    Ok(Part { transfer_syntax_uid, location, length: length(&sending)?, content: sending })
}

/// Bytes of the file that is sent, where that is the stored one.
fn length((instance, sending): &(StoredInstance, Sending)) -> io::Result<Option<u64>> {
    match sending {
        Sending::AsStored => Ok(Some(std::fs::metadata(&instance.path)?.len())),
        Sending::Decoded => Ok(None),
    }
}

/// An object that is decoded before the status is sent: if it cannot be, the answer is an error.
fn ready((instance, sending): &(StoredInstance, Sending), limits: &Limits) -> Result<Option<Object>, Problem> {
    match sending {
        Sending::Decoded => decoded(instance, limits).map(Some),
        Sending::AsStored => Ok(None),
    }
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
            (_, stored) if transfer_syntax::decodes(stored) => Ok(Sending::Decoded),
            (_, stored) => Err(Problem::NotAcceptable(format!(
                "transfer syntax {stored} cannot be decoded here; ask for transfer-syntax=*"
            ))),
        })
        .collect()
}

/// An object in explicit VR little endian.
fn decoded(instance: &StoredInstance, limits: &Limits) -> Result<Object, Problem> {
    let mut object = bounded::open(&instance.path, limits)?;
    object.transcode(&EXPLICIT_VR_LITTLE_ENDIAN.erased()).map_err(|error| {
        tracing::warn!(%error, sop_instance_uid = %instance.sop_instance_uid, "an object cannot be decoded");
        Problem::NotAcceptable("an object cannot be decoded here; ask for transfer-syntax=*".to_owned())
    })?;
    Ok(object)
}

/// Sends an object; `ready` is the object if it is decoded already.
fn send(
    sink: &mut impl Write,
    (instance, sending): &(StoredInstance, Sending),
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

//! WADO-URI, for viewers that know no other way
//! ([PS3.18 chapter 9](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/chapter_9.html)): one object by its
//! identifiers in the query, as a DICOM file or as a picture.

use axum::extract::State;
use dicom_dictionary_std::uids;
use dicom_pixeldata::VoiLutFunction;

use super::super::media::{Accept, covers};
use super::super::request::{Address, Request};
use super::super::validators::Validators;
use super::rendered::{self, JPEG, LARGEST, PNG, Parameters, Region, checked_window, quality};
use super::{Wado, frames, objects};
use crate::dicom::Uid;
use crate::dicom::stored_frames::StoredImage;
use crate::node::http::{HttpResult, Problem};

/// Answers a request.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    if !request.parameter("requestType").is_some_and(|kind| kind.eq_ignore_ascii_case("WADO")) {
        return Err(Problem::BadRequest("requestType: WADO was expected".to_owned()));
    }
    for (name, reason) in
        [("anonymize", "this node does not anonymise"), ("presentationUID", "this node applies no presentation states")]
    {
        if request.parameter(name).is_some_and(|value| !value.is_empty() && value != "no") {
            return Err(Problem::BadRequest(format!("{name}: {reason}; leave it out")));
        }
    }
    let address = address(&request)?;
    let instance = wado.instance(&address).await?;
    let limits = wado.limits;
    let image = {
        let instance = instance.clone();
        super::blocking(move || Ok(StoredImage::open(&instance.path, &limits)?)).await?
    };
    // The default is a picture of a single image, and the object itself of anything else (9.1.1).
    let single =
        image.as_ref().is_some_and(|image| image.frames.count() == 1) || request.parameter("frameNumber").is_some();
    let accept = Accept::parse(None, request.parameter("contentType").filter(|types| !types.is_empty()));
    let offered = if single { [JPEG, PNG, objects::DICOM] } else { [objects::DICOM, JPEG, PNG] };
    let chosen = accept.first(|wanted| offered.into_iter().find(|offered| covers(&wanted.payload(), offered)));
    let Some(media_type) = chosen else {
        return Err(Problem::NotAcceptable(format!("objects are given as {JPEG}, {PNG} or {}", objects::DICOM)));
    };
    if media_type == objects::DICOM {
        let syntax = request.parameter("transferSyntax").unwrap_or(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        return objects::single(&wado, &request, instance, syntax).await;
    }
    let validators = Validators::of(std::slice::from_ref(&instance), &request, media_type);
    if let Some(unchanged) = validators.unchanged(&request) {
        return Ok(unchanged);
    }
    let image = image.ok_or_else(|| Problem::NotAcceptable("there are no images in this object".to_owned()))?;
    let (parameters, number) = (parameters(&request, media_type)?, number(&request, image.frames.count())?);
    let picture =
        super::blocking(move || rendered::render(&instance, &image, number - 1, &parameters, &limits)).await?;
    Ok(validators.mark(rendered::single(media_type, picture)))
}

fn address(request: &Request) -> Result<Address, Problem> {
    let uid = |name: &str| {
        let text = request.parameter(name).unwrap_or_default();
        Uid::parse(text).map(Some).map_err(|error| Problem::BadRequest(format!("{name}: {error}")))
    };
    Ok(Address { study: uid("studyUID")?, series: uid("seriesUID")?, instance: uid("objectUID")? })
}

/// The frame that is asked for, or the middle one.
fn number(request: &Request, there: usize) -> Result<usize, Problem> {
    let Some(text) = request.parameter("frameNumber") else { return Ok(there.div_ceil(2)) };
    match frames::numbers(text)?[..] {
        [number] => frames::check(&[number], there).map(|()| number),
        _ => Err(Problem::BadRequest("frameNumber: one number was expected".to_owned())),
    }
}

fn parameters(request: &Request, media_type: &'static str) -> Result<Parameters, Problem> {
    let mut parameters = Parameters::plain(media_type);
    if let Some(text) = request.parameter("imageQuality") {
        parameters.quality = quality("imageQuality", text)?;
    }
    let (center, width) = (number_of(request, "windowCenter")?, number_of(request, "windowWidth")?);
    parameters.window = match (center, width) {
        (Some(center), Some(width)) => Some(checked_window(center, width, VoiLutFunction::Linear)?),
        (None, None) => None,
        _ => return Err(Problem::BadRequest("windowCenter and windowWidth: both or neither were expected".to_owned())),
    };
    let (rows, columns) = (side(request, "rows")?, side(request, "columns")?);
    if rows.is_some() || columns.is_some() {
        parameters.bounds = Some((columns.unwrap_or(LARGEST), rows.unwrap_or(LARGEST)));
    }
    parameters.region = request.parameter("region").map(region).transpose()?;
    Ok(parameters)
}

fn number_of(request: &Request, name: &str) -> Result<Option<f64>, Problem> {
    let number = |text: &str| {
        let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| Problem::BadRequest(format!("{name}: a number was expected")))
    };
    request.parameter(name).map(number).transpose()
}

fn side(request: &Request, name: &str) -> Result<Option<u32>, Problem> {
    let side = |text: &str| {
        let side = text.trim().parse::<u32>().ok().filter(|side| (1..=LARGEST).contains(side));
        side.ok_or_else(|| Problem::BadRequest(format!("{name}: a number from 1 to {LARGEST} was expected")))
    };
    request.parameter(name).map(side).transpose()
}

/// `region=left,top,right,bottom` in shares of the image.
fn region(text: &str) -> Result<Region, Problem> {
    let shares: Vec<f64> = text
        .split(',')
        .filter_map(|part| part.trim().parse().ok())
        .filter(|share| (0.0..=1.0).contains(share))
        .collect();
    match shares[..] {
        [left, top, right, bottom] if left < right && top < bottom => Ok(Region::Shares { left, top, right, bottom }),
        _ => Err(Problem::BadRequest("region: left,top,right,bottom was expected, from 0 to 1".to_owned())),
    }
}

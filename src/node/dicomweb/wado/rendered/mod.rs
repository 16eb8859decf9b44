//! `/rendered` and `/thumbnail`: images as JPEG or PNG
//! ([PS3.18 10.4.1.1.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

mod parameters;
mod picture;
mod region;

use std::io::{self, Write};

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub(super) use self::parameters::{JPEG, LARGEST, PNG, Parameters, checked_window, quality};
pub(super) use self::picture::render;
pub(super) use self::region::Region;
use super::super::body::{self, Multipart};
use super::super::request::Request;
use super::super::validators::Validators;
use super::{Wado, frames, pixels};
use crate::dicom::ObjectKind;
use crate::dicom::bounded::Limits;
use crate::dicom::stored_frames::StoredImage;
use crate::node::archive::StoredInstance;
use crate::node::http::{HttpResult, Problem};

/// Longer side of a thumbnail in pixels, where the client asks for no other.
const THUMBNAIL: u32 = 128;

/// Which frames of an image are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frames {
    /// These, counted from 1.
    Listed(Vec<usize>),
    Middle,
    All,
}

impl Frames {
    /// Their numbers, counted from 1, in an image of so many.
    fn numbers(&self, there: usize) -> Result<Vec<usize>, Problem> {
        match self {
            Self::Listed(numbers) => frames::check(numbers, there).map(|()| numbers.clone()),
            Self::Middle => Ok(vec![there.div_ceil(2)]),
            Self::All => Ok((1..=there).collect()),
        }
    }
}

/// Answers a request for pictures: of listed frames, of an instance, or of all images of a series or a study. One picture is
/// the body unless `multipart/related` is asked for; several are its parts.
pub(in super::super) async fn retrieve(wado: &Wado, request: &Request) -> HttpResult {
    let list = request.segment("list").or_else(|| request.parameter("frame")).map(frames::numbers).transpose()?;
    let (media_type, multipart) = parameters::accepted(&request.accept())?;
    let several = list.as_ref().is_some_and(|list| list.len() > 1) || request.address.instance.is_none();
    let instances = wado.instances(&request.address).await?;
    let form = Form {
        parameters: Parameters::of(request, media_type)?,
        validators: Validators::of(&instances, request, media_type),
    };
    if let Some(unchanged) = form.validators.unchanged(request) {
        return Ok(unchanged);
    }
    if multipart.unwrap_or(several) {
        let frames = list.map_or(Frames::All, Frames::Listed);
        return all(wado, request, instances, frames, form).await;
    }
    if several && (instances.len() > 1 || list.is_some()) {
        let refusal = format!("several pictures are given as multipart/related; type=\"{media_type}\" only");
        return Err(Problem::NotAcceptable(refusal));
    }
    one(wado, instances, list.map_or(Frames::Middle, Frames::Listed), form).await
}

/// Answers a request for a small picture of an instance, or of the middle image below the path.
pub(in super::super) async fn thumbnail(wado: &Wado, request: &Request) -> HttpResult {
    let list = request.segment("list").or_else(|| request.parameter("frame")).map(frames::numbers).transpose()?;
    let (media_type, _) = parameters::accepted(&request.accept())?;
    let instances = wado.instances(&request.address).await?;
    let mut parameters = Parameters::of(request, media_type)?;
    parameters.bounds.get_or_insert((THUMBNAIL, THUMBNAIL));
    let form = Form { parameters, validators: Validators::of(&instances, request, media_type) };
    if let Some(unchanged) = form.validators.unchanged(request) {
        return Ok(unchanged);
    }
    one(wado, representatives(instances), list.map_or(Frames::Middle, Frames::Listed), form).await
}

/// How an answer looks.
struct Form {
    parameters: Parameters,
    validators: Validators,
}

/// The picture of the first object that has one.
async fn one(wado: &Wado, instances: Vec<StoredInstance>, frames: Frames, form: Form) -> HttpResult {
    let Form { parameters, validators } = form;
    let limits = wado.limits;
    let picture = super::blocking(move || {
        let (instance, image) = first_image(&instances, &limits)?;
        let number = frames.numbers(image.frames.count())?[0];
        render(instance, &image, number - 1, &parameters, &limits)
    })
    .await?;
    Ok(validators.mark(single(parameters.media_type, picture)))
}

/// A picture as an answer.
pub(super) fn single(media_type: &'static str, picture: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], picture).into_response()
}

/// The pictures of all objects that have some, as parts.
async fn all(wado: &Wado, request: &Request, instances: Vec<StoredInstance>, frames: Frames, form: Form) -> HttpResult {
    let Form { parameters, validators } = form;
    let (limits, base) = (wado.limits, request.base.clone());
    // The first picture is made before the status is sent: if that fails, the answer is an error.
    let (instances, frames) = super::blocking(move || {
        let (instance, image) = first_image(&instances, &limits)?;
        let numbers = frames.numbers(image.frames.count())?;
        render(instance, &image, numbers[0] - 1, &parameters, &limits)?;
        Ok((instances, frames))
    })
    .await?;
    let multipart = Multipart::new(parameters.media_type);
    let content_type = [(header::CONTENT_TYPE, multipart.content_type())];
    let body = body::written(move |sink| {
        for instance in &instances {
            let Some(image) = StoredImage::open(&instance.path, &limits).map_err(io::Error::other)? else { continue };
            let location = super::url(&base, instance);
            for number in frames.numbers(image.frames.count()).map_err(io::Error::other)? {
                let picture = render(instance, &image, number - 1, &parameters, &limits).map_err(io::Error::other)?;
                multipart.begin_part(sink, "", &format!("{location}/frames/{number}/rendered"))?;
                sink.write_all(&picture)?;
            }
        }
        multipart.end(sink)
    });
    Ok(validators.mark((content_type, body).into_response()))
}

fn first_image<'a>(
    instances: &'a [StoredInstance],
    limits: &Limits,
) -> Result<(&'a StoredInstance, StoredImage), Problem> {
    for instance in instances {
        match pixels::open(instance, limits) {
            Err(Problem::NotFound(_)) => {}
            image => return Ok((instance, image?)),
        }
    }
    Err(Problem::NotFound("there are no images in these objects".to_owned()))
}

/// Objects in the order in which they stand for all: images before what was derived from them, of these the middle one
/// first, then the first of each other series.
fn representatives(mut instances: Vec<StoredInstance>) -> Vec<StoredInstance> {
    let is_image = |instance: &StoredInstance| ObjectKind::of(&instance.sop_class_uid) != ObjectKind::NoImage;
    let images: Vec<usize> = (0..instances.len()).filter(|index| is_image(&instances[*index])).collect();
    let middle = images.get(images.len() / 2).copied().unwrap_or(instances.len() / 2);
    let middle = instances.remove(middle);
    instances.dedup_by(|one, other| one.series_instance_uid == other.series_instance_uid);
    instances.insert(0, middle);
    instances
}

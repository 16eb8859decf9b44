//! `/bulkdata` and `/pixeldata` of a study, a series or an instance: all its large values, or its pixels, in one answer
//! ([PS3.18 10.4.3.3.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.3.3.5.html)).

use std::io::{self, Write};

use axum::http::header;
use axum::response::IntoResponse;
use dicom_core::Tag;
use dicom_core::header::Header;
use dicom_dictionary_std::uids;

use super::super::body::{self, Multipart};
use super::super::json::{is_bulk, key};
use super::super::request::Request;
use super::super::validators::Validators;
use super::frames::{self, SAMPLES, Sending};
use super::value::{Step, Value};
use super::{Wado, pixels};
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::DataSet;
use crate::dicom::stored_frames::StoredImage;
use crate::node::archive::StoredInstance;
use crate::node::http::{HttpResult, Problem};

/// Which values are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Extent {
    /// Every value that metadata refers to.
    All,
    /// Pixel Data and its float kinds.
    Pixels,
}

/// Answers a request for all values of a kind. Decoded pixels are one part; pixels as they are stored are a part a frame.
pub(in super::super) async fn retrieve(wado: &Wado, request: &Request, extent: Extent) -> HttpResult {
    let instances = wado.instances(&request.address).await?;
    let mut refusal = Problem::NotAcceptable(format!("bulk data is given as multipart/related of {SAMPLES} only"));
    let chosen = request.accept().first(|wanted| {
        if !wanted.is_multipart() && !wanted.essence.ends_with("/*") {
            return None;
        }
        let syntax = wanted.parameter("transfer-syntax");
        let sending = |instance: &StoredInstance| {
            let stored = instance.transfer_syntax_uid.as_str();
            let sending = frames::sending(&wanted.payload(), syntax, stored);
            if sending.is_none() && !crate::dicom::transfer_syntax::decodes(stored) {
                refusal = pixels::undecodable(stored);
            }
            sending.filter(|sending| matches!(sending, Sending::Decoded | Sending::Stored(SAMPLES)))
        };
        instances.iter().map(sending).collect::<Option<Vec<Sending>>>()
    });
    let sendings = chosen.ok_or(refusal)?;
    let validators = Validators::of(&instances, request, &format!("{extent:?} {sendings:?}"));
    if let Some(unchanged) = validators.unchanged(request) {
        return Ok(unchanged);
    }
    let (limits, base) = (wado.limits, request.base.clone());
    // The first object that has any is read before the status is sent.
    let (instances, first) = super::blocking(move || {
        for (index, instance) in instances.iter().enumerate() {
            if has_any(instance, extent, &limits)? {
                return Ok((instances, index));
            }
        }
        Err(Problem::NotFound("there is no bulk data in these objects".to_owned()))
    })
    .await?;
    let multipart = Multipart::new(SAMPLES);
    let content_type = [(header::CONTENT_TYPE, multipart.content_type())];
    let body = body::written(move |sink| {
        for (instance, sending) in instances.iter().zip(sendings).skip(first) {
            let answer = Answer { multipart: &multipart, url: super::url(&base, instance), limits: &limits };
            answer.values(instance, extent, sending, sink)?;
        }
        multipart.end(sink)
    });
    Ok(validators.mark((content_type, body).into_response()))
}

fn has_any(instance: &StoredInstance, extent: Extent, limits: &Limits) -> Result<bool, Problem> {
    if StoredImage::open(&instance.path, limits)?.is_some() {
        return Ok(true);
    }
    let header = bounded::open_header(&instance.path, limits)?;
    Ok(extent == Extent::All && !paths(&header).is_empty())
}

/// The parts of one object.
struct Answer<'a> {
    multipart: &'a Multipart,
    url: String,
    limits: &'a Limits,
}

impl Answer<'_> {
    fn values(
        &self,
        instance: &StoredInstance,
        extent: Extent,
        sending: Sending,
        sink: &mut impl Write,
    ) -> io::Result<()> {
        if extent == Extent::All {
            let header = bounded::open_header(&instance.path, self.limits).map_err(io::Error::other)?;
            for steps in paths(&header) {
                let value = Value::at(instance, &steps, self.limits).map_err(io::Error::other)?;
                self.part(uids::EXPLICIT_VR_LITTLE_ENDIAN, &bulk_data(&steps), sink)?;
                value.write(0..value.length(), sink)?;
            }
        }
        let image = StoredImage::open(&instance.path, self.limits).map_err(io::Error::other)?;
        let Some(image) = image else { return Ok(()) };
        if sending == Sending::Decoded {
            let steps = [(image.frames.tag(), None)];
            let value = Value::pixels(image).map_err(io::Error::other)?;
            self.part(uids::EXPLICIT_VR_LITTLE_ENDIAN, &bulk_data(&steps), sink)?;
            return value.write(0..value.length(), sink);
        }
        for frame in 0..image.frames.count() {
            self.part(instance.transfer_syntax_uid.as_str(), &format!("frames/{}", frame + 1), sink)?;
            sink.write_all(&image.frames.bytes(frame).map_err(io::Error::other)?)?;
        }
        Ok(())
    }

    fn part(&self, transfer_syntax_uid: &str, path: &str, sink: &mut impl Write) -> io::Result<()> {
        self.multipart.begin_part(sink, transfer_syntax_uid, &format!("{}/{path}", self.url))
    }
}

/// The paths of all large values before the pixels.
fn paths(data_set: &DataSet) -> Vec<Vec<Step>> {
    fn walk(data_set: &DataSet, before: &[Step], found: &mut Vec<Vec<Step>>) {
        for element in data_set {
            let with = |item| [before, &[(element.tag(), item)]].concat();
            if is_bulk(element) && element.value().primitive().is_some() {
                found.push(with(None));
            }
            for (index, item) in element.value().items().unwrap_or_default().iter().enumerate() {
                walk(item, &with(Some(index)), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(data_set, &[], &mut found);
    found
}

/// The end of the URL that metadata has for a value.
fn bulk_data(steps: &[Step]) -> String {
    let step = |(tag, item): &(Tag, Option<usize>)| match item {
        Some(item) => format!("{}/{item}/", key(*tag)),
        None => key(*tag),
    };
    format!("bulkdata/{}", steps.iter().map(step).collect::<String>())
}

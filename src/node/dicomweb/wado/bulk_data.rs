//! `/bulkdata/{path}`: the large values that metadata refers to, whole or by range
//! ([PS3.18 10.4.1.1.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::io::Write;
use std::ops::Range;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::super::body::{self, Multipart};
use super::super::media::covers;
use super::super::request::Request;
use super::Wado;
use super::frames::SAMPLES;
use super::pixels::{self, Object};
use crate::dicom::elements::DataSet;
use crate::node::http::{HttpResult, Problem};

/// Answers a request for a value. The segment `path` is what the BulkDataURI has after `/bulkdata/`: `TAG` or `TAG/ITEM/TAG`.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let Some(multipart) =
        request.accept().first(|wanted| covers(&wanted.payload(), SAMPLES).then_some(wanted.is_multipart()))
    else {
        return Err(Problem::NotAcceptable("bulk data is given as application/octet-stream only".to_owned()));
    };
    let instance = wado.instance(&request.address).await?;
    let path = request.segment("path").unwrap_or_default().to_owned();
    let location = format!("{}/bulkdata/{path}", super::url(&request.base, &instance));
    let limits = wado.limits;
    let content = super::blocking(move || value(&pixels::read(&instance, &limits)?, &path)).await?;
    let length = content.len();
    let (status, range) = match request.header(header::RANGE).map(|text| self::range(text, length)) {
        None | Some(Asked::Whole) => (StatusCode::OK, 0..length),
        Some(Asked::Part(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Asked::Outside) => return Err(Problem::RangeNotSatisfiable(length as u64)),
    };
    let described = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
    let part = content.slice(range);
    let mut response = if multipart {
        let multipart = Multipart::new(SAMPLES);
        let content_type = multipart.content_type();
        let body = body::written(move |sink| {
            multipart.begin_part(sink, uids::EXPLICIT_VR_LITTLE_ENDIAN, &location)?;
            sink.write_all(&part)?;
            multipart.end(sink)
        });
        (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
    } else {
        let headers = [(header::CONTENT_TYPE, SAMPLES), (header::ACCEPT_RANGES, "bytes")];
        (status, headers, part).into_response()
    };
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = described.parse()
    {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// The bytes of a value, little endian; pixel data decoded.
fn value(object: &Object, path: &str) -> Result<bytes::Bytes, Problem> {
    let missing = || Problem::NotFound("there is no such bulk data in this object".to_owned());
    let mut data_set: &DataSet = object;
    let mut steps = path.split('/');
    loop {
        let tag = steps.next().and_then(tag).ok_or_else(missing)?;
        let Some(item) = steps.next() else {
            if tag == tags::PIXEL_DATA {
                return samples(object);
            }
            let value = data_set.get(tag).and_then(|element| element.value().primitive()).ok_or_else(missing)?;
            return Ok(value.to_bytes().into_owned().into());
        };
        let index: usize = item.parse().map_err(|_| missing())?;
        data_set = data_set
            .get(tag)
            .and_then(|element| element.value().items())
            .and_then(|items| items.get(index))
            .ok_or_else(missing)?;
    }
}

fn samples(object: &Object) -> Result<bytes::Bytes, Problem> {
    if let Some(native) = object.get(tags::PIXEL_DATA).and_then(|element| element.value().primitive()) {
        return Ok(native.to_bytes().into_owned().into());
    }
    let mut samples = Vec::new();
    for frame in 0..pixels::count(object) {
        samples.extend_from_slice(&pixels::native(object, frame)?);
    }
    Ok(samples.into())
}

fn tag(text: &str) -> Option<Tag> {
    let digits = (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten()?;
    Some(Tag((digits >> 16) as u16, digits as u16))
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Everything: no range of bytes, more than one, or none that can be read (RFC 9110 14.2 allows to ignore it).
    Whole,
    /// These bytes.
    Part(Range<usize>),
    /// Nothing that is there.
    Outside,
}

fn range(text: &str, length: usize) -> Asked {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    let range = match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..length.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => length.saturating_sub(suffix)..length,
        _ => return Asked::Whole,
    };
    if range.is_empty() { Asked::Outside } else { Asked::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_means_them() {
        assert_eq!(range("bytes=0-9", 100), Asked::Part(0..10));
        assert_eq!(range("bytes=90-200", 100), Asked::Part(90..100));
        assert_eq!(range("bytes=90-", 100), Asked::Part(90..100));
        assert_eq!(range("bytes=-10", 100), Asked::Part(90..100));
        assert_eq!(range("bytes=100-", 100), Asked::Outside);
        assert_eq!(range("bytes=-0", 100), Asked::Outside);
        assert_eq!(range("bytes=0-1,5-6", 100), Asked::Whole);
        assert_eq!(range("pages=1-2", 100), Asked::Whole);
        assert_eq!(range("bytes=9-1", 100), Asked::Whole);
    }
}

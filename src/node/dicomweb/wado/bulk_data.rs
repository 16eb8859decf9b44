//! `/bulkdata/{path}`: a large value that metadata refers to, whole or by range
//! ([PS3.18 10.4.1.1.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::ops::Range;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use dicom_core::Tag;
use dicom_dictionary_std::uids;

use super::super::body::{self, Part};
use super::super::media::covers;
use super::super::request::Request;
use super::super::validators::Validators;
use super::frames::SAMPLES;
use super::value::{Step, Value};
use super::{Wado, value};
use crate::node::http::{HttpResult, Problem};

/// Answers a request for a value. The segment `path` is what the BulkDataURI has after `/bulkdata/`: `TAG` or `TAG/ITEM/TAG`.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let accept = request.accept();
    let Some(multipart) = accept.first(|wanted| covers(&wanted.payload(), SAMPLES).then_some(wanted.is_multipart()))
    else {
        return Err(Problem::NotAcceptable("bulk data is given as application/octet-stream only".to_owned()));
    };
    let instance = wado.instance(&request.address).await?;
    let validators =
        Validators::of(std::slice::from_ref(&instance), &request, if multipart { "parts" } else { "value" });
    if let Some(unchanged) = validators.unchanged(&request) {
        return Ok(unchanged);
    }
    let path = request.segment("path").unwrap_or_default().to_owned();
    let location = format!("{}/bulkdata/{path}", super::url(&request.base, &instance));
    let limits = wado.limits;
    let steps = steps(&path).ok_or_else(value::missing)?;
    let value = super::blocking(move || Value::at(&instance, &steps, &limits)).await?;
    let length = value.length();
    let (status, range) = match request.header(header::RANGE).map(|text| self::range(text, length)) {
        None | Some(Asked::Whole) => (StatusCode::OK, 0..length),
        Some(Asked::Part(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Asked::Outside) => return Err(Problem::RangeNotSatisfiable(length)),
    };
    let described = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
    let length = Some(range.end - range.start);
    let mut response = if multipart {
        let transfer_syntax_uid = uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned();
        let part = Part { transfer_syntax_uid, location, length, content: range };
        body::parts(SAMPLES, vec![part], move |range, sink| value.write(range, sink))
    } else {
        let headers = [(header::CONTENT_TYPE, SAMPLES), (header::ACCEPT_RANGES, "bytes")];
        let body = body::written(move |sink| value.write(range, sink));
        body::with_length((headers, body).into_response(), length)
    };
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::try_from(described)
    {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(validators.mark(response))
}

/// Reads `TAG` or `TAG/ITEM/TAG`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut parts = path.split('/');
    let mut steps = Vec::new();
    while let Some(text) = parts.next() {
        let item = parts.next().map(str::parse).transpose().ok()?;
        steps.push((tag(text)?, item));
    }
    steps.last().is_some_and(|(_, item)| item.is_none()).then_some(steps)
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
    Part(Range<u64>),
    /// Nothing that is there.
    Outside,
}

fn range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
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

    #[test]
    fn a_path_is_an_element_or_leads_through_items() {
        assert_eq!(steps("7FE00010"), Some(vec![(Tag(0x7FE0, 0x0010), None)]));
        let inside = vec![(Tag(0x0040, 0xA730), Some(2)), (Tag(0x0042, 0x0011), None)];
        assert_eq!(steps("0040A730/2/00420011"), Some(inside));
        for wrong in ["", "0040A730/2", "pixels", "0040A730/x/00420011"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
    }
}

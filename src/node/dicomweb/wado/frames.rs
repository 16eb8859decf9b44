//! `/frames/{list}`: pixel data frame by frame
//! ([PS3.18 10.4.1.1.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::collections::HashSet;
use std::io::{self, Write};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use dicom_dictionary_std::uids;

use super::super::body::{self, Part};
use super::super::media::{Accept, covers, frame_media_type};
use super::super::request::Request;
use super::super::validators::Validators;
use super::{Wado, pixels};
use crate::dicom::stored_frames::StoredImage;
use crate::dicom::transfer_syntax;
use crate::node::http::{HttpResult, Problem};

/// The media type of plain samples, and of frames as they are stored for clients that name no other.
pub(super) const SAMPLES: &str = "application/octet-stream";

/// How frames are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// As plain samples, little endian.
    Decoded,
    /// As they are stored, under this media type.
    Stored(&'static str),
}

impl Sending {
    fn payload(self) -> &'static str {
        match self {
            Self::Decoded => SAMPLES,
            Self::Stored(payload) => payload,
        }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    sending: Sending,
    /// A single frame as the body, rather than as a part.
    single: bool,
}

/// Answers a request for frames, counted from 1, separated by commas.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let numbers = numbers(request.segment("list").unwrap_or_default())?;
    let instance = wado.instance(&request.address).await?;
    let stored_in = instance.transfer_syntax_uid.clone();
    let form = choose(&request.accept(), stored_in.as_str(), numbers.len())?;
    let validators = Validators::of(std::slice::from_ref(&instance), &request, &format!("{form:?}"));
    if let Some(unchanged) = validators.unchanged(&request) {
        return Ok(unchanged);
    }
    let Form { sending, single } = form;
    let limits = wado.limits;
    let location = super::url(&request.base, &instance);
    // The first frame is read before the status is sent: if that fails, the answer is an error.
    let (first, image, numbers) = super::blocking(move || {
        let image = pixels::open(&instance, &limits)?;
        check(&numbers, image.frames.count())?;
        Ok((frame(&image, numbers[0], sending)?, image, numbers))
    })
    .await?;
    let transfer_syntax_uid = match sending {
        Sending::Decoded => uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        Sending::Stored(_) => stored_in.into(),
    };
    if single {
        let content_type = format!("{}; transfer-syntax={transfer_syntax_uid}", sending.payload());
        return Ok(validators.mark(([(header::CONTENT_TYPE, content_type)], first).into_response()));
    }
    let only = numbers.len() == 1;
    let mut first = Some(first);
    let parts = numbers.into_iter().map(|number| Part {
        transfer_syntax_uid: transfer_syntax_uid.clone(),
        location: format!("{location}/frames/{number}"),
        length: first.as_ref().filter(|_| only).map(|first| first.len() as u64),
        content: number,
    });
    let parts = parts.collect();
    Ok(validators.mark(body::parts(sending.payload(), parts, move |number, sink| {
        let content = first.take().map_or_else(|| frame(&image, number, sending), Ok).map_err(io::Error::other)?;
        sink.write_all(&content)
    })))
}

/// A frame, counted from 1.
fn frame(image: &StoredImage, number: usize, sending: Sending) -> Result<Vec<u8>, Problem> {
    match sending {
        Sending::Decoded => pixels::samples(image, number - 1),
        Sending::Stored(_) => Ok(image.frames.bytes(number - 1)?),
    }
}

/// Frame numbers as in a path: each at most once (PS3.18 Table 10.4.1-1), so that an answer is no larger than the object.
pub(super) fn numbers(list: &str) -> Result<Vec<usize>, Problem> {
    let number = |text: &str| text.trim().parse().ok().filter(|number: &usize| *number > 0);
    let numbers = list
        .split(',')
        .map(number)
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(|| Problem::BadRequest("frames are numbers from 1, separated by commas".to_owned()))?;
    let mut seen = HashSet::new();
    match numbers.iter().find(|number| !seen.insert(**number)) {
        Some(twice) => Err(Problem::BadRequest(format!("frame {twice} is named twice"))),
        None => Ok(numbers),
    }
}

/// Refuses numbers of frames that are not there.
pub(super) fn check(numbers: &[usize], there: usize) -> Result<(), Problem> {
    match numbers.iter().find(|number| **number > there) {
        Some(number) => Err(Problem::NotFound(format!("there is no frame {number}, only {there}"))),
        None => Ok(()),
    }
}

fn choose(accept: &Accept, stored: &str, frames: usize) -> Result<Form, Problem> {
    let mut several = false;
    let form = accept.first(|wanted| {
        let sending = sending(&wanted.payload(), wanted.parameter("transfer-syntax"), stored)?;
        // A range of types is met by multipart/related, the default.
        let single = !wanted.is_multipart() && !wanted.essence.ends_with("/*");
        several |= single && frames > 1;
        (!single || frames == 1).then_some(Form { sending, single })
    });
    form.ok_or_else(|| match frame_media_type(stored) {
        _ if several => Problem::NotAcceptable(format!("{frames} frames are given as multipart/related only")),
        Some(own) => Problem::NotAcceptable(format!("frames are given as {SAMPLES}, or as {own} as stored")),
        None => Problem::NotAcceptable(format!("frames are given as {SAMPLES}")),
    })
}

/// How frames stored in a transfer syntax are sent to a client that asks for this media type and transfer syntax.
pub(super) fn sending(payload: &str, syntax: Option<&str>, stored: &str) -> Option<Sending> {
    let encapsulated = pixels::is_encapsulated(stored);
    let own = syntax.is_none_or(|syntax| syntax == "*" || syntax == stored);
    match frame_media_type(stored) {
        Some(media_type) if own && payload == media_type => return Some(Sending::Stored(media_type)),
        // `transfer-syntax=*` means: as it is (PS3.18 8.7.3.5.2), which costs no decoding.
        _ if encapsulated && own && syntax.is_some() && covers(payload, SAMPLES) => {
            return Some(Sending::Stored(SAMPLES));
        }
        _ => {}
    }
    let plain = syntax.is_none_or(|syntax| syntax == "*" || syntax == uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let decodes = !encapsulated || transfer_syntax::decodes(stored);
    (plain && decodes && covers(payload, SAMPLES)).then_some(Sending::Decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(accept: &str, stored: &str) -> Option<(Sending, bool)> {
        let form = choose(&Accept::parse(Some(accept), None), stored, 1).ok()?;
        Some((form.sending, form.single))
    }

    #[test]
    fn frames_are_decoded_unless_the_stored_ones_are_asked_for() {
        let viewer = "multipart/related; type=application/octet-stream; transfer-syntax=*";
        assert_eq!(choice(viewer, uids::JPEG_LOSSLESS_SV1), Some((Sending::Stored(SAMPLES), false)));
        assert_eq!(choice(viewer, uids::IMPLICIT_VR_LITTLE_ENDIAN), Some((Sending::Decoded, false)));
        assert_eq!(choice("*/*", uids::EXPLICIT_VR_LITTLE_ENDIAN), Some((Sending::Decoded, false)));
        assert_eq!(choice("*/*", uids::JPEG_LOSSLESS_SV1), Some((Sending::Decoded, false)));
        let jpeg = "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.70";
        assert_eq!(choice(jpeg, uids::JPEG_LOSSLESS_SV1), Some((Sending::Stored("image/jpeg"), false)));
        assert_eq!(choice(jpeg, uids::EXPLICIT_VR_LITTLE_ENDIAN), None);
        let raw = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.5";
        assert_eq!(choice(raw, uids::RLE_LOSSLESS), Some((Sending::Stored(SAMPLES), false)));
        assert_eq!(choice("image/png", uids::RLE_LOSSLESS), None);
        // What cannot be decoded is still given as it is.
        assert_eq!(choice(viewer, uids::JPEG_EXTENDED12_BIT), Some((Sending::Stored(SAMPLES), false)));
        assert_eq!(choice("application/octet-stream", uids::MPEG2MPML), None);
    }

    #[test]
    fn one_frame_is_the_body_where_no_multipart_is_asked_for() {
        let plain = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        assert_eq!(choice("application/octet-stream", plain), Some((Sending::Decoded, true)));
        assert_eq!(choice("image/jls", uids::JPEGLS_LOSSLESS), Some((Sending::Stored("image/jls"), true)));
        let two = |accept| choose(&Accept::parse(Some(accept), None), plain, 2).map(|form| form.single);
        assert_eq!(two("application/octet-stream, */*;q=0.5"), Ok(false));
        assert!(two("application/octet-stream").is_err());
    }

    #[test]
    fn frames_are_counted_from_one_and_named_once() {
        assert_eq!(numbers("1,3, 2"), Ok(vec![1, 3, 2]));
        for wrong in ["", "0", "1,", "a", "-1", "1,2,1"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
        assert!(check(&[1, 3], 3).is_ok() && check(&[1, 4], 3).is_err());
    }
}

//! `/frames/{list}`: pixel data frame by frame
//! ([PS3.18 10.4.1.1.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::borrow::Cow;
use std::io::Write;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use dicom_dictionary_std::uids;

use super::super::body::{self, Multipart};
use super::super::media::{Accept, covers};
use super::super::request::Request;
use super::Wado;
use super::pixels::{self, Object};
use crate::node::archive::StoredInstance;
use crate::node::http::{HttpResult, Problem};

/// The media type of plain samples.
pub(super) const SAMPLES: &str = "application/octet-stream";

/// How frames are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// As plain samples, little endian.
    Decoded,
    /// As they are compressed, under this media type.
    Compressed(&'static str),
}

/// Answers a request for frames, counted from 1, separated by commas.
pub(in super::super) async fn retrieve(State(wado): State<Wado>, request: Request) -> HttpResult {
    let numbers = numbers(request.segment("list").unwrap_or_default())?;
    let instance = wado.instance(&request.address).await?;
    let sending = choose(&request.accept(), &instance)?;
    let location = super::url(&request.base, &instance);
    let stored_in = instance.transfer_syntax_uid.clone();
    let limits = wado.limits;
    let (object, numbers) = super::blocking(move || {
        let object = pixels::read(&instance, &limits)?;
        let there = pixels::count(&object);
        match numbers.iter().find(|number| **number > there) {
            Some(number) => Err(Problem::NotFound(format!("there is no frame {number}, only {there}"))),
            // The first frame is tried before the status is sent: if that fails, the answer is an error.
            None => frame(&object, numbers[0], sending).map(|_| ()).map(|()| (object, numbers)),
        }
    })
    .await?;
    let (payload, transfer_syntax_uid) = match sending {
        Sending::Decoded => (SAMPLES, uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned()),
        Sending::Compressed(payload) => (payload, stored_in.into()),
    };
    let multipart = Multipart::new(payload);
    let content_type = multipart.content_type();
    let body = body::written(move |sink| {
        for number in numbers {
            let content = frame(&object, number, sending).map_err(std::io::Error::other)?;
            multipart.begin_part(sink, &transfer_syntax_uid, &format!("{location}/frames/{number}"))?;
            sink.write_all(&content)?;
        }
        multipart.end(sink)
    });
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn frame(object: &Object, number: usize, sending: Sending) -> Result<Cow<'_, [u8]>, Problem> {
    match sending {
        Sending::Decoded => pixels::native(object, number - 1),
        Sending::Compressed(_) => pixels::compressed(object, number - 1).map(Cow::Owned).ok_or_else(|| {
            Problem::NotAcceptable("the fragments of this object cannot be told apart; ask for samples".to_owned())
        }),
    }
}

/// Frame numbers as in a path.
pub(super) fn numbers(list: &str) -> Result<Vec<usize>, Problem> {
    let number = |text: &str| text.trim().parse().ok().filter(|number: &usize| *number > 0);
    list.split(',')
        .map(number)
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(|| Problem::BadRequest("frames are numbers from 1, separated by commas".to_owned()))
}

fn choose(accept: &Accept, instance: &StoredInstance) -> Result<Sending, Problem> {
    let stored = instance.transfer_syntax_uid.as_str();
    let compressed = pixels::media_type(stored);
    accept
        .first(|wanted| {
            let payload = wanted.payload();
            let syntax = wanted.parameter("transfer-syntax");
            let own = syntax.is_none_or(|syntax| syntax == "*" || syntax == stored);
            let plain = syntax.is_none_or(|syntax| syntax == "*" || syntax == uids::EXPLICIT_VR_LITTLE_ENDIAN);
            match compressed {
                Some(media_type) if own && payload == media_type => Some(Sending::Compressed(media_type)),
                Some(_) if syntax == Some(stored) && covers(&payload, SAMPLES) => Some(Sending::Compressed(SAMPLES)),
                _ if plain && covers(&payload, SAMPLES) => Some(Sending::Decoded),
                _ => None,
            }
        })
        .ok_or_else(|| {
            let own = compressed.map_or_else(String::new, |media_type| format!(", or as {media_type} as stored"));
            Problem::NotAcceptable(format!("frames are given as application/octet-stream{own}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Uid;
    use crate::node::store::BlobName;

    fn choice(accept: &str, stored: &str) -> Option<Sending> {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let instance = StoredInstance {
            study_instance_uid: uid("1.1"),
            series_instance_uid: uid("1.2"),
            sop_instance_uid: uid("1.3"),
            sop_class_uid: uid("1.4"),
            transfer_syntax_uid: uid(stored),
            sha256: String::new(),
            blob: BlobName::of("", ""),
            is_result: false,
            path: "unused".into(),
        };
        choose(&Accept::parse(Some(accept), None), &instance).ok()
    }

    #[test]
    fn frames_are_decoded_unless_the_compressed_ones_are_asked_for() {
        let viewer = "multipart/related; type=application/octet-stream; transfer-syntax=*";
        assert_eq!(choice(viewer, uids::JPEG_LOSSLESS_SV1), Some(Sending::Decoded));
        assert_eq!(choice("*/*", uids::EXPLICIT_VR_LITTLE_ENDIAN), Some(Sending::Decoded));
        let jpeg = "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.70";
        assert_eq!(choice(jpeg, uids::JPEG_LOSSLESS_SV1), Some(Sending::Compressed("image/jpeg")));
        assert_eq!(choice(jpeg, uids::EXPLICIT_VR_LITTLE_ENDIAN), None);
        let raw = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.5";
        assert_eq!(choice(raw, uids::RLE_LOSSLESS), Some(Sending::Compressed(SAMPLES)));
        assert_eq!(choice("image/png", uids::RLE_LOSSLESS), None);
    }

    #[test]
    fn frames_are_counted_from_one() {
        assert_eq!(numbers("1,3, 2"), Ok(vec![1, 3, 2]));
        for wrong in ["", "0", "1,", "a", "-1"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}

//! `/rendered` and `/thumbnail`: an image as PNG or JPEG
//! ([PS3.18 10.4.1.1.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

use std::io::Cursor;

use axum::http::header;
use axum::response::IntoResponse;
use dicom_dictionary_std::tags;
use dicom_pixeldata::{ConvertOptions, PixelDecoder, VoiLutFunction, VoiLutOption, WindowLevel, WindowLevelTransform};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::super::media::covers;
use super::super::request::Request;
use super::pixels::{self, Object};
use super::{Wado, frames};
use crate::dicom::elements;
use crate::node::http::{HttpResult, Problem};

/// The media types of pictures. A client that accepts both gets the first, which is lossless.
const OFFERED: [&str; 2] = [PNG, JPEG];
const PNG: &str = "image/png";
const JPEG: &str = "image/jpeg";
/// Quality of JPEG pictures where the client names none, of 100.
const QUALITY: u8 = 90;
/// An object never changes under its identifier, so a browser may keep its picture.
const KEPT: &str = "private, max-age=3600, immutable";
/// Longer side of a thumbnail in pixels, and of the largest picture that a client may ask for.
const THUMBNAIL: u32 = 128;
const LARGEST: u32 = 4096;
/// Centre and width in HU for CT images that name no window: that for CT pulmonary angiograms.
const CT_WINDOW: WindowLevel = WindowLevel { center: 100.0, width: 700.0 };

/// Which picture is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Size {
    /// As large as the image, or as the viewport asks.
    Full,
    /// Small.
    Thumbnail,
}

/// Answers a request for a picture of the instance, or of the middle instance below the path. Its frame counts from 1.
pub(in super::super) async fn retrieve(wado: &Wado, request: &Request, size: Size) -> HttpResult {
    let Some(media_type) =
        request.accept().first(|wanted| OFFERED.into_iter().find(|offered| covers(&wanted.payload(), offered)))
    else {
        return Err(Problem::NotAcceptable(format!("pictures are given as {PNG} or {JPEG}")));
    };
    let frame = request.segment("list").or_else(|| request.parameter("frame")).map(frames::numbers).transpose()?;
    let window = request.parameter("window").map(window).transpose()?;
    let viewport = request.parameter("viewport").map(viewport).transpose()?;
    let quality = request.parameter("quality").map_or(Ok(QUALITY), quality)?;
    let mut instances = wado.instances(&request.address).await?;
    let instance = instances.swap_remove(instances.len() / 2);
    let limits = wado.limits;
    let picture = super::blocking(move || {
        let object = pixels::read(&instance, &limits)?;
        let there = pixels::count(&object);
        let number = frame.map_or(there.div_ceil(2), |numbers| numbers[0]);
        if number == 0 || number > there {
            return Err(Problem::NotFound(format!("there is no image {number} in this object, only {there}")));
        }
        let image = picture(&object, number - 1, window)?;
        let bounds = if size == Size::Thumbnail { Some((THUMBNAIL, THUMBNAIL)) } else { viewport };
        let sized = |(width, height)| image.resize(width, height, FilterType::Triangle);
        encode(&bounds.map_or_else(|| image.clone(), sized), media_type, quality)
    })
    .await?;
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, KEPT), (header::VARY, "accept")];
    Ok((headers, picture).into_response())
}

/// A frame (counted from 0) as shown on a screen.
fn picture(object: &Object, frame: usize, window: Option<WindowLevel>) -> Result<DynamicImage, Problem> {
    let side = |tag| elements::integer(object, tag).and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
    let (width, height) = (side(tags::COLUMNS), side(tags::ROWS));
    let image = if elements::integer(object, tags::SAMPLES_PER_PIXEL).unwrap_or(1) == 1 {
        GrayImage::from_raw(width, height, grey(object, frame, window)?).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, colours(object, frame)?).map(DynamicImage::from)
    };
    image.ok_or_else(|| unreadable("its size is not that of its samples"))
}

fn unreadable(reason: impl std::fmt::Display) -> Problem {
    tracing::warn!(%reason, "an image cannot be rendered");
    Problem::NotAcceptable("this image cannot be rendered here; retrieve the object itself".to_owned())
}

/// Samples through modality LUT and window, one byte each.
fn grey(object: &Object, frame: usize, window: Option<WindowLevel>) -> Result<Vec<u8>, Problem> {
    let pixel_data = object.decode_pixel_data_frame(frame as u32).map_err(unreadable)?;
    let mut shown = if pixel_data.bits_allocated() == 1 {
        pixel_data.into_data()
    } else {
        let options = ConvertOptions::new().with_voi_lut(VoiLutOption::Identity);
        let values: Vec<f32> = pixel_data.to_vec_frame_with_options(0, &options).map_err(unreadable)?;
        let own = pixel_data.window().ok().flatten().and_then(|windows| windows.first().copied());
        let ct = elements::text(object, tags::MODALITY).as_deref() == Some("CT");
        let window = window.or(own).or(ct.then_some(CT_WINDOW)).unwrap_or_else(|| full_range(&values));
        let transform = WindowLevelTransform::new(VoiLutFunction::Linear, window);
        values.into_iter().map(|value| transform.apply(f64::from(value), 255.0).round() as u8).collect()
    };
    if elements::text(object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("MONOCHROME1") {
        for sample in &mut shown {
            *sample = u8::MAX - *sample;
        }
    }
    Ok(shown)
}

/// The window from the least value to the greatest.
fn full_range(values: &[f32]) -> WindowLevel {
    let (low, high) =
        values.iter().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    WindowLevel { center: f64::midpoint(f64::from(low), f64::from(high)), width: f64::from(high - low).max(1.0) }
}

/// Samples of an RGB image, pixel by pixel.
fn colours(object: &Object, frame: usize) -> Result<Vec<u8>, Problem> {
    let samples = pixels::native(object, frame)?.into_owned();
    if pixels::is_compressed(object) {
        return Ok(samples);
    }
    if elements::text(object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() != Some("RGB")
        || elements::integer(object, tags::BITS_ALLOCATED) != Some(8)
    {
        return Err(unreadable("its colours are not RGB of 8 bits"));
    }
    if elements::integer(object, tags::PLANAR_CONFIGURATION) != Some(1) {
        return Ok(samples);
    }
    let plane = samples.len() / 3;
    Ok((0..plane).flat_map(|pixel| [0, 1, 2].map(|colour| samples[colour * plane + pixel])).collect())
}

fn encode(image: &DynamicImage, media_type: &str, quality: u8) -> Result<Vec<u8>, Problem> {
    let mut picture = Vec::new();
    let encoded = if media_type == JPEG {
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut picture, quality))
    } else {
        image.write_to(&mut Cursor::new(&mut picture), ImageFormat::Png)
    };
    encoded.map_err(|error| {
        tracing::error!(%error, "a picture cannot be encoded");
        Problem::Failed("encode the picture")
    })?;
    Ok(picture)
}

/// `quality=1` to `quality=100` (8.3.5.1.2), for JPEG.
fn quality(text: &str) -> Result<u8, Problem> {
    let quality = text.trim().parse().ok().filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| Problem::BadRequest("quality: a number from 1 to 100 was expected".to_owned()))
}

/// `window=centre,width,function` (8.3.5.1.4).
fn window(text: &str) -> Result<WindowLevel, Problem> {
    let mut parts = text.split(',').map(str::trim);
    let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).filter(|number| number.is_finite());
    let level = number().zip(number()).filter(|(_, width)| *width >= 1.0);
    let linear = parts.next().is_none_or(|function| function.eq_ignore_ascii_case("linear"));
    level
        .filter(|_| linear)
        .map(|(center, width)| WindowLevel { center, width })
        .ok_or_else(|| Problem::BadRequest("window: centre,width,linear was expected, with a width from 1".to_owned()))
}

/// `viewport=width,height` (8.3.5.1.3): the picture fits inside.
fn viewport(text: &str) -> Result<(u32, u32), Problem> {
    let sides: Vec<u32> = text.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    match sides[..] {
        [width, height] if (1..=LARGEST).contains(&width) && (1..=LARGEST).contains(&height) => Ok((width, height)),
        _ => Err(Problem::BadRequest(format!("viewport: width,height was expected, each from 1 to {LARGEST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_pictures_are_read_or_refused() {
        let level = window("40,400,linear").expect("valid");
        assert_eq!((level.center, level.width), (40.0, 400.0));
        assert!(window("40").is_err() && window("40,0").is_err() && window("40,400,sigmoid").is_err());
        assert_eq!(quality("75"), Ok(75));
        assert!(quality("0").is_err() && quality("101").is_err() && quality("best").is_err());
        assert_eq!(viewport("100,200"), Ok((100, 200)));
        assert!(viewport("100").is_err() && viewport("0,5").is_err() && viewport("9999999,5").is_err());
    }
}

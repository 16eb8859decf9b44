//! An image as shown on a screen.

use std::io::Cursor;

use dicom_dictionary_std::tags;
use dicom_pixeldata::{ConvertOptions, DecodedPixelData, PixelDecoder, VoiLutFunction, VoiLutOption};
use dicom_pixeldata::{WindowLevel, WindowLevelTransform};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::super::pixels::{self, Object};
use super::parameters::{JPEG, Parameters, Window};
use crate::dicom::bounded::Limits;
use crate::dicom::elements;
use crate::dicom::stored_frames::StoredImage;
use crate::node::archive::StoredInstance;
use crate::node::http::Problem;

/// Centre and width in HU for CT images that name no window: that for CT pulmonary angiograms.
const CT_WINDOW: WindowLevel = WindowLevel { center: 100.0, width: 700.0 };

/// A frame (counted from 0) as a file.
pub(in super::super) fn render(
    instance: &StoredInstance,
    image: &StoredImage,
    frame: usize,
    parameters: &Parameters,
    limits: &Limits,
) -> Result<Vec<u8>, Problem> {
    let object = pixels::object(instance, image, frame, limits)?;
    let mut shown = if elements::integer(&object, tags::SAMPLES_PER_PIXEL).unwrap_or(1) == 1 {
        sized(&object, grey(&object, parameters.window)?, GrayImage::from_raw)?
    } else {
        sized(&object, colours(image, &object, frame)?, RgbImage::from_raw)?
    };
    if let Some(region) = parameters.region {
        let part = region.of(shown.width(), shown.height())?;
        shown = shown.crop_imm(part.left, part.top, part.width, part.height);
        if part.flipped_across {
            shown = shown.fliph();
        }
        if part.flipped_down {
            shown = shown.flipv();
        }
    }
    if let Some((width, height)) = parameters.bounds {
        shown = shown.resize(width, height, FilterType::Triangle);
    }
    encode(&shown, parameters)
}

/// Samples as an image of the size that the object states.
fn sized<T: Into<DynamicImage>>(
    object: &Object,
    samples: Vec<u8>,
    image: impl FnOnce(u32, u32, Vec<u8>) -> Option<T>,
) -> Result<DynamicImage, Problem> {
    let side = |tag| elements::integer(object, tag).and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
    let image = image(side(tags::COLUMNS), side(tags::ROWS), samples);
    image.map(Into::into).ok_or_else(|| unreadable("its size is not that of its samples"))
}

fn unreadable(reason: impl std::fmt::Display) -> Problem {
    tracing::warn!(%reason, "an image cannot be rendered");
    Problem::NotAcceptable("this image cannot be rendered here; retrieve the object itself".to_owned())
}

/// Samples through modality LUT and window, one byte each.
fn grey(object: &Object, window: Option<Window>) -> Result<Vec<u8>, Problem> {
    let pixel_data = object.decode_pixel_data_frame(0).map_err(unreadable)?;
    let mut shown = if pixel_data.bits_allocated() == 1 {
        pixel_data.into_data()
    } else {
        let options = ConvertOptions::new().with_voi_lut(VoiLutOption::Identity);
        let values: Vec<f32> = pixel_data.to_vec_frame_with_options(0, &options).map_err(unreadable)?;
        let Window { level, function } = window.unwrap_or_else(|| own_window(object, &pixel_data, &values));
        let transform = WindowLevelTransform::new(function, level);
        values.into_iter().map(|value| transform.apply(f64::from(value), 255.0).round() as u8).collect()
    };
    if elements::text(object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("MONOCHROME1") {
        for sample in &mut shown {
            *sample = u8::MAX - *sample;
        }
    }
    Ok(shown)
}

/// The window that an object asks for, or one that shows what is to be seen.
fn own_window(object: &Object, pixel_data: &DecodedPixelData<'_>, values: &[f32]) -> Window {
    if let Some(level) = pixel_data.window().ok().flatten().and_then(<[_]>::first) {
        let function = pixel_data.voi_lut_function().ok().flatten().and_then(<[_]>::first);
        return Window { level: *level, function: function.copied().unwrap_or_default() };
    }
    let ct = elements::text(object, tags::MODALITY).as_deref() == Some("CT");
    Window { level: if ct { CT_WINDOW } else { full_range(values) }, function: VoiLutFunction::Linear }
}

/// The window from the least value to the greatest.
fn full_range(values: &[f32]) -> WindowLevel {
    let (low, high) =
        values.iter().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    WindowLevel { center: f64::midpoint(f64::from(low), f64::from(high)), width: f64::from(high - low).max(1.0) }
}

/// Samples of an RGB image, pixel by pixel.
fn colours(image: &StoredImage, object: &Object, frame: usize) -> Result<Vec<u8>, Problem> {
    let samples = pixels::samples(image, frame)?;
    if image.frames.is_encapsulated() {
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

fn encode(image: &DynamicImage, parameters: &Parameters) -> Result<Vec<u8>, Problem> {
    let mut picture = Vec::new();
    let encoded = if parameters.media_type == JPEG {
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut picture, parameters.quality))
    } else {
        image.write_to(&mut Cursor::new(&mut picture), ImageFormat::Png)
    };
    encoded.map_err(|error| {
        tracing::error!(%error, "a picture cannot be encoded");
        Problem::Failed("encode the picture")
    })?;
    Ok(picture)
}

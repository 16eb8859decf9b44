//! Pictures of the results that came back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject};
use image::{Rgb, RgbImage};

use super::super::CliError;
use crate::dicom::elements::{self, DataSet, items};

type Object = FileDicomObject<InMemDicomObject>;

/// Colours of the segments, in the order of their numbers.
const COLOURS: [Rgb<u8>; 2] = [Rgb([64, 196, 255]), Rgb([255, 176, 64])];
/// Window of the image under the segments, in HU: that for lungs.
const WINDOW: [f32; 2] = [-1350.0, 150.0];

fn failed(what: &str) -> CliError {
    CliError::Failed(format!("{what} in an object that came back"))
}

/// Every frame of the Secondary Capture as a file of its own.
pub(super) fn frames(capture: &Object, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    let (width, height) = size(capture)?;
    let samples = bytes(capture)?;
    let plane = width as usize * height as usize * 3;
    samples
        .chunks_exact(plane)
        .enumerate()
        .map(|(index, frame)| {
            let image = RgbImage::from_raw(width, height, frame.to_vec()).ok_or_else(|| failed("bad frame size"))?;
            let name = if index == 0 { "summary.png".to_owned() } else { format!("key-{index}.png") };
            save(&image, out.join(name))
        })
        .collect()
}

/// The slice with most of both lungs, with the segments over the image they were drawn on.
pub(super) fn lungs(segmentation: &Object, images: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>, CliError> {
    let (width, height) = size(segmentation)?;
    let bits = width as usize * height as usize;
    let samples = bytes(segmentation)?;
    let filled = |frame: usize, pixel: usize| {
        let bit = frame * bits + pixel;
        samples.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    };
    let mut slices: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (frame, groups) in items(segmentation, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().enumerate() {
        if let Some((source, segment)) = source_and_segment(groups) {
            slices.entry(source).or_default().push((frame, segment));
        }
    }
    let area = |frames: &[(usize, usize)]| -> usize {
        frames.iter().map(|(frame, _)| (0..bits).filter(|pixel| filled(*frame, *pixel)).count()).sum()
    };
    let (source, frames) =
        slices.iter().max_by_key(|(_, frames)| area(frames)).ok_or_else(|| failed("no frame of a segment"))?;
    let mut picture = grey(source, images, width, height)?;
    for (frame, segment) in frames {
        let colour = COLOURS[segment.saturating_sub(1) % COLOURS.len()];
        for pixel in (0..bits).filter(|pixel| filled(*frame, *pixel)) {
            let shown = picture.get_pixel_mut((pixel % width as usize) as u32, (pixel / width as usize) as u32);
            for channel in 0..3 {
                shown[channel] = u8::midpoint(shown[channel], colour[channel]);
            }
        }
    }
    Ok(vec![save(&picture, out.join("lungs.png"))?])
}

/// The source image and the segment of a frame.
fn source_and_segment(groups: &DataSet) -> Option<(String, usize)> {
    let segment = items(groups, tags::SEGMENT_IDENTIFICATION_SEQUENCE).first()?;
    let derivation = items(groups, tags::DERIVATION_IMAGE_SEQUENCE).first()?;
    let source = items(derivation, tags::SOURCE_IMAGE_SEQUENCE).first()?;
    let number = elements::integer(segment, tags::REFERENCED_SEGMENT_NUMBER)?;
    Some((elements::text(source, tags::REFERENCED_SOP_INSTANCE_UID)?, usize::try_from(number).ok()?))
}

/// The image a segment was drawn on, windowed for lungs.
fn grey(source: &str, images: &[PathBuf], width: u32, height: u32) -> Result<RgbImage, CliError> {
    let image = images
        .iter()
        .filter_map(|path| dicom_object::open_file(path).ok())
        .find(|image| elements::text(image, tags::SOP_INSTANCE_UID).as_deref() == Some(source))
        .ok_or_else(|| failed("a source image that was never sent"))?;
    let stored = image
        .element(tags::PIXEL_DATA)
        .ok()
        .and_then(|element| element.to_multi_int::<i32>().ok())
        .ok_or_else(|| failed("no pixels"))?;
    let number = |tag, otherwise| elements::number(&image, tag).unwrap_or(otherwise) as f32;
    let (slope, intercept) = (number(tags::RESCALE_SLOPE, 1.0), number(tags::RESCALE_INTERCEPT, 0.0));
    let signed = elements::integer(&image, tags::PIXEL_REPRESENTATION) == Some(1);
    let picture = RgbImage::from_fn(width, height, |column, row| {
        let value = stored.get((row * width + column) as usize).copied().unwrap_or(0);
        let value = if signed { i32::from(value as u16 as i16) } else { value };
        let hounsfield = value as f32 * slope + intercept;
        let shade = ((hounsfield - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) * 255.0).clamp(0.0, 255.0) as u8;
        Rgb([shade; 3])
    });
    Ok(picture)
}

fn size(object: &Object) -> Result<(u32, u32), CliError> {
    let side = |tag| elements::integer(object, tag).and_then(|side| u32::try_from(side).ok());
    side(tags::COLUMNS).zip(side(tags::ROWS)).ok_or_else(|| failed("no image size"))
}

fn bytes(object: &Object) -> Result<Vec<u8>, CliError> {
    let pixels = object.element(tags::PIXEL_DATA).ok().and_then(|element| element.to_bytes().ok());
    pixels.map(std::borrow::Cow::into_owned).ok_or_else(|| failed("no pixels"))
}

fn save(picture: &RgbImage, path: PathBuf) -> Result<PathBuf, CliError> {
    picture.save(&path).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    Ok(path)
}

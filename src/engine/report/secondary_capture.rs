//! Summary and heat maps as Secondary Capture: one multi-frame true colour object, or single-frame objects for systems
//! that lack it ([PS3.3 A.8](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.8.html)).

use dicom_dictionary_std::{tags, uids};
use image::RgbImage;

use super::element::{Compose, texts};
use super::header::{Document, Header, ObjectIdentity};
use super::picture::Pictures;
use super::{Context, statements};
use crate::dicom::concept::dcm;
use crate::dicom::elements::DataSet;
use crate::engine::report::ResultKind;

/// Rows above and below each picture that stay black: viewers write there what they write over every image.
const MARGINS: [u32; 2] = [92, 60];

/// The pictures as one object or several.
pub(super) fn build(context: &Context, header: &Header, pictures: &Pictures) -> Vec<Document> {
    if context.settings.single_frame_secondary_capture {
        single_frame(context, header, pictures)
    } else {
        vec![multi_frame(context, header, pictures)]
    }
}

fn multi_frame(context: &Context, header: &Header, pictures: &Pictures) -> Document {
    let identity = header.identity(ResultKind::Sc, uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE);
    let (labels, frames): (Vec<String>, Vec<&RgbImage>) = pictures.named().unzip();
    let data_set = common(context, header, &identity, &sources(context))
        .with(tags::NUMBER_OF_FRAMES, frames.len().to_string())
        .with(tags::FRAME_INCREMENT_POINTER, tags::FRAME_LABEL_VECTOR)
        .with(tags::FRAME_LABEL_VECTOR, texts(labels.iter().map(|label| label.to_uppercase())));
    Document { identity, data_set: with_pixels(data_set, &frames) }
}

fn single_frame(context: &Context, header: &Header, pictures: &Pictures) -> Vec<Document> {
    let all = sources(context);
    let shown = |index: usize| if index == 0 { all.as_slice() } else { &all[index - 1..index] };
    let documents = pictures.named().enumerate().map(|(index, (_, frame))| {
        let class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
        let identity = header.numbered_identity(ResultKind::Sc, class, index + 1);
        let data_set =
            common(context, header, &identity, shown(index)).with(tags::INSTANCE_NUMBER, (index + 1).to_string());
        Document { identity, data_set: with_pixels(data_set, &[frame]) }
    });
    documents.collect()
}

/// The slices that the pictures show: the key slices, or all slices where there are none, since the answer then rests
/// on all of them.
fn sources(context: &Context) -> Vec<usize> {
    match context.key_slices() {
        [] => (0..context.volume.slices.len()).collect(),
        key_slices => key_slices.iter().map(|key_slice| key_slice.slice).collect(),
    }
}

/// SC equipment, general image and SC image modules.
fn common(context: &Context, header: &Header, identity: &ObjectIdentity, slices: &[usize]) -> DataSet {
    let sources = header.sources_of(slices.iter().copied());
    let source_images = sources
        .iter()
        .map(|source| source.item().with_concept(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, &dcm::SOURCE_IMAGE));
    let banner = statements::banner(context.findings).map_or_else(String::new, |text| format!("{text}. "));
    let shown = match context.findings.evidence {
        Some(_) => "Summary and heat maps of the key slices, window 100/700",
        None => "Summary, window 100/700. The classifier gives no heat map and no key slices",
    };
    let description = format!("{banner}{shown}");
    let data_set = as_capture(header.compose(identity, "OT", "PE heat maps"))
        .with(tags::DERIVATION_DESCRIPTION, description)
        .with_items(tags::SOURCE_IMAGE_SEQUENCE, source_images.collect())
        .with_items(tags::REFERENCED_SERIES_SEQUENCE, vec![header.referenced_series(&sources)]);
    header.with_lossy_compression(data_set)
}

/// What every page of this node is: no patient is named or can be recognised in it.
pub(super) fn as_capture(data_set: DataSet) -> DataSet {
    data_set
        .with(tags::IMAGE_TYPE, "DERIVED\\SECONDARY")
        .with(tags::CONVERSION_TYPE, "WSD")
        .with(tags::BODY_PART_EXAMINED, "CHEST")
        .with(tags::PATIENT_ORIENTATION, "")
        .with(tags::BURNED_IN_ANNOTATION, "NO")
        .with(tags::RECOGNIZABLE_VISUAL_FEATURES, "NO")
}

/// Image pixel module: 8-bit RGB, frame after frame, each with its margins.
pub(super) fn with_pixels(data_set: DataSet, frames: &[&RgbImage]) -> DataSet {
    let (width, shown) = frames.first().map_or((0, 0), |frame| frame.dimensions());
    let [above, below] = MARGINS;
    let height = above + shown + below;
    let rows = |count: u32| (count * width * 3) as usize;
    let mut bytes = Vec::with_capacity(frames.len() * rows(height) + 1);
    for frame in frames {
        bytes.resize(bytes.len() + rows(above), 0);
        bytes.extend_from_slice(frame.as_raw());
        bytes.resize(bytes.len() + rows(below), 0);
    }
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    data_set
        .with(tags::SAMPLES_PER_PIXEL, 3_u16)
        .with(tags::PHOTOMETRIC_INTERPRETATION, "RGB")
        .with(tags::PLANAR_CONFIGURATION, 0_u16)
        .with(tags::ROWS, height as u16)
        .with(tags::COLUMNS, width as u16)
        .with(tags::BITS_ALLOCATED, 8_u16)
        .with(tags::BITS_STORED, 8_u16)
        .with(tags::HIGH_BIT, 7_u16)
        .with(tags::PIXEL_REPRESENTATION, 0_u16)
        .with(tags::PIXEL_DATA, bytes)
}

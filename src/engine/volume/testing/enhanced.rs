//! Volumes as Enhanced CT, for tests.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, Tag};

use super::ct_image;
use crate::engine::volume::Volume;

/// Attributes of an image that an enhanced CT has in functional groups: group, then attribute.
const SHARED: [(Tag, &[Tag]); 3] = [
    (tags::PIXEL_MEASURES_SEQUENCE, &[tags::PIXEL_SPACING, tags::SLICE_THICKNESS]),
    (tags::PLANE_ORIENTATION_SEQUENCE, &[tags::IMAGE_ORIENTATION_PATIENT]),
    (tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, &[tags::RESCALE_INTERCEPT, tags::RESCALE_SLOPE]),
];

/// A frame that is to be: its slice, and its functional groups.
pub(crate) struct Frame {
    pub(crate) slice: usize,
    pub(crate) groups: InMemDicomObject,
}

/// The frames of some slices, each with position and number in its stack.
pub(crate) fn frames(volume: &Volume, slices: impl Iterator<Item = usize>) -> Vec<Frame> {
    let frame = |slice| {
        let mut image = ct_image(volume, slice, |_| {});
        let position = image.take_element(tags::IMAGE_POSITION_PATIENT).expect("a position");
        let groups = InMemDicomObject::from_element_iter([
            group(tags::PLANE_POSITION_SEQUENCE, [position]),
            group(tags::FRAME_CONTENT_SEQUENCE, [text(tags::STACK_ID, VR::SH, "1")]),
        ]);
        Frame { slice, groups }
    };
    slices.map(frame).collect()
}

/// An Enhanced CT, uncompressed; `change` can modify it.
pub(crate) fn enhanced_ct(
    volume: &Volume,
    frames: Vec<Frame>,
    change: impl Fn(&mut InMemDicomObject),
) -> InMemDicomObject {
    let mut object = ct_image(volume, frames[0].slice, |_| {});
    let stored = |frame: &Frame| {
        let image = ct_image(volume, frame.slice, |_| {});
        image.element(tags::PIXEL_DATA).expect("pixels").to_multi_int::<u16>().expect("words")
    };
    let pixels: Vec<u16> = frames.iter().flat_map(stored).collect();
    let mut taken = |tag: &Tag| object.take_element(*tag).expect("an attribute");
    let shared = SHARED.map(|(sequence, attributes)| group(sequence, attributes.iter().map(&mut taken)));
    object.remove_element(tags::IMAGE_POSITION_PATIENT);
    let sequence = |tag, items: Vec<InMemDicomObject>| DataElement::new(tag, VR::SQ, DataSetSequence::from(items));
    for element in [
        text(tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4.1"),
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string()),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![InMemDicomObject::from_element_iter(shared)]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.into_iter().map(|frame| frame.groups).collect()),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())),
    ] {
        object.put(element);
    }
    change(&mut object);
    object
}

/// A functional group of one item.
pub(crate) fn group(sequence: Tag, elements: impl IntoIterator<Item = InMemElement>) -> InMemElement {
    let item = InMemDicomObject::from_element_iter(elements);
    DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item]))
}

/// A value in a text representation.
pub(crate) fn text(tag: Tag, vr: VR, value: &str) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

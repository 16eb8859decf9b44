//! Functional groups ([PS3.3
//! C.7.6.16](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.16.html)): what the header of
//! an object of one image says of that image, a multi-frame object says in sequences, once for all frames or for each.

use dicom_core::header::Header as _;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use dicom_object::mem::InMemElement;

use super::super::elements::DataSet;

/// Attributes of functional groups that objects of one image have under another tag: an own header rule need know but
/// one. (Frame Content C.7.6.16.2.2, CT Image Frame Type C.8.15.3.1, Cardiac Synchronization C.7.6.16.2.7.)
const RENAMED: [(Tag, Tag); 5] = [
    (tags::FRAME_TYPE, tags::IMAGE_TYPE),
    (tags::FRAME_ACQUISITION_NUMBER, tags::ACQUISITION_NUMBER),
    (tags::FRAME_ACQUISITION_DATE_TIME, tags::ACQUISITION_DATE_TIME),
    (tags::TEMPORAL_POSITION_INDEX, tags::TEMPORAL_POSITION_IDENTIFIER),
    (tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME, tags::TRIGGER_TIME),
];

/// What a converter found no group for (C.7.6.16.2.25, C.7.6.16.2.26). Proper groups know better.
const UNASSIGNED: [Tag; 2] =
    [tags::UNASSIGNED_SHARED_CONVERTED_ATTRIBUTES_SEQUENCE, tags::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE];

/// Groups whose attributes are of other objects.
const REFERENCES: [Tag; 3] =
    [tags::CONVERSION_SOURCE_ATTRIBUTES_SEQUENCE, tags::DERIVATION_IMAGE_SEQUENCE, tags::REFERENCED_IMAGE_SEQUENCE];

/// Attributes of the object itself, besides those of its patient (group 0010) and its pixels (group 0028): no frame has
/// others. A converter may keep those of the objects that it read.
const OF_THE_OBJECT: [Tag; 7] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::INSTANCE_NUMBER,
    tags::SYNTHETIC_DATA,
];

/// How pixels are stored, the same for all frames (C.7.6.3).
const OF_ITS_PIXELS: [Tag; 9] = [
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
];

/// A header taken apart.
#[derive(Debug)]
pub(super) struct FunctionalGroups {
    /// The attributes of the object, with those of the shared groups among them.
    common: DataSet,
    /// The groups of each frame.
    frames: Vec<DataSet>,
}

impl FunctionalGroups {
    pub(super) fn of(mut header: DataSet) -> Self {
        let shared = items(&mut header, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        let frames = items(&mut header, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        header.remove_element(tags::NUMBER_OF_FRAMES);
        for groups in &shared {
            lay_over(&mut header, groups);
        }
        Self { common: header, frames }
    }

    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The header that a frame (counted from 0) would have as an object of one image. Values of its own groups come
    /// before those of shared groups, and these before those of the object.
    pub(super) fn header(&self, frame: usize) -> DataSet {
        let mut header = self.common.clone();
        if let Some(groups) = self.frames.get(frame) {
            lay_over(&mut header, groups);
        }
        header
    }
}

/// Takes the items of a sequence out of a data set; none if there is no such sequence.
fn items(header: &mut DataSet, sequence: Tag) -> Vec<DataSet> {
    let taken = header.take_element(sequence).ok();
    taken.and_then(|element| element.into_value().into_items()).into_iter().flatten().collect()
}

/// Puts groups, and the attributes of those that have one item, into a header.
fn lay_over(header: &mut DataSet, groups: &DataSet) {
    let (unassigned, assigned): (Vec<&InMemElement>, Vec<&InMemElement>) =
        groups.iter().partition(|group| UNASSIGNED.contains(&group.tag()));
    for group in unassigned.into_iter().chain(assigned) {
        if let Some([item]) = group.items().filter(|_| !REFERENCES.contains(&group.tag())) {
            item.iter().for_each(|element| put(header, element));
        }
        if !UNASSIGNED.contains(&group.tag()) {
            put(header, group);
        }
    }
}

fn put(header: &mut DataSet, element: &InMemElement) {
    let tag = element.tag();
    let is_of_the_object = tag.group() == 0x0010 || OF_THE_OBJECT.contains(&tag) || OF_ITS_PIXELS.contains(&tag);
    if is_of_the_object && header.get(tag).is_some() {
        return;
    }
    if let Some((_, classic)) = RENAMED.iter().find(|(enhanced, _)| *enhanced == tag) {
        header.put(InMemElement::new(*classic, element.vr(), element.value().clone()));
    }
    header.put(element.clone());
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    use super::*;
    use crate::dicom::elements::{integer, number, text};

    fn sequence(tag: Tag, items: Vec<DataSet>) -> InMemElement {
        DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
    }

    fn group(tag: Tag, elements: Vec<InMemElement>) -> InMemElement {
        sequence(tag, vec![DataSet::from_element_iter(elements)])
    }

    fn value(tag: Tag, vr: VR, value: &str) -> InMemElement {
        DataElement::new(tag, vr, PrimitiveValue::from(value))
    }

    fn header(shared: Vec<InMemElement>, frames: Vec<Vec<InMemElement>>) -> FunctionalGroups {
        let frames = frames.into_iter().map(DataSet::from_element_iter).collect();
        FunctionalGroups::of(DataSet::from_element_iter([
            value(tags::IMAGE_TYPE, VR::CS, "MIXED"),
            value(tags::PATIENT_ID, VR::LO, "A"),
            value(tags::INSTANCE_NUMBER, VR::IS, "4"),
            value(tags::SLICE_THICKNESS, VR::DS, "9"),
            sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![DataSet::from_element_iter(shared)]),
            sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames),
        ]))
    }

    #[test]
    fn a_frame_comes_before_what_is_shared_and_that_before_the_object() {
        let measures =
            |thickness| group(tags::PIXEL_MEASURES_SEQUENCE, vec![value(tags::SLICE_THICKNESS, VR::DS, thickness)]);
        let groups = header(vec![measures("2")], vec![vec![], vec![measures("1")]]);
        assert_eq!(groups.frames(), 2);
        let thickness = |frame| number(&groups.header(frame), tags::SLICE_THICKNESS);
        assert_eq!([thickness(0), thickness(1)], [Some(2.0), Some(1.0)]);
        assert_eq!(number(&header(vec![], vec![vec![]]).header(0), tags::SLICE_THICKNESS), Some(9.0));
    }

    #[test]
    fn attributes_of_a_frame_have_the_names_that_images_have() {
        let frame_type = group(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, vec![value(tags::FRAME_TYPE, VR::CS, "ORIGINAL")]);
        let number = DataElement::new(tags::FRAME_ACQUISITION_NUMBER, VR::US, PrimitiveValue::from(3_u16));
        let content = group(tags::FRAME_CONTENT_SEQUENCE, vec![number]);
        let header = header(vec![frame_type], vec![vec![content]]).header(0);
        assert_eq!(text(&header, tags::IMAGE_TYPE).as_deref(), Some("ORIGINAL"));
        assert_eq!(integer(&header, tags::ACQUISITION_NUMBER), Some(3));
    }

    #[test]
    fn what_a_converter_kept_aside_counts_least_and_changes_neither_patient_nor_object() {
        let kept = vec![
            value(tags::SLICE_THICKNESS, VR::DS, "3"),
            value(tags::KVP, VR::DS, "100"),
            value(tags::PATIENT_ID, VR::LO, "B"),
            value(tags::INSTANCE_NUMBER, VR::IS, "77"),
        ];
        let unassigned = group(tags::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE, kept);
        let measures = group(tags::PIXEL_MEASURES_SEQUENCE, vec![value(tags::SLICE_THICKNESS, VR::DS, "1")]);
        let source = vec![value(tags::SOP_INSTANCE_UID, VR::UI, "1.9"), value(tags::MODALITY, VR::CS, "MR")];
        let source = group(tags::CONVERSION_SOURCE_ATTRIBUTES_SEQUENCE, source);
        let header = header(vec![], vec![vec![measures, source, unassigned]]).header(0);
        assert_eq!((number(&header, tags::SLICE_THICKNESS), number(&header, tags::KVP)), (Some(1.0), Some(100.0)));
        assert_eq!(text(&header, tags::PATIENT_ID).as_deref(), Some("A"));
        assert_eq!(integer(&header, tags::INSTANCE_NUMBER), Some(4));
        assert!(header.get(tags::MODALITY).is_none() && header.get(tags::SOP_INSTANCE_UID).is_none());
    }

    #[test]
    fn a_group_of_several_items_says_nothing_of_the_image() {
        let voltage = |value_| DataSet::from_element_iter([value(tags::KVP, VR::DS, value_)]);
        let sources = sequence(tags::CTX_RAY_DETAILS_SEQUENCE, vec![voltage("80"), voltage("140")]);
        let header = header(vec![sources], vec![vec![]]).header(0);
        assert_eq!(number(&header, tags::KVP), None);
    }
}

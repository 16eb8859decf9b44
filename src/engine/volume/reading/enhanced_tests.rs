//! Enhanced CT: the same volume as of single images, and the same rules for its frames.

use std::path::PathBuf;

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::entries::JPEG_LS_LOSSLESS_IMAGE_COMPRESSION;

use super::super::testing::enhanced::{Frame, enhanced_ct, frames, group, text};
use super::super::testing::{LIMITS, SUPINE, geometry, volume, write, write_series};
use super::*;
use crate::dicom::FrameNumber;

const SLICES: usize = 40;

fn source() -> Volume {
    volume(geometry([24, 20, SLICES], [0.8, 0.7, 1.25], SUPINE), |[x, y, z]| 20.0 * x + 10.0 * y + 7.0 * z)
}

/// An order of slices that has nothing to do with positions.
fn shuffled() -> impl Iterator<Item = usize> {
    (0..SLICES).map(|index| (index * 7 + 3) % SLICES)
}

fn read(objects: Vec<InMemDicomObject>) -> SeriesReading {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = |(index, object): (usize, InMemDicomObject)| {
        let path = folder.path().join(format!("{index}.dcm"));
        write(object, &path);
        path
    };
    let paths: Vec<PathBuf> = objects.into_iter().enumerate().map(name).collect();
    read_series(&paths, &LIMITS)
}

fn whole(reading: SeriesReading) -> Volume {
    assert_eq!((reading.rejections, reading.left_out), (vec![], vec![]));
    reading.volume.expect("a volume")
}

fn frame_numbers(volume: &Volume) -> Vec<u32> {
    volume.slices.iter().filter_map(|slice| slice.image.frame()).map(FrameNumber::get).collect()
}

fn put_group(frame: &mut Frame, group: dicom_object::mem::InMemElement) {
    frame.groups.put(group);
}

#[test]
fn an_enhanced_ct_is_the_volume_of_its_single_images() {
    let source = source();
    let folder = tempfile::tempdir().expect("temporary folder");
    let single = whole(read_series(&write_series(&source, folder.path(), |_, _| {}), &LIMITS));
    let reading = read(vec![enhanced_ct(&source, frames(&source, shuffled()), |_| {})]);
    assert_eq!(reading.series_instance_uid.as_ref().map(Uid::as_str), Some("1.2.3.4"));
    let enhanced = whole(reading);
    assert_eq!(enhanced.hounsfield, single.hounsfield);
    assert_eq!(enhanced.geometry, single.geometry);
    for (slice, number) in shuffled().zip(1..) {
        assert_eq!(enhanced.slices[slice].image.frame().map(FrameNumber::get), Some(number));
        assert_eq!(enhanced.slices[slice].position, single.slices[slice].position);
        assert_eq!(enhanced.slices[slice].image.sop_class_uid(), uids::ENHANCED_CT_IMAGE_STORAGE);
    }
    assert_eq!(crate::dicom::elements::number(&enhanced.header, tags::SLICE_THICKNESS), Some(1.25));
    assert!(enhanced.header.get(tags::PIXEL_DATA).is_none());
}

#[test]
fn a_frame_has_a_rescale_of_its_own() {
    let source = source();
    let mut all = frames(&source, 0..SLICES);
    let rescale = [text(tags::RESCALE_INTERCEPT, VR::DS, "-1000"), text(tags::RESCALE_SLOPE, VR::DS, "1")];
    put_group(&mut all[9], group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, rescale));
    let read = whole(read(vec![enhanced_ct(&source, all, |_| {})]));
    assert_eq!(read.hounsfield[(9, 10, 12)], source.hounsfield[(9, 10, 12)] + 24);
    assert_eq!(read.hounsfield[(8, 10, 12)], source.hounsfield[(8, 10, 12)]);
}

#[test]
fn compressed_frames_are_found_whatever_their_fragments() {
    let source = source();
    let native = enhanced_ct(&source, frames(&source, shuffled()), |_| {});
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut object = native.with_meta(meta).expect("meta");
    object.transcode(&JPEG_LS_LOSSLESS_IMAGE_COMPRESSION.erased()).expect("compressed");
    let Value::PixelSequence(sequence) = object.element(tags::PIXEL_DATA).expect("pixels").value().clone() else {
        panic!("encapsulated")
    };
    assert_eq!(sequence.fragments().len(), SLICES);
    let halves: Vec<Vec<u8>> = sequence
        .fragments()
        .iter()
        .flat_map(|fragment| {
            let (first, second) = fragment.split_at(fragment.len() / 4 * 2);
            [first.to_vec(), second.to_vec()]
        })
        .collect();
    let starts = halves.chunks(2).scan(0, |offset, pair| {
        let start = *offset;
        *offset += pair.iter().map(|half| half.len() as u32 + 8).sum::<u32>();
        Some(start)
    });
    for fragments in [
        PixelFragmentSequence::new(starts.collect::<Vec<u32>>(), halves.clone()),
        PixelFragmentSequence::new(Vec::new(), halves.clone()),
    ] {
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
        let file = tempfile::NamedTempFile::new().expect("file");
        object.write_to_file(file.path()).expect("write");
        let read = whole(read_series(&[file.path().to_owned()], &LIMITS));
        assert_eq!(read.hounsfield, source.hounsfield);
    }
}

#[test]
fn phases_of_one_object_are_stacks_and_the_one_left_out_is_named_by_its_frames() {
    let source = source();
    let phase = |number: u32| {
        frames(&source, 0..SLICES).into_iter().map(move |mut frame| {
            let index = DataElement::new(tags::TEMPORAL_POSITION_INDEX, VR::UL, PrimitiveValue::from(number));
            put_group(&mut frame, group(tags::FRAME_CONTENT_SEQUENCE, [index]));
            let rescale = if number == 1 { "-1024" } else { "-1020" };
            let rescale = [text(tags::RESCALE_INTERCEPT, VR::DS, rescale), text(tags::RESCALE_SLOPE, VR::DS, "1")];
            put_group(&mut frame, group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, rescale));
            frame
        })
    };
    // As scanners write them: place by place, one phase after another.
    let interleaved = phase(1).zip(phase(2)).flat_map(|(first, second)| [first, second]).collect();
    let reading = read(vec![enhanced_ct(&source, interleaved, |_| {})]);
    assert_eq!(reading.rejections, []);
    let read = reading.volume.expect("a volume");
    assert_eq!(frame_numbers(&read), (0..SLICES as u32).map(|slice| 2 * slice + 1).collect::<Vec<_>>());
    assert_eq!(read.hounsfield, source.hounsfield);
    let [left_out] = &reading.left_out[..] else { panic!("{:?}", reading.left_out) };
    assert_eq!((left_out.kind, left_out.images), (LeftOutKind::OtherStack, SLICES));
    assert!(left_out.explanation.contains("40 frames from 2 to 80 of instance 1"), "{}", left_out.explanation);
}

/// The slices in three objects of one concatenation.
fn concatenation(source: &Volume, total: bool) -> Vec<InMemDicomObject> {
    let parts = [0..15, 15..30, 30..SLICES];
    let part = |(number, slices): (u16, std::ops::Range<usize>)| {
        enhanced_ct(source, frames(source, slices.clone()), |object| {
            let short = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
            object.put(text(tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.3.4.{number}")));
            object.put(text(tags::CONCATENATION_UID, VR::UI, "1.2.3.4.9"));
            object.put(short(tags::IN_CONCATENATION_NUMBER, number));
            if total {
                object.put(short(tags::IN_CONCATENATION_TOTAL_NUMBER, 3));
            }
            let before = PrimitiveValue::from(slices.start as u32);
            object.put(DataElement::new(tags::CONCATENATION_FRAME_OFFSET_NUMBER, VR::UL, before));
        })
    };
    (1..).zip(parts).map(part).collect()
}

#[test]
fn a_concatenation_is_read_as_one_object() {
    let source = source();
    let mut parts = concatenation(&source, true);
    parts.rotate_left(1);
    let read = whole(read(parts));
    assert_eq!(read.hounsfield, source.hounsfield);
    assert_eq!(frame_numbers(&read), (1..=15).chain(1..=15).chain(1..=10).collect::<Vec<_>>());
    assert_eq!(read.slices[20].image.sop_instance_uid().as_str(), "1.2.3.4.2");
}

#[test]
fn a_part_that_did_not_come_is_missing_also_at_the_end() {
    let source = source();
    let without = |index: usize, total| {
        let mut parts = concatenation(&source, total);
        parts.remove(index);
        let reading = read(parts);
        let explained = reading.rejections.iter().find(|one| one.reason == Reason::MissingSlices);
        explained.map(|one| one.explanation.clone()).unwrap_or_default()
    };
    assert_eq!(without(2, true), "part 3 of a concatenation of 3 parts did not come");
    let middle = without(1, false);
    assert!(middle.contains("15 of 40 slices are missing") && middle.contains("part 2"), "{middle}");
}

#[test]
fn a_frame_that_is_no_slice_or_cannot_be_decoded_is_left_out_and_named() {
    let source = source();
    let mut all = frames(&source, 0..SLICES);
    all[0].groups.remove_element(tags::PLANE_POSITION_SEQUENCE);
    let localizer = text(tags::FRAME_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER\\NONE");
    put_group(&mut all[39], group(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, [localizer]));
    let transformation = group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, [text(tags::RESCALE_SLOPE, VR::DS, "0")]);
    put_group(&mut all[38], transformation);
    let reading = read(vec![enhanced_ct(&source, all, |_| {})]);
    assert_eq!(reading.rejections, []);
    assert_eq!(frame_numbers(&reading.volume.expect("a volume")), (2..=38).collect::<Vec<_>>());
    let told: Vec<(LeftOutKind, &str)> =
        reading.left_out.iter().map(|one| (one.kind, one.explanation.as_str())).collect();
    assert_eq!(
        told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [LeftOutKind::Localizer, LeftOutKind::WithoutPosition, LeftOutKind::Unreadable]
    );
    for ((_, explanation), frame) in told.iter().zip([40, 1, 39]) {
        assert!(explanation.contains(&format!("(frame {frame} of instance 1)")), "{explanation}");
    }
}

#[test]
fn an_object_that_cannot_be_read_says_why() {
    let source = source();
    let object = enhanced_ct(&source, frames(&source, 0..SLICES), |object| {
        object.put(text(tags::NUMBER_OF_FRAMES, VR::IS, "39"));
    });
    let reading = read(vec![object]);
    let [rejection] = &reading.rejections[..] else { panic!("{:?}", reading.rejections) };
    assert_eq!(rejection.reason, Reason::Unreadable);
    assert!(rejection.explanation.contains("Number of Frames (0028,0008) is 39"), "{rejection:?}");
    assert!(rejection.explanation.contains("(instance 1)"), "{rejection:?}");
}

#[test]
fn a_frame_of_a_converted_series_knows_its_source() {
    let source = source();
    let mut all = frames(&source, 0..SLICES);
    for (index, frame) in all.iter_mut().enumerate() {
        let instance = text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &format!("1.2.3.7.{index}"));
        put_group(frame, group(tags::CONVERSION_SOURCE_ATTRIBUTES_SEQUENCE, [instance]));
    }
    let class = uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE;
    let read = whole(read(vec![enhanced_ct(&source, all, |object| {
        object.put(text(tags::SOP_CLASS_UID, VR::UI, class));
    })]));
    assert_eq!(read.slices[5].converted_from.as_ref().map(Uid::as_str), Some("1.2.3.7.5"));
    assert_eq!(read.slices[5].image.sop_class_uid(), class);
}

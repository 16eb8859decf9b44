//! Hostile bytes as images and volumes.

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;

use super::nifti;
use super::pixels::{self, Tables};
use crate::dicom::bounded;
use crate::dicom::elements::{DataSet, integer};
use crate::dicom::fuzzing::{LIMITS, written};

/// One for each decoder.
const CODINGS: [&str; 6] = [
    uids::RLE_LOSSLESS,
    uids::JPEG_BASELINE8_BIT,
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEGLS_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::JPEG_EXTENDED12_BIT,
];

/// A code stream of an image that a header describes: the first bytes are the coding, rows, columns and what bits there are.
pub(crate) fn code_stream(bytes: &[u8]) {
    let Some(([coding, rows, columns, bits], stream)) = bytes.split_first_chunk::<4>() else { return };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let allocated = if bits & 0x80 == 0 { 16 } else { 8 };
    let stored = u16::from(bits & 0x0f).clamp(1, allocated);
    let numbers = [
        (tags::ROWS, u16::from(*rows).max(1)),
        (tags::COLUMNS, u16::from(*columns).max(1)),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::PIXEL_REPRESENTATION, u16::from(bits & 0x40 != 0)),
        (tags::SAMPLES_PER_PIXEL, 1),
    ];
    let mut header = DataSet::from_element_iter(
        numbers.map(|(tag, number)| DataElement::new(tag, VR::US, PrimitiveValue::from(number))),
    );
    for (tag, number) in [(tags::RESCALE_SLOPE, "1"), (tags::RESCALE_INTERCEPT, "-1024")] {
        header.put(DataElement::new(tag, VR::DS, PrimitiveValue::from(number)));
    }
    header.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from("MONOCHROME2")));
    let fragments = PixelFragmentSequence::new(Vec::new(), vec![stream.to_vec()]);
    header.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(coding)
        .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("1.2.3");
    if let Ok(mut object) = header.with_meta(meta) {
        let mut hounsfield = vec![0; usize::from(*rows).max(1) * usize::from(*columns).max(1)];
        let _ = pixels::decode(&mut object, &mut Tables::default(), &mut hounsfield);
    }
}

/// A file whose pixels are decoded.
pub(crate) fn image(bytes: &[u8]) {
    let Ok(mut object) = bounded::file(bytes, &LIMITS) else { return };
    let count = |tag| integer(&object, tag).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let Some(pixels) = count(tags::ROWS).checked_mul(count(tags::COLUMNS)).filter(|count| *count <= 1 << 20) else {
        return;
    };
    let _ = pixels::decode(&mut object, &mut Tables::default(), &mut vec![0; pixels]);
}

/// A volume of training.
pub(crate) fn volume(bytes: &[u8]) {
    let _ = nifti::read(written(bytes, "nii").path());
}

//! The lossy compression that an image has been through. Whatever is made of such an image has been through it, too
//! ([PS3.3 C.7.6.1.1.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.html)).

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, Tag};

use crate::dicom::elements::{DataSet, integer, text, texts};

/// Methods and ratios, one entry a step as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LossyCompression {
    ratios: Vec<String>,
    methods: Vec<String>,
}

impl LossyCompression {
    /// What an image says of itself, and what its transfer syntax shows.
    pub(super) fn of(image: &FileDicomObject<DataSet>) -> Option<Self> {
        let declared = text(image, tags::LOSSY_IMAGE_COMPRESSION);
        let coding = lossy_coding(image.meta().transfer_syntax());
        match (declared.as_deref(), coding) {
            (Some("01"), coding) => {
                let values = |tag| texts(image, tag).into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>();
                let mut told = Self {
                    ratios: values(tags::LOSSY_IMAGE_COMPRESSION_RATIO),
                    methods: values(tags::LOSSY_IMAGE_COMPRESSION_METHOD),
                };
                if told.ratios.is_empty() {
                    told.ratios.extend(coding.and_then(|_| ratio(image)));
                }
                if told.methods.is_empty() {
                    told.methods.extend(coding.map(|coding| coding.method.to_owned()));
                }
                Some(told)
            }
            (Some(_), Some(coding)) if coding.also_lossless => None,
            (_, Some(coding)) => {
                Some(Self { ratios: ratio(image).into_iter().collect(), methods: vec![coding.method.to_owned()] })
            }
            (_, None) => None,
        }
    }

    /// Writes it into the header of a volume.
    pub(super) fn tell(&self, header: &mut DataSet) {
        let mut put = |tag: Tag, vr, values: &[String]| {
            if !values.is_empty() {
                header.put(DataElement::new(tag, vr, PrimitiveValue::Strs(values.into())));
            }
        };
        put(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, &["01".to_owned()]);
        put(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, &self.ratios);
        put(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, &self.methods);
    }
}

#[derive(Debug, Clone, Copy)]
struct Coding {
    /// Defined term of Lossy Image Compression Method.
    method: &'static str,
    /// Images without loss have the same transfer syntax; one that says so is believed.
    also_lossless: bool,
}

/// The coding of a transfer syntax in which images lose something.
fn lossy_coding(transfer_syntax: &str) -> Option<Coding> {
    let (method, also_lossless) = match transfer_syntax.trim_matches([' ', '\0']) {
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => ("ISO_10918_1", false),
        uids::JPEGLS_NEAR_LOSSLESS => ("ISO_14495_1", true),
        uids::JPEG2000 => ("ISO_15444_1", true),
        uids::HTJ2K => ("ISO_15444_15", true),
        _ => return None,
    };
    Some(Coding { method, also_lossless })
}

/// Bytes of the image by those of its fragments, to a tenth.
fn ratio(image: &DataSet) -> Option<String> {
    let fragments = image.element_opt(tags::PIXEL_DATA).ok()??.value().fragments()?;
    let compressed: usize = fragments.iter().map(Vec::len).sum();
    let native = [tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED]
        .into_iter()
        .try_fold(1.0 / 8.0, |product, tag| Some(product * integer(image, tag)? as f64))?;
    (compressed > 0).then(|| format!("{:.1}", (native / compressed as f64).max(1.0)))
}

#[cfg(test)]
mod tests {
    use dicom_core::dicom_value;
    use dicom_core::value::PixelFragmentSequence;
    use dicom_object::FileMetaTableBuilder;

    use super::*;

    /// An image of 200 bytes in a fragment of 20.
    fn image(transfer_syntax: &str, declared: &[(Tag, VR, &str)]) -> FileDicomObject<DataSet> {
        let number = |tag, value: u16| DataElement::new(tag, VR::US, dicom_value!(U16, [value]));
        let mut image = DataSet::from_element_iter([
            number(tags::ROWS, 10),
            number(tags::COLUMNS, 10),
            number(tags::BITS_ALLOCATED, 16),
        ]);
        for (tag, vr, value) in declared {
            image.put(DataElement::new(*tag, *vr, PrimitiveValue::from(*value)));
        }
        let fragments = PixelFragmentSequence::new_fragments(vec![vec![0_u8; 20]]);
        image.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(transfer_syntax)
            .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
            .media_storage_sop_instance_uid("1.2");
        image.with_exact_meta(meta.build().expect("meta"))
    }

    #[test]
    fn loss_is_what_an_image_says_or_what_its_transfer_syntax_shows() {
        let lossy = |value| (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, value);
        let ratio = (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "4\\8");
        let method = (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, "ISO_10918_1\\ISO_15444_1");
        for (transfer_syntax, declared, expected) in [
            (uids::EXPLICIT_VR_LITTLE_ENDIAN, vec![], None),
            (uids::EXPLICIT_VR_LITTLE_ENDIAN, vec![lossy("00")], None),
            (uids::EXPLICIT_VR_LITTLE_ENDIAN, vec![lossy("01"), ratio, method], Some("4,8 ISO_10918_1,ISO_15444_1")),
            (uids::EXPLICIT_VR_LITTLE_ENDIAN, vec![lossy("01")], Some(" ")),
            (uids::JPEG_BASELINE8_BIT, vec![lossy("00")], Some("10.0 ISO_10918_1")),
            (uids::JPEGLS_NEAR_LOSSLESS, vec![], Some("10.0 ISO_14495_1")),
            (uids::JPEG2000, vec![lossy("01")], Some("10.0 ISO_15444_1")),
            (uids::JPEG2000, vec![lossy("00")], None),
            (uids::JPEG2000_LOSSLESS, vec![], None),
        ] {
            let found = LossyCompression::of(&image(transfer_syntax, &declared));
            let told = found.map(|lossy| format!("{} {}", lossy.ratios.join(","), lossy.methods.join(",")));
            assert_eq!(told.as_deref(), expected, "{transfer_syntax} {declared:?}");
        }
    }
}

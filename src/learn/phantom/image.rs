//! Slices as CT images ([PS3.3 A.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.3.html)).

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::exam::{Exam, Slice};
use super::truth::Folders;
use super::{PhantomError, Recipe, Site};
use crate::dicom::Uid;
use crate::engine::volume::VoxelPoint;

/// The identifiers of an exam.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) study: Uid,
    pub(super) series: Uid,
    frame_of_reference: Uid,
    pub(super) patient: String,
}

impl Identity {
    pub(super) fn of(exam: &Exam) -> Self {
        Self::of_recipe(exam.recipe())
    }

    pub(super) fn of_recipe(recipe: &Recipe) -> Self {
        // Twins are two studies of one patient, so that no split of patients parts them.
        let (seed, index, anatomy) = (recipe.seed.to_string(), recipe.index.to_string(), recipe.anatomy);
        // The internal site is not named: its identifiers are those of before there was another one.
        let (cohort, patient) = match recipe.site {
            Site::Internal => (recipe.preset.name().to_owned(), format!("PHANTOM-{seed}-{anatomy}")),
            Site::External => {
                (format!("{} external", recipe.preset.name()), format!("PHANTOM-EXTERNAL-{seed}-{anatomy}"))
            }
        };
        let uid = |kind: &str| Uid::derived(["pe-node phantom", &cohort, &seed, &index, kind]);
        Self { study: uid("study"), series: uid("series"), frame_of_reference: uid("frame of reference"), patient }
    }

    pub(super) fn instance(&self, slice: usize) -> Uid {
        Uid::derived([self.series.as_str(), &slice.to_string()])
    }
}

/// The part of the data set that all slices of an exam share.
pub(super) fn header(exam: &Exam, identity: &Identity) -> InMemDicomObject {
    let scanner = &exam.scanner;
    let recipe = exam.recipe();
    let date = format!("2020{:02}{:02}", 1 + recipe.index / 28 % 12, 1 + recipe.index % 28);
    let born = format!("{}0101", 2019 - exam.age);
    let number = recipe.index.to_string();
    let directions = exam.geometry().directions;
    let orientation: Vec<f64> = directions[..2].iter().flatten().copied().collect();
    let pixel = decimal(f64::from(scanner.pixel));
    let mut header = InMemDicomObject::new_empty();
    let mut text = |tag: Tag, vr: VR, value: &str| {
        header.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    };
    text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL");
    text(tags::SYNTHETIC_DATA, VR::CS, "YES");
    text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
    for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::ACQUISITION_DATE, tags::CONTENT_DATE] {
        text(tag, VR::DA, &date);
    }
    for tag in [tags::STUDY_TIME, tags::SERIES_TIME, tags::ACQUISITION_TIME, tags::CONTENT_TIME] {
        text(tag, VR::TM, "120000");
    }
    text(tags::ACCESSION_NUMBER, VR::SH, &format!("A{}-{number}", recipe.seed));
    text(tags::MODALITY, VR::CS, "CT");
    text(tags::MANUFACTURER, VR::LO, "pe-node phantom");
    text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "");
    text(tags::STUDY_DESCRIPTION, VR::LO, "Synthetic CT pulmonary angiogram");
    text(tags::SERIES_DESCRIPTION, VR::LO, "CTPA axial");
    text(tags::MANUFACTURER_MODEL_NAME, VR::LO, scanner.model);
    text(tags::PATIENT_NAME, VR::PN, &format!("Phantom^{number}"));
    text(tags::PATIENT_ID, VR::LO, &identity.patient);
    text(tags::PATIENT_BIRTH_DATE, VR::DA, &born);
    text(tags::PATIENT_SEX, VR::CS, if exam.woman { "F" } else { "M" });
    text(tags::PATIENT_AGE, VR::AS, &format!("{:03}Y", exam.age));
    text(tags::CONTRAST_BOLUS_AGENT, VR::LO, "Iodinated contrast");
    text(tags::CONTRAST_BOLUS_ROUTE, VR::LO, "IV");
    text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
    text(tags::SLICE_THICKNESS, VR::DS, &decimal(f64::from(scanner.thickness)));
    text(tags::SPACING_BETWEEN_SLICES, VR::DS, &decimal(f64::from(scanner.spacing)));
    text(tags::KVP, VR::DS, &scanner.kilovolts.to_string());
    text(tags::PROTOCOL_NAME, VR::LO, "CTPA");
    text(tags::CONVOLUTION_KERNEL, VR::SH, scanner.kernel);
    text(tags::PATIENT_POSITION, VR::CS, scanner.orientation.code());
    text(tags::STUDY_INSTANCE_UID, VR::UI, identity.study.as_str());
    text(tags::SERIES_INSTANCE_UID, VR::UI, identity.series.as_str());
    text(tags::STUDY_ID, VR::SH, &number);
    text(tags::SERIES_NUMBER, VR::IS, "2");
    text(tags::ACQUISITION_NUMBER, VR::IS, "1");
    text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&orientation));
    text(tags::FRAME_OF_REFERENCE_UID, VR::UI, identity.frame_of_reference.as_str());
    text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
    text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    text(tags::PIXEL_SPACING, VR::DS, &format!("{pixel}\\{pixel}"));
    text(tags::WINDOW_CENTER, VR::DS, "100");
    text(tags::WINDOW_WIDTH, VR::DS, "700");
    text(tags::RESCALE_INTERCEPT, VR::DS, &decimal(f64::from(scanner.storage.intercept)));
    text(tags::RESCALE_SLOPE, VR::DS, &decimal(f64::from(scanner.storage.slope)));
    text(tags::RESCALE_TYPE, VR::LO, "HU");
    pixels(exam, &mut header);
    header
}

/// The image pixel module without the pixels.
fn pixels(exam: &Exam, header: &mut InMemDicomObject) {
    let storage = &exam.scanner.storage;
    let size = exam.scanner.size as u16;
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, size),
        (tags::COLUMNS, size),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, storage.bits),
        (tags::HIGH_BIT, storage.bits - 1),
        (tags::PIXEL_REPRESENTATION, u16::from(storage.signed)),
    ] {
        header.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    if let Some(padding) = storage.padding {
        let element = if storage.signed {
            DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, PrimitiveValue::from(padding as i16))
        } else {
            DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(padding as u16))
        };
        header.put(element);
    }
}

/// Writes one slice (0 the lowest) below the folder of its study.
pub(super) fn write(
    exam: &Exam,
    identity: &Identity,
    header: &InMemDicomObject,
    index: usize,
    slice: &Slice,
    folders: &Folders,
) -> Result<(), PhantomError> {
    let count = exam.slice_count();
    let number = if exam.scanner.head_first_order { count - index } else { index + 1 };
    let place = exam.geometry().to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: index as f64 }).0;
    let instance = identity.instance(index);
    let mut data_set = header.clone();
    for (tag, vr, value) in [
        (tags::SOP_INSTANCE_UID, VR::UI, instance.to_string()),
        (tags::INSTANCE_NUMBER, VR::IS, number.to_string()),
        (tags::IMAGE_POSITION_PATIENT, VR::DS, decimals(&place)),
        (tags::SLICE_LOCATION, VR::DS, decimal(place[2])),
    ] {
        data_set.put(DataElement::new(tag, vr, PrimitiveValue::from(value.as_str())));
    }
    data_set.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(slice.stored.as_slice().into())));
    let path = folders.series(identity).join(format!("{instance}.dcm"));
    let failed = |path: &Path, reason: String| PhantomError::Image { path: path.to_owned(), reason };
    data_set
        .with_meta(FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN))
        .map_err(|error| failed(&path, error.to_string()))?
        .write_to_file(&path)
        .map_err(|error| failed(&path, error.to_string()))
}

/// A decimal string of at most four decimals.
fn decimal(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    // Adding zero turns a negative zero into a positive one.
    format!("{}", rounded + 0.0)
}

fn decimals(values: &[f64]) -> String {
    values.iter().map(|&value| decimal(value)).collect::<Vec<_>>().join("\\")
}

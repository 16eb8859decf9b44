//! Slices as CT images ([PS3.3 A.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.3.html)).

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::error::PhantomError;
use super::exam::Exam;
use super::identifiers::Identifiers;
use super::render::Slice;
use crate::cohort::{Layout, image_name};
use crate::engine::volume::VoxelPoint;

/// The images of an exam: the part of the data set that all slices share, and where they are written.
pub(super) struct Images<'a> {
    exam: &'a Exam,
    identifiers: &'a Identifiers,
    header: InMemDicomObject,
    folder: PathBuf,
}

impl<'a> Images<'a> {
    pub(super) fn new(exam: &'a Exam, identifiers: &'a Identifiers, layout: &Layout) -> Self {
        let mut header = Header(InMemDicomObject::new_empty());
        header.patient_and_study(exam, identifiers);
        header.series(exam, identifiers);
        header.equipment(exam);
        header.image(exam);
        header.pixels(exam);
        let folder = layout.series(identifiers.study.as_str(), identifiers.series.as_str());
        Self { exam, identifiers, header: header.0, folder }
    }

    /// The folder of the images.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes one slice (0 the lowest).
    pub(super) fn write(&self, index: usize, slice: &Slice) -> Result<(), PhantomError> {
        let path = self.folder.join(image_name(self.identifiers.instance(index).as_str()));
        let encode = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
            Ok(self.data_set(index, slice).with_meta(meta)?.write_to_file(&path)?)
        };
        encode().map_err(|source| PhantomError::Image { path: path.clone(), source })
    }

    fn data_set(&self, index: usize, slice: &Slice) -> InMemDicomObject {
        let exam = self.exam;
        let number = if exam.scanner.head_first_order { exam.slice_count() - index } else { index + 1 };
        let place = exam.geometry().to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: index as f64 }).0;
        let mut data_set = Header(self.header.clone());
        data_set.text(tags::SOP_INSTANCE_UID, VR::UI, self.identifiers.instance(index).as_str());
        data_set.text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string());
        data_set.text(tags::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&place));
        data_set.text(tags::SLICE_LOCATION, VR::DS, &decimal(place[2]));
        data_set.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(slice.stored.as_slice().into()));
        data_set.0
    }
}

/// A data set while it is filled, one module of the standard at a time.
struct Header(InMemDicomObject);

impl Header {
    fn put(&mut self, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) {
        self.0.put(DataElement::new(tag, vr, value.into()));
    }

    fn text(&mut self, tag: Tag, vr: VR, value: &str) {
        self.put(tag, vr, value);
    }

    fn patient_and_study(&mut self, exam: &Exam, identifiers: &Identifiers) {
        let recipe = exam.recipe();
        let number = recipe.index.to_string();
        self.text(tags::PATIENT_NAME, VR::PN, &format!("Phantom^{number}"));
        self.text(tags::PATIENT_ID, VR::LO, &identifiers.patient);
        self.text(tags::PATIENT_BIRTH_DATE, VR::DA, &format!("{}0101", 2019 - exam.age));
        self.text(tags::PATIENT_SEX, VR::CS, if exam.woman { "F" } else { "M" });
        self.text(tags::PATIENT_AGE, VR::AS, &format!("{:03}Y", exam.age));
        // Exams of a cohort are spread over the months, never beyond the 28 days that each of them has.
        let date = format!("2020{:02}{:02}", 1 + recipe.index / 28 % 12, 1 + recipe.index % 28);
        for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::ACQUISITION_DATE, tags::CONTENT_DATE] {
            self.text(tag, VR::DA, &date);
        }
        for tag in [tags::STUDY_TIME, tags::SERIES_TIME, tags::ACQUISITION_TIME, tags::CONTENT_TIME] {
            self.text(tag, VR::TM, "120000");
        }
        self.text(tags::STUDY_INSTANCE_UID, VR::UI, identifiers.study.as_str());
        self.text(tags::STUDY_ID, VR::SH, &number);
        self.text(tags::ACCESSION_NUMBER, VR::SH, &format!("A{}-{number}", recipe.seed));
        self.text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "");
        self.text(tags::STUDY_DESCRIPTION, VR::LO, "Synthetic CT pulmonary angiogram");
    }

    fn series(&mut self, exam: &Exam, identifiers: &Identifiers) {
        self.text(tags::MODALITY, VR::CS, "CT");
        self.text(tags::SERIES_INSTANCE_UID, VR::UI, identifiers.series.as_str());
        self.text(tags::SERIES_NUMBER, VR::IS, "2");
        self.text(tags::SERIES_DESCRIPTION, VR::LO, "CTPA axial");
        self.text(tags::PROTOCOL_NAME, VR::LO, "CTPA");
        self.text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
        self.text(tags::PATIENT_POSITION, VR::CS, exam.scanner.orientation.code());
        self.text(tags::FRAME_OF_REFERENCE_UID, VR::UI, identifiers.frame_of_reference.as_str());
        self.text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
    }

    fn equipment(&mut self, exam: &Exam) {
        let scanner = &exam.scanner;
        self.text(tags::MANUFACTURER, VR::LO, "pe-node phantom");
        self.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, scanner.model);
        self.text(tags::CONVOLUTION_KERNEL, VR::SH, scanner.kernel);
        self.text(tags::KVP, VR::DS, &scanner.kilovolts.to_string());
        self.text(tags::CONTRAST_BOLUS_AGENT, VR::LO, "Iodinated contrast");
        self.text(tags::CONTRAST_BOLUS_ROUTE, VR::LO, "IV");
    }

    fn image(&mut self, exam: &Exam) {
        let scanner = &exam.scanner;
        let orientation = exam.geometry().directions[..2].concat();
        let pixel = decimal(f64::from(scanner.pixel));
        self.text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        self.text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL");
        self.text(tags::SYNTHETIC_DATA, VR::CS, "YES");
        self.text(tags::ACQUISITION_NUMBER, VR::IS, "1");
        self.text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&orientation));
        self.text(tags::PIXEL_SPACING, VR::DS, &format!("{pixel}\\{pixel}"));
        self.text(tags::SLICE_THICKNESS, VR::DS, &decimal(f64::from(scanner.thickness)));
        self.text(tags::SPACING_BETWEEN_SLICES, VR::DS, &decimal(f64::from(scanner.spacing)));
        self.text(tags::WINDOW_CENTER, VR::DS, "100");
        self.text(tags::WINDOW_WIDTH, VR::DS, "700");
        self.text(tags::RESCALE_INTERCEPT, VR::DS, &decimal(f64::from(scanner.storage.intercept)));
        self.text(tags::RESCALE_SLOPE, VR::DS, &decimal(f64::from(scanner.storage.slope)));
        self.text(tags::RESCALE_TYPE, VR::LO, "HU");
    }

    /// The image pixel module without the pixels.
    fn pixels(&mut self, exam: &Exam) {
        let storage = &exam.scanner.storage;
        let size = exam.scanner.size as u16;
        self.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, size),
            (tags::COLUMNS, size),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, storage.bits),
            (tags::HIGH_BIT, storage.bits - 1),
            (tags::PIXEL_REPRESENTATION, u16::from(storage.signed)),
        ] {
            self.put(tag, VR::US, value);
        }
        match storage.padding {
            Some(padding) if storage.signed => self.put(tags::PIXEL_PADDING_VALUE, VR::SS, padding as i16),
            Some(padding) => self.put(tags::PIXEL_PADDING_VALUE, VR::US, padding as u16),
            None => {}
        }
    }
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

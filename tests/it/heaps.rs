//! `pe-node predict` on series as hospitals send them: the numbers are those of the clean series, and the table says what
//! was left out.

use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};

use crate::predict::{Row, number, predict, rows, study};

/// The images of a series of phantoms, by instance number.
fn images() -> Vec<PathBuf> {
    let series = fs::read_dir(study()).expect("study").flatten().next().expect("a series").path();
    let mut images: Vec<PathBuf> = fs::read_dir(series).expect("series").flatten().map(|entry| entry.path()).collect();
    let instance = |path: &PathBuf| integer(&open_file(path).expect("an image"), tags::INSTANCE_NUMBER);
    images.sort_by_cached_key(instance);
    images
}

fn integer(object: &DefaultDicomObject, tag: Tag) -> i64 {
    object.element(tag).expect("element").to_int().expect("a number")
}

fn put(object: &mut DefaultDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// An export of the clean series, to which other objects are added.
struct Export {
    folder: tempfile::TempDir,
    images: Vec<PathBuf>,
}

impl Export {
    fn new() -> Self {
        let export = Self { folder: tempfile::tempdir().expect("temporary folder"), images: images() };
        for (index, image) in export.images.iter().enumerate() {
            fs::copy(image, export.folder.path().join(format!("{index:03}.dcm"))).expect("copy");
        }
        export
    }

    /// Adds a changed copy of an image.
    fn add(&self, index: usize, name: &str, change: impl Fn(&mut DefaultDicomObject)) {
        let mut object = open_file(&self.images[index]).expect("an image");
        put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.9.{name}.{index}"));
        change(&mut object);
        object.write_to_file(self.folder.path().join(format!("{name}-{index:03}.dcm"))).expect("write");
    }

    fn add_all(&self, name: &str, change: impl Fn(&mut DefaultDicomObject)) {
        (0..self.images.len()).for_each(|index| self.add(index, name, &change));
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).expect("write");
    }

    /// The only row, and what was said on the terminal.
    fn predict(&self) -> (Row, String) {
        let done = predict(&[self.folder.path()], &[]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        let mut rows = rows(&String::from_utf8_lossy(&done.stdout));
        assert_eq!(rows.len(), 1, "{rows:?}");
        (rows.remove(0), said)
    }

    /// The numbers are those of the clean series.
    fn expect(&self, left_out: &str) -> String {
        let (row, said) = self.predict();
        let (clean, _) = Self::new().predict();
        assert_eq!((row["status"].as_str(), row["reasons"].as_str()), ("analysed", ""), "{said}");
        assert_eq!(row["left_out"], left_out, "{said}");
        assert_eq!(clean["left_out"], "");
        for column in ["pe_probability", "left_lung_ml", "right_lung_ml"] {
            assert!((number(&row, column) - number(&clean, column)).abs() < 1e-3, "{column}");
        }
        said
    }
}

/// The distance of the first two slices, and the position of an image.
fn moved(object: &mut DefaultDicomObject, by: f64) {
    let position = object.element(tags::IMAGE_POSITION_PATIENT).expect("position").to_multi_float64().expect("numbers");
    let text = format!("{}\\{}\\{:.4}", position[0], position[1], position[2] + by);
    put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &text);
}

fn step(image: &Path) -> f64 {
    let image = open_file(image).expect("an image");
    image.element(tags::SPACING_BETWEEN_SLICES).expect("spacing").to_float64().expect("a number")
}

#[test]
fn an_export_with_a_localizer_a_bolus_track_and_files_of_a_viewer_gives_the_numbers_of_its_series() {
    let export = Export::new();
    export.add(3, "81", |object| {
        put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1");
        put(object, tags::INSTANCE_NUMBER, VR::IS, "901");
    });
    export.add(4, "85", |object| put(object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\AXIAL\\MIP"));
    export.add(5, "86", |object| put(object, tags::RESCALE_TYPE, VR::LO, "MGML"));
    for (number, name) in ["82", "83", "84"].into_iter().enumerate() {
        export.add(20, name, |object| {
            put(object, tags::ACQUISITION_NUMBER, VR::IS, &(number + 2).to_string());
            put(object, tags::RESCALE_INTERCEPT, VR::DS, "-900");
        });
    }
    for name in ["autorun.inf", "viewer.exe", ".DS_Store", "._000.dcm"] {
        export.write(name, b"no image");
    }
    let said = export.expect("projection=1;not-hounsfield=1;one-place=3;other-plane=1");
    assert!(said.contains("4 files are no images and were left out"), "{said}");
    assert!(said.contains("1 image left out: coronal, as a localizer or a reformat is"), "{said}");
    assert!(
        said.contains("1 image left out: no Hounsfield units: Rescale Type (0028,1054) has the value MGML"),
        "{said}"
    );
    assert!(said.contains("3 images left out: at one place") && said.contains("acquisitions 2 to 4"), "{said}");
}

#[test]
fn a_second_acquisition_between_the_slices_is_not_merged() {
    let export = Export::new();
    let half = step(&export.images[0]) / 2.0;
    export.add_all("91", |object| {
        put(object, tags::ACQUISITION_NUMBER, VR::IS, "2");
        moved(object, half);
    });
    let said = export.expect(&format!("other-stack={}", export.images.len()));
    assert!(said.contains("a further stack") && said.contains("acquisition 1 was analysed"), "{said}");
}

#[test]
fn of_two_phases_the_arterial_one_is_analysed() {
    let export = Export::new();
    // What is brighter than soft tissue is less bright in the other phase, which comes first.
    export.add_all("92", |object| {
        put(object, tags::ACQUISITION_NUMBER, VR::IS, "0");
        let number = |tag| object.element(tag).expect("element").to_float64().expect("a number");
        let (slope, intercept) = (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT));
        let bytes = object.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes").into_owned();
        let signed = integer(object, tags::PIXEL_REPRESENTATION) == 1;
        let washed_out = |stored: u16| {
            let value = if signed { f64::from(stored as i16) } else { f64::from(stored) };
            let hounsfield = slope * value + intercept;
            let fainter =
                if (80.0..2000.0).contains(&hounsfield) { 80.0 + 0.2 * (hounsfield - 80.0) } else { hounsfield };
            ((fainter - intercept) / slope).round() as i32 as u16
        };
        let stored: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| washed_out(u16::from_le_bytes([pair[0], pair[1]]))).collect();
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into())));
    });
    let said = export.expect(&format!("other-stack={}", export.images.len()));
    assert!(said.contains("acquisition 1 was analysed"), "{said}");
}

#[test]
fn identifiers_that_cannot_be_used_are_one_row_with_their_cause() {
    let export = Export::new();
    for index in 0..export.images.len() {
        let path = export.folder.path().join(format!("{index:03}.dcm"));
        let mut object = open_file(&path).expect("an image");
        put(&mut object, tags::STUDY_INSTANCE_UID, VR::UI, "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}");
        object.write_to_file(&path).expect("write");
    }
    let (row, said) = export.predict();
    assert_eq!((row["status"].as_str(), row["reasons"].as_str()), ("rejected", "unreadable"));
    let more = format!("and {} more files", export.images.len() - 1);
    assert!(said.contains(&more) && said.contains("Study Instance UID (0020,000D) is not usable"), "{said}");
}

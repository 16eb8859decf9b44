//! Volumes and series for tests.

pub(crate) mod enhanced;

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag};
use ndarray::Array3;

use super::geometry::cross;
use super::{AIR, Geometry, PatientPoint, SourceSlice, Volume, VoxelPoint};
use crate::dicom::bounded::Limits;
use crate::dicom::{SourceImage, Uid};
pub(crate) use crate::testing::test_data;

/// Limits that let every honest object pass.
pub(crate) const LIMITS: Limits = Limits { object_mib: 64, depth: 16, elements: 10_000, pixels: 1 << 24 };

/// Directions of image rows and columns: head first supine, prone, quarter turned.
pub(crate) const SUPINE: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
pub(crate) const PRONE: [[f64; 3]; 2] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];
pub(crate) const TURNED: [[f64; 3]; 2] = [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];
/// As a scanner writes feet first supine: columns grow to the right.
pub(crate) const MIRRORED: [[f64; 3]; 2] = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];

/// A grid whose middle is the patient's origin.
pub(crate) fn geometry(size: [usize; 3], spacing: [f64; 3], rows_columns: [[f64; 3]; 2]) -> Geometry {
    let normal = cross(rows_columns[0], rows_columns[1]);
    let up = if normal[2] < 0.0 { normal.map(|component| -component) } else { normal };
    let mut geometry =
        Geometry { size, spacing, directions: [rows_columns[0], rows_columns[1], up], origin: PatientPoint([0.0; 3]) };
    let [column, row, slice] = size.map(|count| (count as f64 - 1.0) / 2.0);
    let middle = geometry.to_patient(VoxelPoint { column, row, slice });
    geometry.origin = PatientPoint(middle.0.map(|component| -component));
    geometry
}

/// A volume whose voxels follow from their place in the patient.
pub(crate) fn volume(geometry: Geometry, hounsfield: impl Fn([f64; 3]) -> f64) -> Volume {
    let [columns, rows, slices] = geometry.size;
    let voxels = Array3::from_shape_fn((slices, rows, columns), |(slice, row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        hounsfield(geometry.to_patient(point).0).round().max(f64::from(AIR)) as i16
    });
    let slices = (0..slices)
        .map(|index| SourceSlice {
            image: SourceImage::object(Uid::derived([index.to_string().as_str()])),
            instance_number: Some(index as i64 + 1),
            thickness_mm: None,
            converted_from: None,
            position: geometry.to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: index as f64 }),
        })
        .collect();
    Volume::new(geometry, voxels, slices, InMemDicomObject::new_empty())
}

/// One slice of a volume as a CT image, uncompressed, with an intercept of -1024; `change` can modify it.
pub(crate) fn ct_image(volume: &Volume, slice: usize, change: impl Fn(&mut InMemDicomObject)) -> InMemDicomObject {
    let geometry = &volume.geometry;
    let text = |tag, vr, value: String| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let decimals = |values: &[f64]| values.iter().map(|value| format!("{value:.6}")).collect::<Vec<_>>().join("\\");
    let number = |tag: Tag, value: usize| DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16));
    let position = geometry.to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: slice as f64 }).0;
    let orientation = [geometry.directions[0], geometry.directions[1]].concat();
    let image = volume.hounsfield.index_axis(ndarray::Axis(0), slice);
    let stored: Vec<u16> = image.iter().map(|hounsfield| (i32::from(*hounsfield) + 1024) as u16).collect();
    let mut object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
        text(tags::SOP_INSTANCE_UID, VR::UI, volume.slices[slice].image.sop_instance_uid().to_string()),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3".to_owned()),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4".to_owned()),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.5".to_owned()),
        text(tags::MODALITY, VR::CS, "CT".to_owned()),
        DataElement::new(tags::IMAGE_TYPE, VR::CS, dicom_value!(Strs, ["ORIGINAL", "PRIMARY", "AXIAL"])),
        text(tags::INSTANCE_NUMBER, VR::IS, (slice + 1).to_string()),
        text(tags::SLICE_THICKNESS, VR::DS, geometry.spacing[2].to_string()),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, decimals(&position)),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, decimals(&orientation)),
        text(tags::PIXEL_SPACING, VR::DS, decimals(&[geometry.spacing[1], geometry.spacing[0]])),
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
        number(tags::ROWS, geometry.size[1]),
        number(tags::COLUMNS, geometry.size[0]),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::BITS_STORED, 16),
        number(tags::HIGH_BIT, 15),
        number(tags::PIXEL_REPRESENTATION, 0),
        text(tags::RESCALE_INTERCEPT, VR::DS, "-1024".to_owned()),
        text(tags::RESCALE_SLOPE, VR::DS, "1".to_owned()),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into())),
    ]);
    change(&mut object);
    object
}

/// Writes an object as a file (PS3.10), explicit VR little endian.
pub(crate) fn write(object: InMemDicomObject, path: &Path) {
    object
        .with_meta(FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN))
        .expect("file meta")
        .write_to_file(path)
        .expect("write");
}

/// Writes a volume as a series, file names in an order that has nothing to do with positions.
pub(crate) fn write_series(
    volume: &Volume,
    folder: &Path,
    change: impl Fn(usize, &mut InMemDicomObject),
) -> Vec<PathBuf> {
    let count = volume.slices.len();
    (0..count)
        .map(|index| {
            let slice = (index * 7 + 3) % count;
            let path = folder.join(format!("{index:03}.dcm"));
            write(ct_image(volume, slice, |object| change(slice, object)), &path);
            path
        })
        .collect()
}

/// The files of a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect()
}

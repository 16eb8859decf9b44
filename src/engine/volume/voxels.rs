//! A CT series as one block of voxels, and the lungs on its grid.

use std::sync::OnceLock;

use dicom_object::InMemDicomObject;
use ndarray::Array3;

use super::field_of_view::FieldOfView;
use super::geometry::{Geometry, PatientPoint};
use crate::dicom::{SourceImage, Uid};

/// One image of a volume: what results need to name it.
#[derive(Debug, Clone)]
pub struct SourceSlice {
    /// Which object it is, or which frame of which object.
    pub image: SourceImage,
    /// Instance Number (0020,0013) of the object, where it has one.
    pub instance_number: Option<i64>,
    /// Slice Thickness (0018,0050) in millimetres, where it states one.
    pub thickness_mm: Option<f64>,
    /// The object that a frame was converted from (0020,9172), where it is known.
    pub converted_from: Option<Uid>,
    /// Image Position (Patient) (0020,0032) as written in the image. It agrees with the grid of the volume within
    /// rounding, or within half a step where steps are not quite equal.
    pub position: PatientPoint,
}

/// A CT series as one block of Hounsfield units on a regular grid.
///
/// Slices are ordered along `geometry.directions[2]`, which is always the one of the two stack directions with a
/// positive component towards the head: slice 0 is the lowest. Rows and columns stay as they were stored, so a mask
/// on this grid is a mask on the source images.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The grid in the patient.
    pub geometry: Geometry,
    /// Hounsfield units, `[slice, row, column]`. Padding outside the reconstruction circle reads as air (-1024).
    pub hounsfield: Array3<i16>,
    /// One entry per slice, in the order of the first axis of `hounsfield`.
    pub slices: Vec<SourceSlice>,
    /// The data set of the first slice without pixel data: patient, study, series, equipment, acquisition. For a frame,
    /// with the values of its functional groups.
    pub header: InMemDicomObject,
    field_of_view: OnceLock<FieldOfView>,
}

impl Volume {
    /// A volume of one image for each entry of `slices`.
    pub fn new(
        geometry: Geometry,
        hounsfield: Array3<i16>,
        slices: Vec<SourceSlice>,
        header: InMemDicomObject,
    ) -> Self {
        Self { geometry, hounsfield, slices, header, field_of_view: OnceLock::new() }
    }

    /// Which pixels were reconstructed. It is found when it is first asked for, because that takes a look at all voxels;
    /// change no voxels after that. The search is parallel itself: ask before parallel work on one volume begins.
    pub fn field_of_view(&self) -> &FieldOfView {
        self.field_of_view.get_or_init(|| FieldOfView::of(&self.hounsfield.view()))
    }
}

/// Label of background in a [`LungMask`].
pub const BACKGROUND: u8 = 0;
/// Label of the patient's left lung.
pub const LEFT_LUNG: u8 = 1;
/// Label of the patient's right lung.
pub const RIGHT_LUNG: u8 = 2;

/// Lungs on the grid of their [`Volume`], `[slice, row, column]`: [`BACKGROUND`], [`LEFT_LUNG`], [`RIGHT_LUNG`].
#[derive(Debug, Clone)]
pub struct LungMask(pub Array3<u8>);

//! An exam on disk: its images, its masks, and what the tables say of it.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use nifti::NiftiHeader;
use nifti::writer::WriterOptions;
use rayon::prelude::*;
use serde::Serialize;

use super::clots::Age;
use super::exam::{Exam, Quality};
use super::image::{self, Identity};
use super::{PhantomError, Recipe};
use crate::engine::volume::Geometry;

/// Where a cohort lies.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

impl Folders {
    /// The folders below `root`; nothing is made yet.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn slice_table(&self) -> PathBuf {
        self.root.join("train.csv")
    }

    pub(super) fn exam_table(&self) -> PathBuf {
        self.truth().join("exams.csv")
    }

    pub(super) fn truth(&self) -> PathBuf {
        self.root.join("truth")
    }

    pub(super) fn series(&self, identity: &Identity) -> PathBuf {
        self.root.join("train").join(identity.study.as_str()).join(identity.series.as_str())
    }

    fn masks(&self, identity: &Identity) -> PathBuf {
        self.truth().join(identity.series.as_str())
    }
}

/// One row of `train.csv`, with all columns of RSPECT. `pe_present_on_image` is true to the clots also in an
/// indeterminate exam, which is neither positive nor negative in every other column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(non_snake_case, reason = "the column names are RSPECT's")]
pub(super) struct SliceRow {
    StudyInstanceUID: String,
    SeriesInstanceUID: String,
    SOPInstanceUID: String,
    pub(super) pe_present_on_image: u8,
    negative_exam_for_pe: u8,
    qa_motion: u8,
    qa_contrast: u8,
    flow_artifact: u8,
    rv_lv_ratio_gte_1: u8,
    rv_lv_ratio_lt_1: u8,
    leftsided_pe: u8,
    chronic_pe: u8,
    true_filling_defect_not_pe: u8,
    rightsided_pe: u8,
    acute_and_chronic_pe: u8,
    central_pe: u8,
    indeterminate: u8,
}

/// One row of `truth/exams.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Number of the exam in its cohort.
    pub exam: usize,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Patient ID.
    pub patient_id: String,
    /// 1 where there is an embolus, also in an indeterminate exam.
    pub pe: u8,
    /// 1 where there is so little contrast that no reader could decide.
    pub indeterminate: u8,
    /// `left`, `right`, `both`, or empty.
    pub side: &'static str,
    /// Level of the most proximal embolus, or empty.
    pub most_proximal_level: &'static str,
    /// Number of emboli.
    pub clots: usize,
    /// Millilitres of clot.
    pub clot_ml: f64,
    /// Slices that show an embolus (see [`Slice::shows_clot`](super::Slice::shows_clot)), and all slices.
    pub positive_slices: usize,
    /// See `positive_slices`.
    pub slices: usize,
    /// Names of what else the patient has, joined by `;`.
    pub confounders: String,
    /// `good`, `poor` or `non-diagnostic`.
    pub enhancement: &'static str,
    /// Hounsfield units of the pulmonary arteries.
    pub pulmonary_hu: f64,
    /// Manufacturer's Model Name.
    pub scanner: &'static str,
    /// Convolution Kernel.
    pub kernel: &'static str,
    /// Slice Thickness in millimetres.
    pub slice_thickness_mm: f64,
    /// Distance of slices in millimetres.
    pub slice_spacing_mm: f64,
    /// Pixel Spacing in millimetres.
    pub pixel_mm: f64,
    /// Standard deviation of the noise in Hounsfield units.
    pub noise_hu: f64,
    /// Patient Position.
    pub orientation: &'static str,
    /// Study Instance UID of the exam that differs by the emboli alone, or empty.
    pub twin_study_instance_uid: String,
    /// `internal` or `external`.
    pub site: &'static str,
    /// How many of the emboli are chronic.
    pub chronic_clots: usize,
}

/// The clot in one slice.
struct Clot {
    microlitres: u64,
    visible: bool,
}

/// An exam as written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) record: Record,
    /// Lowest slice first.
    pub(super) rows: Vec<SliceRow>,
}

impl Exam {
    /// Renders the exam and writes images and masks: `train/STUDY/SERIES/SOP.dcm` and
    /// `truth/SERIES/{lungs,arteries,clots}.nii.gz`. Slices stream: only the masks are held.
    pub fn write(&self, folders: &Folders) -> Result<Record, PhantomError> {
        Ok(self.write_all(folders)?.record)
    }

    pub(super) fn write_all(&self, folders: &Folders) -> Result<Written, PhantomError> {
        let identity = Identity::of(self);
        for folder in [folders.series(&identity), folders.masks(&identity)] {
            fs::create_dir_all(&folder).map_err(|source| PhantomError::File { path: folder.clone(), source })?;
        }
        let geometry = self.geometry();
        let header = image::header(self, &identity);
        let plane = geometry.size[0] * geometry.size[1];
        let mut masks = ["lungs", "arteries", "clots"].map(|name| (name, vec![0_u8; plane * geometry.size[2]]));
        let [lungs, arteries, clots] = &mut masks;
        let seen: Vec<Clot> = self
            .slices()
            .zip(lungs.1.par_chunks_mut(plane))
            .zip(arteries.1.par_chunks_mut(plane))
            .zip(clots.1.par_chunks_mut(plane))
            .enumerate()
            .map(|(index, (((slice, lungs), arteries), clots))| {
                image::write(self, &identity, &header, index, &slice, folders)?;
                lungs.copy_from_slice(&slice.lungs);
                arteries.copy_from_slice(&slice.arteries);
                clots.copy_from_slice(&slice.clots);
                Ok(Clot { microlitres: slice.clot_microlitres, visible: slice.shows_clot })
            })
            .collect::<Result<_, PhantomError>>()?;
        let affine = affine(&geometry);
        masks.into_par_iter().try_for_each(|(name, mask)| {
            write_mask(&folders.masks(&identity).join(format!("{name}.nii.gz")), &geometry, &affine, mask)
        })?;
        Ok(self.describe(&identity, &seen))
    }

    /// Writes one image alone.
    #[cfg(test)]
    pub(super) fn write_slice(&self, folders: &Folders, index: usize) -> Result<(), PhantomError> {
        let identity = Identity::of(self);
        let folder = folders.series(&identity);
        fs::create_dir_all(&folder).map_err(|source| PhantomError::File { path: folder.clone(), source })?;
        image::write(self, &identity, &image::header(self, &identity), index, &self.slice(index), folders)
    }

    fn describe(&self, identity: &Identity, seen: &[Clot]) -> Written {
        let truth = self.truth();
        let scanner = &self.scanner;
        let decided = truth.pe() && !truth.indeterminate;
        let row = |(index, clot): (usize, &Clot)| SliceRow {
            StudyInstanceUID: identity.study.to_string(),
            SeriesInstanceUID: identity.series.to_string(),
            SOPInstanceUID: identity.instance(index).to_string(),
            pe_present_on_image: u8::from(clot.visible),
            negative_exam_for_pe: u8::from(!truth.pe() && !truth.indeterminate),
            qa_motion: u8::from(self.disease.motion.is_some()),
            qa_contrast: u8::from(self.quality != Quality::Good),
            flow_artifact: u8::from(!self.disease.flow.is_empty()),
            rv_lv_ratio_gte_1: u8::from(decided && self.heart.right_ventricle_dilated),
            rv_lv_ratio_lt_1: u8::from(decided && !self.heart.right_ventricle_dilated),
            leftsided_pe: u8::from(decided && truth.left),
            chronic_pe: u8::from(decided && truth.age == Some(Age::Chronic)),
            true_filling_defect_not_pe: 0,
            rightsided_pe: u8::from(decided && truth.right),
            acute_and_chronic_pe: u8::from(decided && truth.age == Some(Age::Both)),
            central_pe: u8::from(decided && truth.level.is_some_and(|level| level <= super::Level::Main)),
            indeterminate: u8::from(truth.indeterminate),
        };
        let rows: Vec<SliceRow> = seen.iter().enumerate().map(row).collect();
        let record = Record {
            exam: self.recipe.index,
            study_instance_uid: identity.study.to_string(),
            series_instance_uid: identity.series.to_string(),
            patient_id: identity.patient.clone(),
            pe: u8::from(truth.pe()),
            indeterminate: u8::from(truth.indeterminate),
            side: match (truth.left, truth.right) {
                (true, true) => "both",
                (true, false) => "left",
                (false, true) => "right",
                (false, false) => "",
            },
            most_proximal_level: truth.level.map_or("", super::Level::name),
            clots: self.clots.len(),
            clot_ml: seen.iter().map(|clot| clot.microlitres).sum::<u64>() as f64 / 1000.0,
            positive_slices: rows.iter().filter(|row| row.pe_present_on_image == 1).count(),
            slices: rows.len(),
            confounders: self.disease.names.join(";"),
            enhancement: match self.quality {
                Quality::Good => "good",
                Quality::Poor => "poor",
                Quality::NonDiagnostic => "non-diagnostic",
            },
            pulmonary_hu: f64::from(self.enhancement.pulmonary).round(),
            scanner: scanner.model,
            kernel: scanner.kernel,
            slice_thickness_mm: hundredths(scanner.thickness),
            slice_spacing_mm: hundredths(scanner.spacing),
            pixel_mm: (f64::from(scanner.pixel) * 1e4).round() / 1e4,
            noise_hu: hundredths(scanner.noise),
            orientation: scanner.orientation.code(),
            twin_study_instance_uid: self.twin().map_or_else(String::new, |twin| twin.to_string()),
            site: self.recipe.site.name(),
            chronic_clots: self.clots.iter().filter(|clot| clot.chronic).count(),
        };
        Written { record, rows }
    }

    /// The study of the exam that differs by the emboli alone.
    fn twin(&self) -> Option<crate::dicom::Uid> {
        let twin = self.recipe.twin?;
        Some(Identity::of_recipe(&Recipe { index: twin, ..self.recipe.clone() }).study)
    }
}

fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

/// Rows of the NIfTI affine: from voxel (column, row, slice) to millimetres towards right-to-left, back-to-front and
/// head, whose first two axes are opposite to DICOM's.
fn affine(geometry: &Geometry) -> [[f32; 4]; 3] {
    let sign = [-1.0, -1.0, 1.0];
    std::array::from_fn(|axis| {
        std::array::from_fn(|column| {
            let value = match column {
                3 => geometry.origin.0[axis],
                _ => geometry.directions[column][axis] * geometry.spacing[column],
            };
            (sign[axis] * value + 0.0) as f32
        })
    })
}

fn write_mask(path: &Path, geometry: &Geometry, affine: &[[f32; 4]; 3], mask: Vec<u8>) -> Result<(), PhantomError> {
    let [columns, rows, slices] = geometry.size;
    let [across, along, up] = geometry.spacing.map(|spacing| spacing as f32);
    let header = NiftiHeader {
        pixdim: [1.0, across, along, up, 1.0, 1.0, 1.0, 1.0],
        // Millimetres.
        xyzt_units: 2,
        qform_code: 0,
        // Scanner coordinates.
        sform_code: 1,
        srow_x: affine[0],
        srow_y: affine[1],
        srow_z: affine[2],
        ..NiftiHeader::default()
    };
    let mask =
        Array3::from_shape_vec((slices, rows, columns), mask).expect("the mask was made with the size of the geometry");
    WriterOptions::new(path)
        .reference_header(&header)
        .write_nifti(&mask.t())
        .map_err(|source| PhantomError::Mask { path: path.to_owned(), source })
}

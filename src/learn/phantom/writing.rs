//! An exam on disk: its images and its masks.

use std::path::Path;

use ndarray::Array3;
use nifti::NiftiHeader;
use nifti::writer::WriterOptions;
use rayon::prelude::*;

use super::error::{PhantomError, create_folder};
use super::exam::Exam;
use super::identifiers::Identifiers;
use super::image::Images;
use super::rows::{Rows, SeenEmboli};
use crate::cohort::{Layout, Mask, TruthRow};
use crate::engine::volume::Geometry;

impl Exam {
    /// Renders the exam and writes images and masks: `train/STUDY/SERIES/SOP.dcm` and
    /// `truth/SERIES/{lungs,arteries,clots}.nii.gz`. Slices are written as they are rendered: only the masks are held
    /// in memory.
    pub fn write(&self, layout: &Layout) -> Result<TruthRow, PhantomError> {
        Ok(self.write_with_rows(layout)?.truth)
    }

    /// As [`Self::write`], and returns the rows of the table of slices too.
    pub(super) fn write_with_rows(&self, layout: &Layout) -> Result<Rows, PhantomError> {
        let identifiers = Identifiers::of(self.recipe());
        let images = Images::new(self, &identifiers, layout);
        create_folder(images.folder())?;
        create_folder(&layout.masks(identifiers.series.as_str()))?;
        let geometry = self.geometry();
        let plane = geometry.size[0] * geometry.size[1];
        let [mut lungs, mut arteries, mut emboli] = [(); 3].map(|()| vec![0_u8; plane * geometry.size[2]]);
        let seen: Vec<SeenEmboli> = self
            .slices()
            .zip(lungs.par_chunks_mut(plane))
            .zip(arteries.par_chunks_mut(plane))
            .zip(emboli.par_chunks_mut(plane))
            .enumerate()
            .map(|(index, (((slice, lungs), arteries), emboli))| {
                images.write(index, &slice)?;
                lungs.copy_from_slice(&slice.lungs);
                arteries.copy_from_slice(&slice.arteries);
                emboli.copy_from_slice(&slice.emboli);
                Ok(SeenEmboli { microlitres: slice.emboli_microlitres, visible: slice.shows_emboli })
            })
            .collect::<Result<_, PhantomError>>()?;
        [(Mask::Lungs, lungs), (Mask::Arteries, arteries), (Mask::Emboli, emboli)].into_par_iter().try_for_each(
            |(mask, voxels)| write_mask(&layout.mask(identifiers.series.as_str(), mask), &geometry, voxels),
        )?;
        Ok(Rows::of(self, &identifiers, &seen))
    }

    /// Writes one image alone.
    #[cfg(test)]
    pub(super) fn write_slice(&self, layout: &Layout, index: usize) -> Result<(), PhantomError> {
        let identifiers = Identifiers::of(self.recipe());
        let images = Images::new(self, &identifiers, layout);
        create_folder(images.folder())?;
        images.write(index, &self.slice(index))
    }
}

fn write_mask(path: &Path, geometry: &Geometry, voxels: Vec<u8>) -> Result<(), PhantomError> {
    let [columns, rows, slices] = geometry.size;
    let voxels = Array3::from_shape_vec((slices, rows, columns), voxels)
        .expect("the mask was made with the size of the geometry");
    WriterOptions::new(path)
        .reference_header(&mask_header(geometry))
        .write_nifti(&voxels.t())
        .map_err(|source| PhantomError::Mask { path: path.to_owned(), source })
}

/// Where the voxels of a mask lie, by the affine matrix alone. `engine::volume::nifti` writes a quaternion too; these
/// headers do not change, because the bytes of a seed are a contract.
fn mask_header(geometry: &Geometry) -> NiftiHeader {
    let [across, along, up] = geometry.spacing.map(|spacing| spacing as f32);
    // The first two axes of NIfTI grow to the right and the front, those of DICOM to the left and the back.
    let sign = [-1.0, -1.0, 1.0];
    let row = |axis: usize| -> [f32; 4] {
        std::array::from_fn(|column| {
            let value = match column {
                3 => geometry.origin.0[axis],
                _ => geometry.directions[column][axis] * geometry.spacing[column],
            };
            // Adding zero turns a negative zero into a positive one.
            (sign[axis] * value + 0.0) as f32
        })
    };
    NiftiHeader {
        pixdim: [1.0, across, along, up, 1.0, 1.0, 1.0, 1.0],
        // Millimetres.
        xyzt_units: 2,
        qform_code: 0,
        // Scanner coordinates.
        sform_code: 1,
        srow_x: row(0),
        srow_y: row(1),
        srow_z: row(2),
        ..NiftiHeader::default()
    }
}

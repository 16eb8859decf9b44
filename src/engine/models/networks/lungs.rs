//! Networks that segment the lungs: slice by slice, or by patches that slide over the stack.

use std::ops::Range;

use ndarray::{Array3, Array4, Array5, ArrayView4, Axis, Slice, Zip};

use super::error::{Fault, ModelsError};
use super::limits::{BATCH, TRIALS};
use super::loading::{Extent, Loader, Part};
use super::patches::{Place, places};
use super::shape::shaped;
use crate::engine::models::identity::ModelIdentity;
use crate::engine::models::manifest::{Layout, Manifest, Patches, Role};
use crate::engine::models::package::Package;
use crate::engine::models::session::{Runtime, SessionError};
use crate::engine::models::validation::ManifestError;
use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

/// A package that segments the lungs, of the layout `slices` or `patches`.
#[derive(Debug)]
pub struct LungNetwork {
    manifest: Manifest,
    identity: ModelIdentity,
    classes: LungClasses,
    members: Vec<Part>,
}

/// Where each class lies along the class axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LungClasses {
    /// The patient's left lung.
    pub left: usize,
    /// The patient's right lung.
    pub right: usize,
    /// All other classes: the background, and further ones of a network, such as airways or effusions.
    pub other: Vec<usize>,
}

impl LungClasses {
    /// The classes that the labels of a manifest name.
    fn of(manifest: &Manifest) -> Result<Self, ManifestError> {
        let (left, right) = (manifest.class("left-lung")?, manifest.class("right-lung")?);
        let other = (0..manifest.labels.len()).filter(|class| ![left, right].contains(class));
        Ok(Self { left, right, other: other.collect() })
    }

    /// The label of the likelier lung, and how far its logit lies above the greatest of the other classes. A voxel
    /// belongs to that lung where this margin is positive; the other lung does not count against it.
    pub fn likelier_lung(&self, logit: impl Fn(usize) -> f32) -> (u8, f32) {
        let (left, right) = (logit(self.left), logit(self.right));
        let (side, lung) = if left >= right { (LEFT_LUNG, left) } else { (RIGHT_LUNG, right) };
        let other = self.other.iter().map(|class| logit(*class)).fold(f32::NEG_INFINITY, f32::max);
        (side, lung - other)
    }
}

impl LungNetwork {
    /// Loads and checks a package.
    pub fn load(package: &Package, runtime: &Runtime) -> Result<Self, ModelsError> {
        let loader = Loader::new(package, runtime)?;
        let manifest = loader.manifest().clone();
        let [rows, columns] = manifest.input.size;
        let input: Vec<Extent> = if let Some(Patches { size, .. }) = &manifest.patches {
            [1, 1].into_iter().chain(*size).map(Extent::Size).collect()
        } else {
            let slice = [manifest.input.channels(), rows, columns].map(Extent::Size);
            std::iter::once(Extent::Dynamic).chain(slice).collect()
        };
        let members = loader.members(|member| loader.part(Role::Network, member, &input))?;
        let classes = LungClasses::of(&manifest).map_err(|error| loader.unfit_manifest(error))?;
        let mut loaded = Self { identity: loader.identity(), manifest, classes, members };
        loaded.trial().map_err(|fault| loader.unfit(fault))?;
        Ok(loaded)
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name, version and digest of the package.
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// Where each class lies along the class axis.
    pub fn classes(&self) -> &LungClasses {
        &self.classes
    }

    /// Class logits `[N, classes, H, W]` of a prepared stack of N slices, the mean of all members. `batch` gives any
    /// range of the stack as `[n, C, H, W]`, lowest slice first.
    ///
    /// # Errors
    /// Those of `batch`, or the network failed.
    pub fn read_stack<E: From<SessionError>>(
        &mut self,
        slices: usize,
        batch: impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
    ) -> Result<Array4<f32>, E> {
        match (self.manifest.layout, self.manifest.patches) {
            (Layout::Patches, Some(patches)) => self.read_patches(slices, patches, batch),
            _ => self.read_slices(slices, batch),
        }
    }

    /// Class logits `[N, classes, H, W]` of prepared slices `[N, C, H, W]`.
    ///
    /// # Errors
    /// The network failed.
    pub fn logits(&mut self, images: &ArrayView4<'_, f32>) -> Result<Array4<f32>, SessionError> {
        let part = |range: Range<usize>| Ok(images.slice_axis(Axis(0), Slice::from(range)).to_owned());
        self.read_stack(images.len_of(Axis(0)), part)
    }

    fn read_slices<E: From<SessionError>>(
        &mut self,
        slices: usize,
        mut batch: impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
    ) -> Result<Array4<f32>, E> {
        let mut logits = self.nothing(slices);
        let share = 1.0 / self.members.len() as f32;
        for first in (0..slices).step_by(BATCH) {
            let range = first..(first + BATCH).min(slices);
            let images = batch(range.clone())?;
            for member in &mut self.members {
                let found = slice_logits(member, &self.manifest, &images.view())?;
                logits.slice_axis_mut(Axis(0), Slice::from(range.clone())).scaled_add(share, &found);
            }
        }
        Ok(logits)
    }

    /// One row of patches after the other, lowest first: besides the logits, no more than one patch's slices are held.
    fn read_patches<E: From<SessionError>>(
        &mut self,
        slices: usize,
        Patches { size, overlap, weights }: Patches,
        mut batch: impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
    ) -> Result<Array4<f32>, E> {
        let mut logits = self.nothing(slices);
        let [rows, columns] = self.manifest.input.size;
        let [deep, high, wide] = [(slices, size[0]), (rows, size[1]), (columns, size[2])]
            .map(|(length, size)| places(length, size, overlap, weights));
        for depth in deep {
            let images = batch(depth.range.clone())?;
            // A stack of fewer slices than a patch is padded with zeros on both sides, as in nnU-Net.
            let mut slab = Array3::zeros((size[0], rows, columns));
            let filled = depth.first..depth.first + depth.range.len();
            slab.slice_axis_mut(Axis(0), Slice::from(filled)).assign(&images.index_axis(Axis(1), 0));
            for height in &high {
                for width in &wide {
                    let patch = slab.slice_each_axis(|axis| in_plane(axis.axis, height, width));
                    let patch = patch.insert_axis(Axis(0)).insert_axis(Axis(0)).to_owned();
                    self.add_patch(&patch, [&depth, height, width], &mut logits)?;
                }
            }
        }
        Ok(logits)
    }

    /// Adds the members' logits of a patch `[1, 1, D, H, W]` to the logits of the stack.
    fn add_patch(
        &mut self,
        patch: &Array5<f32>,
        [depth, height, width]: [&Place; 3],
        logits: &mut Array4<f32>,
    ) -> Result<(), SessionError> {
        let share = 1.0 / self.members.len() as f32;
        for member in &mut self.members {
            let found = patch_logits(member, &self.manifest, patch)?;
            for (offset, slice) in depth.range.clone().enumerate() {
                let of_slice = found.index_axis(Axis(1), depth.first + offset);
                let mut sums = logits.index_axis_mut(Axis(0), slice);
                let sums = sums.slice_each_axis_mut(|axis| in_plane(axis.axis, height, width));
                Zip::indexed(sums).and(of_slice).for_each(|(_, row, column), sum, logit| {
                    *sum += logit * (share * depth.shares[offset] * height.shares[row] * width.shares[column]);
                });
            }
        }
        Ok(())
    }

    fn nothing(&self, slices: usize) -> Array4<f32> {
        let [rows, columns] = self.manifest.input.size;
        Array4::zeros((slices, self.manifest.labels.len(), rows, columns))
    }

    /// Runs every member on a blank input.
    fn trial(&mut self) -> Result<(), Fault> {
        let [rows, columns] = self.manifest.input.size;
        for member in &mut self.members {
            let outcome = if let Some(Patches { size: [slices, rows, columns], .. }) = &self.manifest.patches {
                let blank = Array5::zeros((1, 1, *slices, *rows, *columns));
                patch_logits(member, &self.manifest, &blank).map(drop)
            } else {
                TRIALS.into_iter().try_for_each(|slices| {
                    let blank = Array4::zeros((slices, self.manifest.input.channels(), rows, columns));
                    slice_logits(member, &self.manifest, &blank.view()).map(drop)
                })
            };
            outcome.map_err(|error| member.fault(error))?;
        }
        Ok(())
    }
}

/// The part that a patch covers of an array whose rows and columns are its second and third axis.
fn in_plane(axis: Axis, height: &Place, width: &Place) -> Slice {
    match axis {
        Axis(1) => Slice::from(height.range.clone()),
        Axis(2) => Slice::from(width.range.clone()),
        _ => Slice::from(..),
    }
}

/// Class logits `[N, classes, H, W]` of prepared slices `[N, C, H, W]`.
fn slice_logits(
    member: &mut Part,
    manifest: &Manifest,
    images: &ArrayView4<'_, f32>,
) -> Result<Array4<f32>, SessionError> {
    let [rows, columns] = manifest.input.size;
    let [logits] = member.run(images.view().into_dyn())?;
    let expected = [images.len_of(Axis(0)), manifest.labels.len(), rows, columns];
    shaped(logits, member.output(0), &expected.map(Some))
}

/// Class logits `[classes, D, H, W]` of a patch `[1, 1, D, H, W]`.
fn patch_logits(member: &mut Part, manifest: &Manifest, patch: &Array5<f32>) -> Result<Array4<f32>, SessionError> {
    let (_, _, slices, rows, columns) = patch.dim();
    let [logits] = member.run(patch.view().into_dyn())?;
    let expected = [1, manifest.labels.len(), slices, rows, columns];
    let logits: Array5<f32> = shaped(logits, member.output(0), &expected.map(Some))?;
    Ok(logits.index_axis_move(Axis(0), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_other_than_the_lungs_are_not_lung() {
        let text = include_str!("../../../../fixtures/models/fixture-lungs/1.0.0/model.toml");
        let airway = "[[labels]]\nindex = 0\nname = \"airway\"\n\n[[labels]]\nindex = 3";
        let manifest = Manifest::parse(&text.replace("[[labels]]\nindex = 0", airway)).expect("four classes");
        let classes = LungClasses::of(&manifest).expect("both lungs");
        assert_eq!(classes, LungClasses { left: 1, right: 2, other: vec![0, 3] });
        for (logits, expected) in [
            ([0.0, 5.0, 4.5, 1.0], (LEFT_LUNG, 4.0)),
            ([0.0, 4.5, 5.0, 1.0], (RIGHT_LUNG, 4.0)),
            ([6.0, 5.0, 1.0, 0.0], (LEFT_LUNG, -1.0)),
            ([0.0, 1.0, 5.0, 6.0], (RIGHT_LUNG, -1.0)),
        ] {
            assert_eq!(classes.likelier_lung(|class| logits[class]), expected, "{logits:?}");
        }
    }
}

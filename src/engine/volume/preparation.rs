//! The one preparation of images for networks; training, prediction and serving all use it.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Array4, ArrayView3, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use super::body::{Extent, body_centre, lung_extent};
use super::chest_wall::ChestWall;
use super::field_of_view::Place;
use super::part::Part;
use super::pixels::AIR;
use super::resample::{Edge, Edges, Resampler};
use super::{Geometry, LungMask, PatientPoint, Volume, VoxelPoint};

/// A prepared pixel was reconstructed if more than this share of it was; what is missing is rounding.
const WHOLLY_INSIDE: f32 = 0.999;

/// How images are prepared for a network. The prepared grid is axis-aligned in the patient: columns grow towards the
/// patient's left, rows towards the back, slices towards the head, whatever the source's orientation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Lowest and highest Hounsfield unit kept; they map linearly to 0 and 1 unless `normalisation` says otherwise.
    pub window: [f64; 2],
    /// How values within the window are scaled, where it is not from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// Each slice as the three channels of a colour image, where the network was made for those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// Rows and columns of a prepared slice.
    pub size: [usize; 2],
    /// Pixel distance of a prepared slice in millimetres, the same along rows and columns; the greatest for
    /// [`Crop::LungSquare`].
    pub spacing_mm: f64,
    /// Distance of prepared slices in millimetres. Thinner source slices are averaged over it, thicker ones are
    /// interpolated linearly between their neighbours.
    pub slice_step_mm: f64,
    /// Prepared slices on each side that enter as channels: 0 gives 1 channel, 1 gives 3.
    pub neighbours: usize,
    /// What the prepared grid is centred on.
    pub crop: Crop,
}

impl Preparation {
    /// Number of channels of the network's input.
    pub fn channels(&self) -> usize {
        if self.colour.is_some() { 3 } else { 2 * self.neighbours + 1 }
    }

    /// Hounsfield units within the window to what the network is given: (value - offset) x scale.
    fn scaling(&self) -> (f32, f32) {
        let [low, high] = self.window.map(|end| end as f32);
        self.normalisation.map_or((low, 1.0 / (high - low)), |Normalisation { mean, standard_deviation }| {
            (mean as f32, 1.0 / standard_deviation as f32)
        })
    }
}

/// A z-score over Hounsfield units: (value - mean) / standard deviation, after the window has clipped the value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// In Hounsfield units.
    pub mean: f64,
    /// In Hounsfield units; positive.
    pub standard_deviation: f64,
}

/// A slice as a colour image: three channels of the same values, each (value - mean) / standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Colour {
    /// One per channel.
    #[serde(default)]
    pub mean: [f64; 3],
    /// One per channel; positive.
    #[serde(default = "ones")]
    pub standard_deviation: [f64; 3],
}

fn ones() -> [f64; 3] {
    [1.0; 3]
}

/// What the prepared grid is centred on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// The bounding box of both lungs, in plane; the stack spans the lungs plus one step on each side.
    LungBox,
    /// As `lung-box`, with pixels as fine as it takes for the longer side of the box to fill the prepared slice, and
    /// never coarser than `spacing_mm`.
    LungSquare,
    /// The centre of the body (voxels above -300 HU, table excluded as far as possible), in plane; the whole stack.
    Body,
    /// The centre of the image, in plane; the whole stack.
    None,
}

/// Why images cannot be prepared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreparationError {
    /// The crop needs lungs and there are none.
    #[error("preparing images around the lungs: the lung mask is empty; choose another crop or another lung model")]
    NoLungs,
    /// A parameter that does not define a grid.
    #[error("preparing images: {0}")]
    Parameter(String),
    /// The stack does not run along the body.
    #[error("preparing images: the slices are not within 2 degrees of axial")]
    NotAxial,
}

/// Images of a volume as a network needs them, computed on demand.
///
/// Every prepared slice depends on the volume and the parameters alone, not on the batch it is in nor on the number
/// of threads: batches are bit-identical however the stack is divided.
#[derive(Debug)]
pub struct Preparer<'a> {
    volume: &'a Volume,
    preparation: Preparation,
    geometry: Geometry,
    resampler: Resampler,
    /// What lies beyond the field of view, for each prepared slice or for all of them; none for crops that show more
    /// than the chest.
    walls: Vec<ChestWall>,
}

impl<'a> Preparer<'a> {
    /// Places the prepared grid in the volume. `lungs` is needed for [`Crop::LungBox`] and [`Crop::LungSquare`] only.
    pub fn new(
        volume: &'a Volume,
        lungs: Option<&LungMask>,
        preparation: &Preparation,
    ) -> Result<Self, PreparationError> {
        check(preparation)?;
        if volume.geometry.directions[2][2] < super::image_grid::AXIAL_COSINE {
            return Err(PreparationError::NotAxial);
        }
        let geometry = prepared_geometry(volume, lungs, preparation)?;
        let edges = Edges { in_plane: Edge::Constant, slices: Edge::Nearest };
        let resampler = Resampler::new(&volume.geometry, &geometry, edges);
        let walls = match preparation.crop {
            Crop::LungBox | Crop::LungSquare => chest_walls(volume, &resampler, geometry.size),
            Crop::Body | Crop::None => Vec::new(),
        };
        Ok(Self { volume, preparation: preparation.clone(), geometry, resampler, walls })
    }

    /// Number of prepared slices.
    pub fn slices(&self) -> usize {
        self.geometry.size[2]
    }

    /// The prepared grid in the patient: axis-aligned, columns to the left, rows to the back, slices to the head.
    /// Places are mapped through it: `volume.geometry.to_voxel(preparer.geometry().to_patient(..))` and back.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The grid of a map that a network made of the prepared slices, with `rows` x `columns` cells that divide a
    /// prepared slice evenly.
    pub fn cell_geometry(&self, rows: usize, columns: usize) -> Geometry {
        let prepared = &self.geometry;
        let scale = [prepared.size[0] as f64 / columns as f64, prepared.size[1] as f64 / rows as f64];
        let first = VoxelPoint { column: (scale[0] - 1.0) / 2.0, row: (scale[1] - 1.0) / 2.0, slice: 0.0 };
        Geometry {
            size: [columns, rows, prepared.size[2]],
            spacing: [prepared.spacing[0] * scale[0], prepared.spacing[1] * scale[1], prepared.spacing[2]],
            directions: prepared.directions,
            origin: prepared.to_patient(first),
        }
    }

    /// The prepared slice nearest to a source slice; `None` if the prepared stack does not reach it (by more than
    /// half a step).
    pub fn prepared_slice(&self, source_slice: usize) -> Option<usize> {
        let slice = self.geometry.to_voxel(slice_centre(&self.volume.geometry, source_slice)).slice;
        // The stack is laid centred, so its ends miss the outermost slices by up to half a step, plus rounding.
        let reached = -0.5 - 1e-6..=self.slices() as f64 - 0.5 + 1e-6;
        reached.contains(&slice).then(|| slice.round().clamp(0.0, self.slices() as f64 - 1.0) as usize)
    }

    /// Prepared slices `range` with their neighbours as channels: `[n, C, H, W]`. Channel `neighbours` is the slice
    /// itself, lower channels are slices nearer the feet; beyond the ends of the stack the last slice repeats.
    pub fn batch(&self, range: Range<usize>) -> Array4<f32> {
        if let Some(colour) = &self.preparation.colour {
            return in_colour(&self.images(range), colour);
        }
        let neighbours = self.preparation.neighbours;
        let last = self.slices().saturating_sub(1);
        let first = range.start.saturating_sub(neighbours);
        let end = (range.end + neighbours).min(self.slices());
        let images = self.images(first..end);
        let [height, width] = self.preparation.size;
        let mut batch = Array4::zeros((range.len(), self.preparation.channels(), height, width));
        for (entry, slice) in range.enumerate() {
            for channel in 0..self.preparation.channels() {
                let wanted = (slice + channel).saturating_sub(neighbours).min(last);
                let mut entry = batch.index_axis_mut(Axis(0), entry);
                entry.index_axis_mut(Axis(0), channel).assign(&images.index_axis(Axis(0), wanted - first));
            }
        }
        batch
    }

    /// Prepared slices without neighbours, `[n, H, W]`.
    pub fn images(&self, range: Range<usize>) -> Array3<f32> {
        let [height, width] = self.preparation.size;
        let [low, high] = self.preparation.window.map(|end| end as f32);
        let (offset, scale) = self.preparation.scaling();
        let mut images = Array3::zeros((range.len(), height, width));
        images.axis_iter_mut(Axis(0)).into_par_iter().zip(range).for_each(|(mut image, slice)| {
            self.resampler.slice(&self.volume.hounsfield.view(), slice, f32::from(AIR), image.view_mut());
            if let Some(wall) = self.walls.get(slice).or(self.walls.last()) {
                wall.apply(image.view_mut());
            }
            image.mapv_inplace(|hounsfield| (hounsfield.clamp(low, high) - offset) * scale);
        });
        images
    }

    /// Maps over the prepared slices (`rows` x `columns` cells per slice) back to the source images.
    pub fn upsampler(&self, rows: usize, columns: usize) -> Upsampler {
        Upsampler::new(&self.cell_geometry(rows, columns), &self.volume.geometry)
    }
}

/// Images `[n, H, W]` as colour images `[n, 3, H, W]`.
fn in_colour(images: &Array3<f32>, colour: &Colour) -> Array4<f32> {
    let (slices, height, width) = images.dim();
    let mut batch = Array4::zeros((slices, 3, height, width));
    for (channel, (mean, deviation)) in colour.mean.into_iter().zip(colour.standard_deviation).enumerate() {
        let (offset, scale) = (mean as f32, 1.0 / deviation as f32);
        let mut of_channel = batch.index_axis_mut(Axis(1), channel);
        of_channel.zip_mut_with(images, |target, value| *target = (value - offset) * scale);
    }
    batch
}

/// Maps over one grid to the slices of another, one slice at a time: linear along all three axes.
#[derive(Debug, Clone)]
pub struct Upsampler {
    resampler: Resampler,
    rows: usize,
    columns: usize,
}

impl Upsampler {
    /// Prepares the mapping from the grid of the maps to a volume's grid.
    pub fn new(maps: &Geometry, volume: &Geometry) -> Self {
        let edges = Edges { in_plane: Edge::Cell, slices: Edge::Cell };
        let resampler = Resampler::new(maps, volume, edges);
        Self { resampler, rows: volume.size[1], columns: volume.size[0] }
    }

    /// Divides slice `slice` of the volume into parts around whose voxels the cells of a map `[slice, row, column]` have
    /// one value, with that value, and other parts, without one. What lies outside the grid of the map is left out.
    pub fn uniform_parts<T: Copy + PartialEq>(
        &self,
        map: &ArrayView3<Option<T>>,
        slice: usize,
    ) -> Vec<(Part, Option<T>)> {
        self.resampler.uniform_parts(map, slice, [self.columns, self.rows])
    }

    /// Values of class `class` of `maps` `[slice, class, row, column]` on a part of slice `slice` of the volume,
    /// `[row, column]`. Outside the grid of the maps all classes are `outside`.
    pub fn part(&self, maps: &ArrayView4<f32>, class: usize, slice: usize, part: &Part, outside: f32) -> Array2<f32> {
        let [rows, columns] = part;
        let mut image = Array2::zeros((rows.len(), columns.len()));
        self.resampler.part(&maps.index_axis(Axis(1), class), slice, part, outside, image.view_mut());
        image
    }

    /// Values on slice `slice` of the volume as [`Self::part`].
    pub fn slice(&self, maps: &ArrayView4<f32>, class: usize, slice: usize, outside: f32) -> Array2<f32> {
        self.part(maps, class, slice, &[0..self.rows, 0..self.columns], outside)
    }
}

pub(in crate::engine) fn check(preparation: &Preparation) -> Result<(), PreparationError> {
    let invalid = |what: String| Err(PreparationError::Parameter(what));
    let [low, high] = preparation.window;
    if !(low.is_finite() && high.is_finite() && low < high) {
        return invalid(format!("window = [{low}, {high}]: two rising numbers were expected"));
    }
    if preparation.size.contains(&0) {
        return invalid(format!("size = {:?}: positive numbers were expected", preparation.size));
    }
    let normalised = preparation.normalisation.map(|of| (of.mean, of.standard_deviation));
    let colours = preparation.colour.into_iter().flat_map(|of| of.mean.into_iter().zip(of.standard_deviation));
    for (mean, deviation) in normalised.into_iter().chain(colours) {
        if !(mean.is_finite() && deviation.is_finite() && deviation > 0.0) {
            return invalid(format!("mean {mean}, standard deviation {deviation}: a positive deviation was expected"));
        }
    }
    if preparation.colour.is_some() && preparation.neighbours > 0 {
        return invalid("colour images have no neighbours: neighbours = 0 was expected".to_owned());
    }
    for (name, value) in [("spacing_mm", preparation.spacing_mm), ("slice_step_mm", preparation.slice_step_mm)] {
        if !(value.is_finite() && value > 0.0) {
            return invalid(format!("{name} = {value}: a positive number was expected"));
        }
    }
    Ok(())
}

/// The grid around the crop's centre. In plane the centre lies in the middle between the middle pixels; across
/// slices the grid is centred in the extent of the crop and stays within the stack.
fn prepared_geometry(
    volume: &Volume,
    lungs: Option<&LungMask>,
    preparation: &Preparation,
) -> Result<Geometry, PreparationError> {
    let stack = stack_extent(&volume.geometry);
    let step = preparation.slice_step_mm;
    let [height, width] = preparation.size;
    let mut pixel = preparation.spacing_mm;
    let (centre, [low, high]) = match preparation.crop {
        Crop::None => (image_centre(&volume.geometry), stack),
        Crop::Body => (body_centre(volume).unwrap_or_else(|| image_centre(&volume.geometry)), stack),
        Crop::LungBox | Crop::LungSquare => {
            let Extent { low, high } =
                lungs.and_then(|mask| lung_extent(mask, &volume.geometry)).ok_or(PreparationError::NoLungs)?;
            if preparation.crop == Crop::LungSquare {
                pixel = pixel.min(((high[0] - low[0]) / width as f64).max((high[1] - low[1]) / height as f64));
            }
            let centre = [f64::midpoint(low[0], high[0]), f64::midpoint(low[1], high[1])];
            (centre, [(low[2] - step).max(stack[0]), (high[2] + step).min(stack[1])])
        }
    };
    let slices = ((high - low) / step + 1e-6).floor().max(0.0) as usize + 1;
    let first = |middle: f64, count: usize, distance: f64| middle - (count as f64 - 1.0) / 2.0 * distance;
    Ok(Geometry {
        size: [width, height, slices],
        spacing: [pixel, pixel, step],
        directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        origin: PatientPoint([
            first(centre[0], width, pixel),
            first(centre[1], height, pixel),
            first(f64::midpoint(low, high), slices, step),
        ]),
    })
}

/// What lies beyond the field of view on each slice of a grid of columns, rows and slices; one for all where they are alike.
fn chest_walls(volume: &Volume, resampler: &Resampler, [columns, rows, slices]: [usize; 3]) -> Vec<ChestWall> {
    let inside = volume.field_of_view().places().mapv(|place| u8::from(place == Place::Inside));
    let Some(inside) = inside.broadcast(volume.hounsfield.dim()) else { return Vec::new() };
    let different = if resampler.is_separable() { slices.min(1) } else { slices };
    (0..different)
        .into_par_iter()
        .map(|slice| {
            let mut share = Array2::zeros((rows, columns));
            resampler.slice(&inside, slice, 0.0, share.view_mut());
            ChestWall::of(&share.mapv(|share| share > WHOLLY_INSIDE).view())
        })
        .collect()
}

fn slice_centre(geometry: &Geometry, slice: usize) -> PatientPoint {
    let [columns, rows, _] = geometry.size.map(|count| (count as f64 - 1.0) / 2.0);
    geometry.to_patient(VoxelPoint { column: columns, row: rows, slice: slice as f64 })
}

/// Heights of the centres of the lowest and the highest image.
fn stack_extent(geometry: &Geometry) -> [f64; 2] {
    [slice_centre(geometry, 0).0[2], slice_centre(geometry, geometry.size[2].saturating_sub(1)).0[2]]
}

fn image_centre(geometry: &Geometry) -> [f64; 2] {
    let [low, high] = [slice_centre(geometry, 0), slice_centre(geometry, geometry.size[2].saturating_sub(1))];
    [f64::midpoint(low.0[0], high.0[0]), f64::midpoint(low.0[1], high.0[1])]
}

#[cfg(test)]
mod tests;

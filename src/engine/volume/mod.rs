//! Slices to a volume in Hounsfield units, and the one preparation that training, prediction and serving share.

mod body;
pub mod components;
pub mod field_of_view;
pub mod geometry;
pub mod nifti;
mod pixels;
pub mod preparation;
mod reading;
pub mod rejection;
mod resample;
mod series;
mod slice_header;
mod stack;
#[cfg(test)]
pub(crate) mod testing;
mod voxels;

pub use geometry::{Geometry, PatientPoint, VoxelPoint};
pub use pixels::AIR;
pub use reading::{SeriesReading, read_series};
pub use rejection::{Reason, Rejection};
pub use series::{Grouping, SeriesFiles, group_by_series};
pub use stack::MINIMUM_SLICES;
pub use voxels::{BACKGROUND, LEFT_LUNG, LungMask, RIGHT_LUNG, SourceSlice, Volume};

//! Slices to a volume in Hounsfield units, and the one preparation that training, prediction and serving share.

mod appearance;
mod attribute;
mod body;
mod chest_wall;
mod choice;
pub mod coarse;
mod code_stream;
pub mod components;
mod decoding;
mod explaining;
pub mod field_of_view;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod geometry;
mod heap;
mod hounsfield;
mod image_grid;
mod labels;
mod lattice;
mod left_out;
mod lossy;
mod naming;
pub mod nifti;
pub mod part;
pub mod percentile;
mod pixels;
pub mod preparation;
mod reading;
pub mod rejection;
mod resample;
mod seam;
mod series;
mod slice_header;
mod stack;
mod stored_image;
#[cfg(test)]
pub(crate) mod testing;
mod voxels;

pub use geometry::{Geometry, PatientPoint, VoxelPoint};
pub use hounsfield::Monochromatic;
pub use left_out::{LeftOut, LeftOutKind, Refused};
pub use pixels::AIR;
pub use reading::{SeriesReading, read_series};
pub use rejection::{Reason, Rejection};
pub use series::{Grouping, SeriesFiles, group_by_series};
pub use stack::MINIMUM_SLICES;
pub use voxels::{BACKGROUND, LEFT_LUNG, LungMask, RIGHT_LUNG, SourceSlice, Volume};

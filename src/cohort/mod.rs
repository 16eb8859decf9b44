//! The layout of a cohort: where its files lie, and the names of the columns of its tables.
//!
//! It is that of RSPECT (Colak et al., Radiology: Artificial Intelligence 3 (2021) e200254,
//! [doi 10.1148/ryai.2021200254](https://doi.org/10.1148/ryai.2021200254)), so that the data set is read as it is
//! distributed. What RSPECT does not have, the ground truth of phantoms, lies beside it.
//!
//! ```text
//! ROOT/train/STUDY/SERIES/SOP.dcm                     images
//! ROOT/train.csv                                      labels: one row per slice (RSPECT's), or one per exam
//! ROOT/truth/exams.csv                                ground truth of each exam
//! ROOT/truth/SERIES/{lungs,arteries,clots}.nii.gz     masks on the grid of the series
//! ```
//!
//! Phantoms and the node's export write it, training reads it.

pub mod columns;
mod layout;
mod rows;
mod table;

pub use layout::{Layout, Mask, image_name};
pub use rows::{ExamRow, LevelRow, SliceRow, TruthRow};
pub use table::{TableError, write_table};

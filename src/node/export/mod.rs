//! Exports stored studies with labels in the layout that training reads: `train/STUDY/SERIES/SOP.dcm` and `train.csv`.
//!
//! It only reads the archive, so the node may be running. One series of each study is exported: the one that the node
//! analysed; of several, the one with the most slices. Files stay as they were received, patient data included.

mod error;
mod exclusion;
mod exporting;
mod labels;

pub use error::ExportError;
pub use exclusion::Exclusion;
pub use exporting::{Export, Exported};

#[cfg(test)]
mod tests;

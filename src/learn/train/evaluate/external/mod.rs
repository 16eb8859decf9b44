//! External validation: a package on exams of another site, which have exam labels alone or masks of their emboli. It
//! reads DICOM, runs the analysis of the node and writes a report like that of an experiment. No training folder is
//! needed.
//!
//! Every labelled study ends as a prediction or as a row of exclusions: studies without images, series that quality
//! checks reject, analyses that fail and masks of other images are counted with their reasons and never dropped.
//! Tables, metrics and report are written together at the end; where nothing could be analysed, the reasons are the
//! error.

mod cohort;
mod labels;
mod masks;
mod recalibration;
mod request;
mod studies;
mod validation;

pub(crate) use recalibration::{Recalibrated, recalibrated};
pub use request::ExternalValidation;
pub use validation::validate_externally;

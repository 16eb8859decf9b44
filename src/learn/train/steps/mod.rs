//! The steps of `pe-node train`, each from the files of the one before to its own.

mod crop_tables;
mod datasets;
mod evaluating;
mod experiment;
mod fingerprint;
mod fitting;
mod other_software;
mod planning;
mod preparing;
mod recalibrating;
mod running;

#[cfg(test)]
pub(super) use datasets::testing;
pub use other_software::{evaluate_networks, export_networks};
pub use planning::plan;
pub use recalibrating::recalibrate;
pub use running::{Portion, run};

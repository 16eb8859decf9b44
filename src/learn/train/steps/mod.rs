//! The steps of `pe-node train`, each from the files of the one before to its own.

mod datasets;
mod evaluating;
mod experiment;
mod fitting;
mod preparing;
mod recalibrating;
mod running;

#[cfg(test)]
pub(super) use datasets::testing;
pub use recalibrating::recalibrate;
pub use running::run;

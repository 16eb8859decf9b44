//! Synthetic CT pulmonary angiograms with ground truth: the anatomy of a chest in Hounsfield units, an arterial tree
//! with or without emboli, the patient's other diseases, an injection and a scanner.
//!
//! ```text
//! Recipe -> Exam::draw -> Exam -> Exam::slice(n) -> Slice (stored numbers, lungs, arteries, emboli)
//!                              -> Exam::write(layout) -> DICOM, NIfTI -> TruthRow
//! Cohort -> write_cohort -> train/, train.csv, truth/
//! ```
//!
//! Everything is a function of the recipe: each purpose (patient, vessels, label, noise of slice n, ...) has its own
//! random stream, so neither threads nor order matter, and two paired exams are equal wherever there is no embolus.
//! What an exam shows besides emboli is drawn without knowledge of them.

mod cohort;
mod disease;
mod emboli;
mod error;
mod exam;
mod field;
mod heart;
mod identifiers;
mod image;
mod level;
mod orientation;
mod population;
mod random;
mod recipe;
mod render;
mod rows;
mod scanner;
mod shapes;
mod skeleton;
mod thorax;
mod tissues;
mod vector;
mod vessels;
mod writing;

pub use cohort::{Cohort, CohortSummary, write_cohort};
pub use emboli::Age;
pub use error::PhantomError;
pub use exam::{Exam, Truth};
pub use level::Level;
pub use orientation::Orientation;
pub use recipe::{Preset, Recipe, Site};
pub use render::Slice;

#[cfg(test)]
mod enhancement_tests;
#[cfg(test)]
mod tests;

//! Step `evaluate`: logits of whole exams from the exported networks in ONNX Runtime, calibration and operating point
//! on validation, metrics on the test. What is measured is what is served.
//!
//! Of an ensemble each member is calibrated on the validation exams of its own fold, which it was not trained on; the
//! operating point comes from all folds together, by probabilities that are calibrated without the exam itself. The test
//! exams are answered by the mean of all members, and say whether the operating point holds for it.

mod comparison;
mod decisions;
mod embolism;
mod evaluation;
mod external;
mod inference;
mod lungs;
mod members;
mod pictures;
mod predictions;
mod reached;
mod summary;

pub(crate) use decisions::{ANSWERS, COUNTS};
pub(crate) use embolism::embolism;
pub(crate) use evaluation::{Evaluation, sha256};
pub use external::{ExternalValidation, validate_externally};
pub(crate) use external::{Recalibrated, recalibrated};
pub(crate) use lungs::lungs;
pub(crate) use pictures::cases;
pub(crate) use predictions::{Prediction, scored};
#[cfg(test)]
pub(crate) use predictions::{TargetPrediction, testing};

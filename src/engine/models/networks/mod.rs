//! The active packages as networks with typed inputs and outputs.
//!
//! Every tensor is checked against the manifest when a package is loaded: name and element type, for inputs rank and
//! size as the file declares them, and then what the network really gives in trial runs on blank slices, with several
//! numbers of them, so that an axis that should be dynamic and is not shows at start and not in the first study.
//!
//! A package may hold several networks of one layout, its members. Each layout has its way through a prepared stack;
//! callers give the stack slice by slice and need not know it.

mod embolism;
mod error;
mod limits;
mod loading;
mod lungs;
mod models;
mod patches;
mod shape;

pub use embolism::{EmbolismNetwork, Encoded, ExamLogits, Reading, SliceReading};
pub use error::{Misfit, ModelsError, TensorMisfit};
pub use limits::{BATCH, WIDEST_CELL_MM};
pub use lungs::{LungClasses, LungNetwork};
pub use models::{Models, verify};
pub use shape::Shape;

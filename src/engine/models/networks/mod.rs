//! The active packages as networks with typed inputs and outputs.
//!
//! Every tensor is checked against the manifest when a package is loaded: name and element type, and for inputs rank
//! and size as the file declares them. Trial runs on several numbers of blank slices then check what the network really
//! gives. An axis that should be dynamic and is not fails at start and not in the first study.
//!
//! A package may hold several networks of one layout, its members. Each layout reads a prepared stack in its own way;
//! callers give the stack slice by slice and need not know the layout.

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
pub use loading::{TensorNames, tensor_names};
pub use lungs::{LungClasses, LungNetwork};
pub use models::{Models, verify};
pub use shape::Shape;

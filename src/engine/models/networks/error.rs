//! Why networks cannot be loaded.

use super::limits::WIDEST_CELL_MM;
use super::shape::Shape;
use crate::engine::models::package::PackageError;
use crate::engine::models::package_id::PackageId;
use crate::engine::models::registry::RegistryError;
use crate::engine::models::session::{SessionError, Side};
use crate::engine::models::validation::ManifestError;

/// Why the models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// Packages cannot be selected.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// ONNX Runtime does not start.
    #[error(transparent)]
    Runtime(SessionError),
    /// A package's network does not do what its manifest says.
    #[error("model package {package}: {file}: {problem}")]
    Unfit {
        /// The package.
        package: PackageId,
        /// The file.
        file: String,
        /// What was found and what was expected.
        problem: Box<Misfit>,
    },
}

/// How a file differs from its manifest.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// The manifest does not name what the layout needs.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The network does not load, has no such tensor or does not run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The network takes more than images.
    #[error("{0} inputs, 1 was expected")]
    Inputs(usize),
    /// A tensor's declaration differs from the layout.
    #[error("{side} `{name}` {problem}")]
    Tensor {
        /// Input or output.
        side: Side,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: TensorMisfit,
    },
    /// The network takes an exam of no slice.
    #[error("takes 0 slices")]
    NoDepth,
    /// Cells of evidence do not tile the slice.
    #[error("evidence of {} x {} cells does not divide {} x {} pixels", .cells[0], .cells[1], .pixels[0], .pixels[1])]
    UnevenCells {
        /// Rows and columns of the evidence.
        cells: [usize; 2],
        /// Rows and columns of a slice.
        pixels: [usize; 2],
    },
    /// Cells of evidence are larger than an embolus.
    #[error("cells of the evidence are {0} mm wide, at most {WIDEST_CELL_MM} mm was expected")]
    WideCells(f64),
}

/// How the declaration of a tensor differs from the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorMisfit {
    /// Other elements.
    #[error("does not hold 32-bit floating point numbers")]
    Elements,
    /// Another rank.
    #[error("has {found} axes, {expected} were expected")]
    Axes {
        /// How many it has.
        found: usize,
        /// How many the layout has.
        expected: usize,
    },
    /// The number of slices is fixed.
    #[error("has a fixed number of slices, a dynamic axis was expected")]
    FixedSlices,
    /// Other sizes.
    #[error("takes {found}, the manifest prepares {expected}")]
    Sizes {
        /// Sizes of its axes.
        found: Shape,
        /// Sizes of what is prepared.
        expected: Shape,
    },
}

/// A file of a package and what is wrong with it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) file: String,
    pub(super) problem: Misfit,
}

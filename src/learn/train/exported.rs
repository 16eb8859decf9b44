//! The networks of a fit as they are evaluated, with the exams that they are evaluated on.

use super::dataset::Dataset;
use super::labels::Split;
use crate::engine::models::manifest::Manifest;
use crate::engine::models::package::Package;

/// The exams of each split that has any.
pub(crate) type Splits = [(Split, Dataset)];

/// Who trained weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub(crate) enum TrainedBy {
    /// This program, as the configuration says.
    #[strum(to_string = "pe-node train")]
    ThisProgram,
    /// Other software. How is not known, and on what is known from `package.data` alone.
    #[strum(to_string = "other software")]
    OtherSoftware,
}

impl TrainedBy {
    /// Who trained the networks of a package.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        if manifest.training.commit.is_empty() { Self::OtherSoftware } else { Self::ThisProgram }
    }
}

/// The networks of one fit, exported, or those that other software trained in its place, and the exams.
pub(crate) struct ExportedFit {
    /// The package, not calibrated yet.
    pub(crate) draft: Package,
    pub(crate) datasets: Vec<(Split, Dataset)>,
}

impl ExportedFit {
    /// Its exams of a split, where there are any.
    pub(crate) fn exams(&self, wanted: Split) -> Option<&Dataset> {
        self.datasets.iter().find(|(split, _)| *split == wanted).map(|(_, data)| data)
    }
}

/// True if any image is marked as synthetic.
pub(crate) fn any_synthetic(splits: &Splits) -> bool {
    splits.iter().any(|(_, data)| data.exams.iter().any(|exam| exam.synthetic))
}

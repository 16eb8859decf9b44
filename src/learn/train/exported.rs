//! The networks of a fit as they are evaluated, with the exams that they are evaluated on.

use super::dataset::Dataset;
use super::labels::Split;
use crate::engine::models::package::Package;

/// The exams of each split that has any.
pub(crate) type Splits = [(Split, Dataset)];

/// The networks of one fit, exported, and its exams.
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

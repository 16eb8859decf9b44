//! Where the files of a cohort lie.

use std::path::{Path, PathBuf};

/// The places below the folder of a cohort.
///
/// ```
/// use pe_node::cohort::{Layout, Mask};
///
/// let cohort = Layout::below("cohort");
/// assert_eq!(cohort.series("1.2", "1.2.3").to_str(), Some("cohort/train/1.2/1.2.3"));
/// assert_eq!(cohort.mask("1.2.3", Mask::Emboli).to_str(), Some("cohort/truth/1.2.3/clots.nii.gz"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

/// A mask of the ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// 1 left lung, 2 right lung.
    Lungs,
    /// 1 in the lumen of the pulmonary arteries.
    Arteries,
    /// 1 in emboli.
    Emboli,
}

impl Mask {
    fn file_name(self) -> &'static str {
        match self {
            Self::Lungs => "lungs.nii.gz",
            Self::Arteries => "arteries.nii.gz",
            Self::Emboli => "clots.nii.gz",
        }
    }
}

impl Layout {
    /// The layout below `root`; nothing is created or checked.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of the cohort.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the images of all studies.
    pub fn images(&self) -> PathBuf {
        self.root.join("train")
    }

    /// The folder of the images of one study.
    pub fn study(&self, study: &str) -> PathBuf {
        self.images().join(study)
    }

    /// The folder of the images of one series.
    pub fn series(&self, study: &str, series: &str) -> PathBuf {
        self.study(study).join(series)
    }

    /// The table of labels.
    pub fn labels(&self) -> PathBuf {
        self.root.join("train.csv")
    }

    /// The table of the ground truth of each exam.
    pub fn truth_table(&self) -> PathBuf {
        self.truth().join("exams.csv")
    }

    /// The folder of the masks of one series.
    pub fn masks(&self, series: &str) -> PathBuf {
        self.truth().join(series)
    }

    /// One mask of a series.
    pub fn mask(&self, series: &str, mask: Mask) -> PathBuf {
        self.masks(series).join(mask.file_name())
    }

    /// The folder of the ground truth.
    pub fn truth(&self) -> PathBuf {
        self.root.join("truth")
    }
}

/// The name of the file of an image.
pub fn image_name(instance: &str) -> String {
    format!("{instance}.dcm")
}

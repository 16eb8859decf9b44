//! Synthetic CT pulmonary angiograms with ground truth: the anatomy of a chest in Hounsfield units, an arterial tree
//! with or without emboli, the patient's other diseases, an injection and a scanner.
//!
//! ```text
//! Recipe -> Exam::draw -> Exam -> Exam::slice(n) -> Slice (stored numbers, lungs, arteries, clots)
//!                              -> Exam::write(folders) -> DICOM, NIfTI -> Record
//! Cohort -> write_cohort -> train/, train.csv, truth/
//! ```
//!
//! Everything is a function of the recipe: each purpose (patient, vessels, label, noise of slice n, ...) has its own
//! random stream, so neither threads nor order matter, and a twin without emboli equals its twin everywhere else.
//! What an exam shows besides emboli is drawn without knowledge of them.

mod clots;
mod cohort;
mod disease;
mod exam;
mod field;
mod heart;
mod image;
mod population;
mod random;
mod render;
mod scanner;
mod shapes;
mod skeleton;
mod thorax;
mod truth;
mod vector;
mod vessels;

use std::path::PathBuf;

use self::random::Draws;

pub use clots::Age;
pub use cohort::{Cohort, Summary, write_cohort};
pub use exam::{Exam, Slice, Truth};
pub use truth::{Folders, Record};
pub use vessels::Level;

/// Size and thickness of the slices; the anatomy and the labels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// 512 x 512 pixels of 0.6 to 0.9 mm, slices of 0.6 to 3 mm.
    Clinical,
    /// 256 x 256 pixels, slices of 2 to 3 mm: for cohorts.
    Light,
    /// 128 x 128 pixels of 2.6 mm, about 48 thin slices 6.4 mm apart: for learning curves over thousands of exams, with
    /// emboli and arteries so large that a small network learns of them within minutes. No quality gate lets such
    /// slices pass.
    Tiny,
}

impl Preset {
    fn name(self) -> &'static str {
        match self {
            Self::Clinical => "clinical",
            Self::Light => "light",
            Self::Tiny => "tiny",
        }
    }
}

/// Where the patients are scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Site {
    /// The site whose exams a model learns from.
    Internal,
    /// A site that no model has seen: other patients, injections, doses and scanners, and less embolism.
    External,
}

impl Site {
    fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

/// How the patient lay on the table; patient coordinates in the headers are true for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// HFS: columns grow towards the patient's left, rows towards the back.
    HeadFirstSupine,
    /// FFS, stored as the gantry sees it: columns grow towards the patient's right.
    FeetFirstSupine,
    /// HFP: columns grow towards the right, rows towards the front.
    HeadFirstProne,
}

impl Orientation {
    /// Patient Position (0018,5100), [PS3.3 C.7.3.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.3.html#sect_C.7.3.1.1.2).
    pub fn code(self) -> &'static str {
        match self {
            Self::HeadFirstSupine => "HFS",
            Self::FeetFirstSupine => "FFS",
            Self::HeadFirstProne => "HFP",
        }
    }
}

/// What determines an exam.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Sampling.
    pub preset: Preset,
    /// Patients and scanners.
    pub site: Site,
    /// The cohort's seed.
    pub seed: u64,
    /// Identity: the same number gives the same unique identifiers.
    pub index: usize,
    /// The stream everything is drawn from; twins share it.
    pub anatomy: usize,
    /// Demands or forbids emboli; `None` draws with the prevalence of the site.
    pub pe: Option<bool>,
    /// Demands the level of the most proximal embolus, where there is one.
    pub level: Option<Level>,
    /// One half of the diaphragm stands clearly higher, so that the lungs differ in volume.
    pub asymmetric: bool,
    /// The patient lies feet first.
    pub feet_first: bool,
    /// Number of the exam that differs by the emboli alone.
    pub twin: Option<usize>,
}

impl Recipe {
    /// The exam of a number in a cohort of the internal site, everything drawn.
    pub fn new(preset: Preset, seed: u64, index: usize) -> Self {
        Self {
            preset,
            site: Site::Internal,
            seed,
            index,
            anatomy: index,
            pe: None,
            level: None,
            asymmetric: false,
            feet_first: false,
            twin: None,
        }
    }

    /// The stream of one purpose; another site's patients are others.
    fn draws(&self, purpose: &str) -> Draws {
        match self.site {
            Site::Internal => Draws::of(self.seed, self.anatomy, purpose),
            Site::External => Draws::of(self.seed, self.anatomy, &format!("external {purpose}")),
        }
    }
}

/// Why a phantom could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// The system refused to make or write a file.
    #[error("writing {path}: {source}", path = path.display())]
    File {
        /// What was written.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A DICOM object could not be encoded or written.
    #[error("writing the image {path}: {reason}", path = path.display())]
    Image {
        /// What was written.
        path: PathBuf,
        /// The encoder's reason.
        reason: String,
    },
    /// A mask could not be written.
    #[error("writing the mask {path}: {source}", path = path.display())]
    Mask {
        /// What was written.
        path: PathBuf,
        /// The encoder's reason.
        source: nifti::NiftiError,
    },
    /// A table could not be written.
    #[error("writing the table {path}: {source}", path = path.display())]
    Table {
        /// What was written.
        path: PathBuf,
        /// The encoder's reason.
        source: csv::Error,
    },
}

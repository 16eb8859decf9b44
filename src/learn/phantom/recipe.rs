//! What determines an exam.

use super::level::Level;
use super::random::Draws;

/// Size and thickness of the slices; the anatomy and the labels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// 512 x 512 pixels of 0.6 to 0.9 mm, slices of 0.6 to 3 mm.
    Clinical,
    /// 256 x 256 pixels, slices of 2 to 3 mm: for cohorts.
    Light,
    /// 128 x 128 pixels of 2.6 mm, about 48 thin slices 6.4 mm apart: for learning curves over thousands of exams, with
    /// emboli and arteries so large that a small network is trained on them within minutes. No quality check lets such
    /// slices pass.
    Tiny,
}

impl Preset {
    pub(super) fn name(self) -> &'static str {
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
    /// The site on whose exams a model is trained.
    Internal,
    /// A site that no model has seen: other patients, injections, doses and scanners, and less embolism.
    External,
}

impl Site {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
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
    /// Number of the exam in its cohort: the same number gives the same unique identifiers.
    pub index: usize,
    /// The stream everything is drawn from; paired exams share it.
    pub anatomy: usize,
    /// Demands or forbids emboli; `None` draws with the prevalence of the site.
    pub pe: Option<bool>,
    /// Demands the level of the most proximal embolus, where there is one.
    pub level: Option<Level>,
    /// One half of the diaphragm stands clearly higher, so that the lungs differ in volume.
    pub asymmetric: bool,
    /// The patient lies feet first.
    pub feet_first: bool,
    /// Number of the paired exam, which differs in the emboli alone.
    pub paired_with: Option<usize>,
}

impl Recipe {
    /// The exam of a number in a cohort of the internal site, with everything drawn.
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
            paired_with: None,
        }
    }

    /// The stream of one purpose; other sites have other patients.
    pub(super) fn draws(&self, purpose: &str) -> Draws {
        match self.site {
            Site::Internal => Draws::of(self.seed, self.anatomy, purpose),
            Site::External => Draws::of(self.seed, self.anatomy, &format!("external {purpose}")),
        }
    }
}

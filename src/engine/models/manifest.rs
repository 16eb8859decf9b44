//! `model.toml`: everything a model package states about itself.
//!
//! The manifest carries the parameters of the preparation, so that the images a network is given are prepared exactly
//! as those it was trained on.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use super::calibration::{Calibration, Isotonic, IsotonicError, TargetCalibration};
use super::members;
use super::package_id::{PackageId, PackageName, deserialize_version};
use crate::engine::volume::preparation::Preparation;

/// A model package's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Name of the model, as in `onnx/<name>/<version>`.
    pub name: PackageName,
    /// Version of the model.
    #[serde(deserialize_with = "deserialize_version")]
    pub version: Version,
    /// What the model does.
    pub kind: Kind,
    /// What the model may be used for.
    pub intended_use: IntendedUse,
    /// Licence of the weights (SPDX identifier).
    pub license: String,
    /// How tensors are laid out and run.
    pub layout: Layout,
    /// How images are prepared.
    pub input: Preparation,
    /// How the prepared stack is cut. Layout `patches` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// The ONNX files.
    pub files: Vec<File>,
    /// Meaning of each class index: the classes of a lung segmentation, the targets of a classifier.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// From logits to probabilities, one per member. Embolism classifiers only.
    #[serde(default, with = "members", skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<Calibration>,
    /// From a probability to a decision. Embolism classifiers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_point: Option<OperatingPoint>,
    /// Where the weights come from.
    pub training: Training,
    /// Validation and test metrics by name, for instance `test.exam_auroc`, with their intervals where they have one.
    #[serde(default)]
    pub metrics: BTreeMap<String, Metric>,
}

impl Manifest {
    /// Name and version.
    pub fn id(&self) -> PackageId {
        PackageId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// Finds the left and the right lung.
    LungSegmentation,
    /// Gives the probability of pulmonary embolism in an exam.
    EmbolismClassifier,
}

impl Kind {
    /// All of them, in the order in which they take part in an analysis.
    pub const ALL: [Self; 2] = [Self::LungSegmentation, Self::EmbolismClassifier];
}

/// What a model may be used for, the most restricted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum IntendedUse {
    /// Showing how the node works: trained on synthetic images, never delivered, never a decision on a patient.
    Demonstration,
    /// Research on real images.
    Research,
    /// What a site has put to clinical use on its own responsibility.
    Clinical,
}

/// How a package's networks are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Layout {
    /// Lungs: one network, `[N, C, H, W]` to class logits `[N, classes, H, W]`; N dynamic.
    Slices,
    /// Lungs: one network, a patch `[1, 1, D, H, W]` of the prepared stack to class logits `[1, classes, D, H, W]`, as
    /// nnU-Net exports. The patch slides over the stack.
    Patches,
    /// Embolism: encoder `[N, C, H, W]` to features `[N, F]` and evidence `[N, 1, h, w]`; head: features `[D, F]` to
    /// slice logits `[D]`, exam logits `[T]` of the targets, attention `[D]`; N and D dynamic.
    #[serde(rename = "encoder+head")]
    #[strum(serialize = "encoder+head")]
    EncoderHead,
    /// Embolism: one network, all slices of an exam `[1, D, C, H, W]` to exam logits `[T]` or `[1, T]`. A fixed D is
    /// filled with slices at even distances over the prepared stack. Such a network gives no values of single slices.
    Exam,
}

/// How a prepared stack is cut into patches that overlap, and how their logits are put together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Slices, rows and columns of a patch.
    pub size: [usize; 3],
    /// Share of a patch that the next one covers again, at least.
    #[serde(default = "half")]
    pub overlap: f64,
    /// How much a voxel counts by its place in the patch.
    #[serde(default)]
    pub weights: PatchWeights,
}

fn half() -> f64 {
    0.5
}

/// How much a voxel of a patch counts where patches overlap: the middle of a patch has seen more around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchWeights {
    /// A Gaussian whose standard deviation is an eighth of the patch (Isensee et al. 2021, nnU-Net,
    /// doi 10.1038/s41592-020-01008-z).
    #[default]
    Gaussian,
    /// Falling evenly from the middle to the edges.
    Triangular,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What the file is for.
    pub role: Role,
    /// Which network of an ensemble the file belongs to, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub member: usize,
    /// Path inside the package's folder: a file name without directories.
    pub path: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Names of the input tensors, in the order of the layout.
    pub inputs: Vec<String>,
    /// Names of the output tensors, in the order of the layout.
    pub outputs: Vec<String>,
}

/// For serde, which passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_first(member: &usize) -> bool {
    *member == 0
}

/// What a file of a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// Slices to features and evidence.
    Encoder,
    /// Features to slice and exam logits.
    Head,
    /// The only network of a one-network layout.
    Network,
}

/// A class of a network's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Index along the class axis.
    pub index: usize,
    /// Its name: that of a [`Target`](super::target::Target), or of a class of a lung segmentation. That has
    /// `background`, `left-lung` and `right-lung`; classes with other names, such as `airway`, are not lung.
    pub name: String,
}

/// From a calibrated probability to a decision, chosen on validation exams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Probability from which embolism is called present.
    pub threshold: f64,
    /// Probabilities in this half-open range around the threshold are called undetermined.
    pub indeterminate: [f64; 2],
    /// How they were chosen, in words.
    pub chosen: String,
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// What the training images were, in words: "phantoms" for the bundled packages.
    pub data: String,
    /// Commit of the program that trained; empty where other software did.
    pub commit: String,
    /// SHA-256 of the training configuration; empty where other software trained.
    pub configuration_sha256: String,
    /// SHA-256 of the table of training exams and labels. Where other software trained, of the exams that calibration
    /// and metrics were found on.
    pub data_sha256: String,
    /// Seed of the run; 0 where other software trained.
    pub seed: u64,
    /// Exams, positive exams, slices, labelled slices, positive slices and so on, by name.
    pub counts: BTreeMap<String, u64>,
    /// The kind of images. No decision is made on others.
    #[serde(default, skip_serializing_if = "Ranges::is_empty")]
    pub ranges: Ranges,
}

/// The kind of images a model was trained on. What is not stated is not compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// Least and greatest thickness or distance of slices in millimetres, whichever is more. Where a package does not
    /// state it, slices up to 3.5 mm count as those it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_mm: Option<[f64; 2]>,
    /// Least and greatest distance of pixels in millimetres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_mm: Option<[f64; 2]>,
    /// Least and greatest age of the patients in years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_years: Option<[f64; 2]>,
    /// Convolution kernels, as scanners name them; empty if all were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
}

impl Ranges {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A metric and its 95 % interval where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The value.
    pub value: f64,
    /// Lower and upper end of the 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

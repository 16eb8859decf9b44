//! What the networks are made of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::{SettingError, at_least_one, in_range};
use crate::engine::models::networks::WIDEST_CELL_MM;
use crate::engine::models::target::Target;
use crate::engine::volume::preparation::Preparation;

/// Pixels along the side of an evidence cell, whatever the encoder.
pub(in super::super) const CELL: usize = 2;
/// Pixels along the side of a patch of the vision transformer.
pub(in super::super) const PATCH: usize = 16;

/// Slice encoder of the embolism classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfiguration {
    /// The architecture.
    pub architecture: Architecture,
    /// Channels of a published architecture, as a multiple of the published ones.
    pub width: f64,
    /// Its blocks, likewise.
    pub depth: f64,
    /// A file of initial weights; empty for random ones.
    pub weights: PathBuf,
    /// The pyramid's channels at half, quarter and eighth of the input's resolution.
    pub widths: [usize; 3],
    /// Its residual blocks at each of these resolutions.
    pub blocks: [usize; 3],
}

/// Architectures of the slice encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Residual blocks at three resolutions, of any size.
    Pyramid,
    /// He et al. 2016.
    Resnet18,
    /// The same, deeper.
    Resnet34,
    /// The same, with bottlenecks.
    Resnet50,
    /// Tan and Le 2021, as timm's `tf_efficientnetv2_s`.
    #[serde(rename = "efficientnetv2_s")]
    Efficientnetv2S,
    /// Dosovitskiy et al. 2021, as timm's `vit_base_patch16_224`, with convolutions beside it for fine maps.
    #[serde(rename = "vit_base_patch16")]
    VitBasePatch16,
    /// Convolutions, then attention: Dai et al. 2021, as timm's `coatnet_0_rw_224`.
    Coatnet0,
}

/// Multiples of the published sizes of an architecture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multipliers {
    width: f64,
    depth: f64,
}

/// Exam head of the embolism classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfiguration {
    /// Targets of an exam, in the order of [`Target::ALL`], embolism first.
    pub targets: Vec<Target>,
    /// How a slice gets information from other slices before it is read.
    pub sequence: SequenceKind,
    /// Channels of the sequence along the slices.
    pub width: usize,
    /// `attention`: neighbouring slices that each step sees, an odd number.
    pub context: usize,
    /// `recurrent`: number of slices that a state reaches back.
    pub steps: usize,
}

/// How a slice gets information from other slices before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SequenceKind {
    /// From its neighbours.
    Attention,
    /// From those below and above, one after another.
    Recurrent,
    /// It gets none.
    None,
}

/// Lung network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LungConfiguration {
    /// Channels of each level; every level after the first halves rows and columns.
    pub widths: Vec<usize>,
}

/// Channels come in multiples of this, which groups and attention heads divide.
const CHANNEL_STEP: f64 = 8.0;

impl Multipliers {
    /// The multiple of a published number of channels.
    pub(crate) fn channels(self, published: usize) -> usize {
        ((self.width * published as f64 / CHANNEL_STEP).round().max(1.0) * CHANNEL_STEP) as usize
    }

    /// The multiple of a published number of blocks.
    pub(crate) fn blocks(self, published: usize) -> usize {
        (self.depth * published as f64).ceil().max(1.0) as usize
    }
}

impl Architecture {
    /// Rows and columns of its input are multiples of this.
    pub(super) fn multiple(self) -> usize {
        match self {
            Self::VitBasePatch16 => PATCH,
            _ => 8,
        }
    }
}

impl EncoderConfiguration {
    pub(crate) fn multipliers(&self) -> Multipliers {
        Multipliers { width: self.width, depth: self.depth }
    }

    /// Slices are prepared as `input` says.
    pub(super) fn validate(&self, input: &Preparation) -> Result<(), SettingError> {
        multiples_of(self.architecture.multiple(), input.size)?;
        let widest = WIDEST_CELL_MM / CELL as f64;
        if input.spacing_mm > widest {
            return Err(SettingError::new(
                format!("input.spacing_mm = {}", input.spacing_mm),
                format!(
                    "at most {widest} was expected, because the attribution map has cells of {CELL} pixels, and a node \
                     accepts cells up to {WIDEST_CELL_MM} mm wide"
                ),
            ));
        }
        for (key, value) in [("encoder.width", self.width), ("encoder.depth", self.depth)] {
            in_range(key, value, 0.01..=10.0)?;
            if self.architecture == Architecture::Pyramid && (value - 1.0).abs() > 0.0 {
                let problem = "the pyramid is sized by encoder.widths and encoder.blocks; 1 was expected";
                return Err(SettingError::new(format!("{key} = {value}"), problem));
            }
        }
        if self.architecture == Architecture::Pyramid && !self.weights.as_os_str().is_empty() {
            return Err(SettingError::new(
                format!("encoder.weights = {:?}", self.weights.display().to_string()),
                "there are no published weights of the pyramid; nothing was expected",
            ));
        }
        at_least_one(&self.widths.map(|width| ("encoder.widths", width)))
    }
}

impl HeadConfiguration {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        at_least_one(&[("head.width", self.width), ("head.steps", self.steps)])?;
        if self.context.is_multiple_of(2) {
            return Err(SettingError::new(format!("head.context = {}", self.context), "an odd number was expected"));
        }
        let ordered = self.targets.windows(2).all(|pair| pair[0] < pair[1]);
        if !ordered || self.targets.first() != Some(&Target::PulmonaryEmbolism) {
            let names: Vec<&str> = self.targets.iter().map(|target| target.name()).collect();
            return Err(SettingError::new(
                format!("head.targets = {names:?}"),
                format!(
                    "{} was expected, then any others of {}, in this order",
                    Target::PulmonaryEmbolism,
                    Target::ALL.map(Target::name)[1..].join(", ")
                ),
            ));
        }
        Ok(())
    }
}

impl LungConfiguration {
    /// Slices have `size` rows and columns.
    pub(super) fn validate(&self, size: [usize; 2]) -> Result<(), SettingError> {
        let Some(steps) = self.widths.len().checked_sub(1) else {
            return Err(SettingError::new("lung_network.widths = []", "at least one level was expected"));
        };
        multiples_of(1 << steps, size)
    }
}

/// Slices of `size` rows and columns can be halved as often as a network halves them.
fn multiples_of(multiple: usize, size: [usize; 2]) -> Result<(), SettingError> {
    if size.iter().any(|length| *length == 0 || !length.is_multiple_of(multiple)) {
        let expected = format!("multiples of {multiple} were expected");
        return Err(SettingError::new(format!("input.size = {size:?}"), expected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::configuration::TrainConfiguration;

    #[test]
    fn multiples_of_published_sizes_are_never_zero() {
        let size = Multipliers { width: 0.125, depth: 0.25 };
        assert_eq!([64, 512, 16].map(|channels| size.channels(channels)), [8, 64, 8]);
        assert_eq!([2, 6].map(|blocks| size.blocks(blocks)), [1, 2]);
        assert_eq!(Multipliers { width: 1.0, depth: 1.0 }.channels(112), 112);
    }

    #[test]
    fn settings_that_do_not_fit_the_architecture_are_refused() {
        let problem = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
            TrainConfiguration::load(None, &settings).expect_err("refused").to_string()
        };
        assert!(problem(&["encoder.width=0.5"]).contains("encoder.blocks"));
        assert!(problem(&["encoder.weights=file.pth"]).contains("pyramid"));
        assert!(problem(&["encoder.architecture=resnet18", "encoder.depth=0"]).contains("encoder.depth"));
        assert!(problem(&["encoder.architecture=resnet19"]).contains("resnet18"));
        assert!(problem(&["encoder.architecture=vit"]).contains("vit_base_patch16"), "the name of earlier versions");
        let vit = "encoder.architecture=vit_base_patch16";
        assert!(problem(&[vit, "input.size=[144, 200]"]).contains("multiples of 16"));
        assert!(
            problem(&[vit, "fit.mask_weight=0.5", "fit.patch_epochs=1", "fit.patch_size=40"])
                .contains("a multiple of 16")
        );
        assert!(problem(&["head.sequence=recurrent", "head.steps=0"]).contains("head.steps"));
        assert!(problem(&["input.spacing_mm=2.6"]).contains("at most 2.5 was expected"), "no node would accept it");
    }

    #[test]
    fn targets_begin_with_embolism_and_keep_their_order() {
        let defaults = TrainConfiguration::load(None, &[]).expect("defaults").head;
        let head = |targets: &[Target]| HeadConfiguration { targets: targets.to_vec(), ..defaults.clone() };
        assert_eq!(head(&Target::ALL).validate(), Ok(()));
        assert_eq!(head(&[Target::PulmonaryEmbolism]).validate(), Ok(()));
        for wrong in [
            &[][..],
            &[Target::CentralPe],
            &[Target::PulmonaryEmbolism, Target::CentralPe, Target::LeftSidedPe],
            &[Target::PulmonaryEmbolism, Target::PulmonaryEmbolism],
        ] {
            let problem = head(wrong).validate().expect_err("wrong targets").to_string();
            assert!(problem.contains("head.targets") && problem.contains("left-sided-pe"), "{problem}");
        }
    }
}

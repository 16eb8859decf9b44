//! How weights are fitted and training images varied.

use serde::{Deserialize, Serialize};

use super::checks::{SettingError, at_least_one, in_range, share};
use super::device::FitDevice;

/// How weights are fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda:N` or `vulkan:N`.
    pub device: FitDevice,
    /// Numbers of the GPUs that train together, each on its own batches; empty for `device` alone.
    pub devices: Vec<usize>,
    /// Passes over the training exams.
    pub epochs: usize,
    /// Time limit; 0 for none.
    pub maximum_minutes: f64,
    /// Exams in one batch.
    pub exams_per_step: usize,
    /// Slices drawn of an exam some of whose slices can stand for it; 0 to see every exam whole.
    pub slices_per_exam: usize,
    /// Slices of an exam that is seen whole, in equal distances; 0 for all.
    pub depth: usize,
    /// Neighbouring slices drawn together.
    pub run_length: usize,
    /// Batches, of each device, whose gradients are averaged to one step.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine.
    pub final_learning_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up_steps: usize,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Largest joint norm of the gradients.
    pub gradient_norm: f64,
    /// Weight of the exams' term of the loss.
    pub exam_weight: f64,
    /// Weight of the labelled slices' term.
    pub slice_weight: f64,
    /// Weight of the term of attribution cells against embolus masks.
    pub mask_weight: f64,
    /// Weight of the term of an exam's further targets.
    pub target_weight: f64,
    /// Draws of each training exam in an epoch, on average.
    pub passes: usize,
    /// Share of an exam's runs that lie around a slice with embolism, where it has any.
    pub positive_runs: f64,
    /// Share of positive exams among those drawn; 0 to draw as they come.
    pub positive_share: f64,
    /// Share of exams with slice labels among those drawn; 0 to draw as they come.
    pub labelled_share: f64,
    /// Epochs without a better metric before the end; 0 for no early stop.
    pub patience: usize,
    /// During the fit, one of this many slices of a validation exam is evaluated.
    pub validation_stride: usize,
    /// Epochs on patches before whole slices, for cohorts with masks of the emboli; 0 for none.
    pub patch_epochs: usize,
    /// Time limit of these epochs; 0 for none.
    pub patch_minutes: f64,
    /// Patches in one step.
    pub patches_per_step: usize,
    /// Rows and columns of a patch.
    pub patch_size: usize,
    /// Highest learning rate on patches.
    pub patch_learning_rate: f64,
    /// Training exams on whose whole stacks the head is fitted; 0 for none.
    pub head_exams: usize,
    /// Passes over these exams.
    pub head_epochs: usize,
    /// Highest learning rate of the head's own fit.
    pub head_learning_rate: f64,
}

/// How training images are varied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Largest shift in millimetres.
    pub shift_mm: f64,
    /// Largest change of size.
    pub scale: f64,
    /// Largest rotation.
    pub rotation_degrees: f64,
    /// Largest displacement of an elastic deformation in millimetres.
    pub elastic_mm: f64,
    /// Distance of the points that it displaces in millimetres.
    pub elastic_grid_mm: f64,
    /// Largest standard deviation of a blur in millimetres.
    pub blur_mm: f64,
    /// Largest offset of the intensity, which runs from 0 to 1.
    pub offset: f64,
    /// Largest change of the contrast.
    pub factor: f64,
    /// Largest standard deviation of added noise.
    pub noise: f64,
    /// Largest change of the exponent of a power law over the intensity.
    pub gamma: f64,
    /// Chance of exchanging left and right, in images and labels.
    pub flip: f64,
    /// Chance of hiding a box of the image.
    pub cutout: f64,
    /// Largest side of it in millimetres.
    pub cutout_mm: f64,
    /// Exams with emboli that are made of each training exam without, by putting emboli into it; 0 for none.
    pub insert_emboli: usize,
}

impl Fit {
    /// The same without the settings of length and device, which do not make it another fit.
    pub(in super::super) fn without_length(&self) -> Self {
        Self {
            device: FitDevice::default(),
            devices: Vec::new(),
            epochs: 0,
            maximum_minutes: 0.0,
            patience: 0,
            patch_epochs: 0,
            patch_minutes: 0.0,
            head_epochs: 0,
            ..self.clone()
        }
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        at_least_one(&[
            ("fit.epochs", self.epochs),
            ("fit.passes", self.passes),
            ("fit.exams_per_step", self.exams_per_step),
            ("fit.run_length", self.run_length),
            ("fit.accumulate", self.accumulate),
            ("fit.validation_stride", self.validation_stride),
            ("fit.patches_per_step", self.patches_per_step),
        ])?;
        if !self.slices_per_exam.is_multiple_of(self.run_length) {
            return Err(SettingError::new(
                format!("fit.run_length = {}", self.run_length),
                format!("a divisor of fit.slices_per_exam = {} was expected", self.slices_per_exam),
            ));
        }
        for (key, value) in [
            ("fit.learning_rate", self.learning_rate),
            ("fit.final_learning_rate", self.final_learning_rate),
            ("fit.weight_decay", self.weight_decay),
            ("fit.patch_learning_rate", self.patch_learning_rate),
            ("fit.head_learning_rate", self.head_learning_rate),
            ("fit.exam_weight", self.exam_weight),
            ("fit.slice_weight", self.slice_weight),
            ("fit.mask_weight", self.mask_weight),
            ("fit.target_weight", self.target_weight),
            ("fit.positive_runs", self.positive_runs),
            ("fit.positive_share", self.positive_share),
            ("fit.labelled_share", self.labelled_share),
        ] {
            share(key, value)?;
        }
        let repeated = |number: &usize| self.devices.iter().filter(|other| *other == number).count() > 1;
        if self.devices.iter().any(repeated) {
            let setting = format!("fit.devices = {:?}", self.devices);
            return Err(SettingError::new(setting, "each number once was expected"));
        }
        if self.exam_weight + self.slice_weight <= 0.0 {
            let both = "fit.exam_weight and fit.slice_weight are both 0";
            return Err(SettingError::new(both, "the weights would not be trained"));
        }
        if self.patch_epochs > 0 && self.mask_weight == 0.0 {
            let problem = "training on patches needs masks, and fit.mask_weight is 0";
            return Err(SettingError::new("fit.patch_epochs", problem));
        }
        Ok(())
    }

    /// Patches lie within slices whose shorter side has `smallest` pixels.
    pub(super) fn validate_patches(&self, multiple: usize, smallest: usize) -> Result<(), SettingError> {
        if self.patch_epochs > 0
            && (!self.patch_size.is_multiple_of(multiple) || !(16..=smallest).contains(&self.patch_size))
        {
            return Err(SettingError::new(
                format!("fit.patch_size = {}", self.patch_size),
                format!("a multiple of {multiple} from 16 to {smallest} was expected"),
            ));
        }
        Ok(())
    }
}

impl Augmentation {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        share("augmentation.flip", self.flip)?;
        share("augmentation.cutout", self.cutout)?;
        for (key, value) in [
            ("shift_mm", self.shift_mm),
            ("rotation_degrees", self.rotation_degrees),
            ("elastic_mm", self.elastic_mm),
            ("blur_mm", self.blur_mm),
            ("offset", self.offset),
            ("factor", self.factor),
            ("noise", self.noise),
            ("gamma", self.gamma),
            ("cutout_mm", self.cutout_mm),
        ] {
            in_range(&format!("augmentation.{key}"), value, 0.0..=1000.0)?;
        }
        in_range("augmentation.scale", self.scale, 0.0..=0.9)?;
        in_range("augmentation.elastic_grid_mm", self.elastic_grid_mm, 5.0..=1000.0)
    }
}

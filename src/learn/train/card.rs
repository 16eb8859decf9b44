//! The model card: what a person must know before using the package.

use std::fmt::Write as _;

use super::configuration::TrainConfiguration;
use crate::engine::models::manifest::{IntendedUse, Kind, Manifest};

/// The card of a package as Markdown.
pub(crate) fn text(configuration: &TrainConfiguration, manifest: &Manifest) -> String {
    let mut card = String::new();
    let training = &manifest.training;
    let _ = writeln!(card, "# {} {}\n\n{}\n", manifest.name, manifest.version, purpose(manifest));
    let _ = writeln!(card, "## Use\n\n{}\n", intended_use(manifest.intended_use));
    let _ = writeln!(
        card,
        "## Training\n\nImages: {}. Seed {}, commit {}, configuration SHA-256 `{}`, exam table SHA-256 `{}`.\n",
        if training.data.is_empty() { "not described" } else { &training.data },
        training.seed,
        training.commit,
        training.configuration_sha256,
        training.data_sha256,
    );
    card.push_str("| count | |\n|---|---|\n");
    for (name, count) in &training.counts {
        let _ = writeln!(card, "| {} | {count} |", name.replace('_', " "));
    }
    let input = &manifest.input;
    let _ = writeln!(
        card,
        "\nInput: window {} to {} HU, {} x {} pixels of {} mm, slices {} mm apart, {} channels.",
        input.window[0],
        input.window[1],
        input.size[0],
        input.size[1],
        input.spacing_mm,
        input.slice_step_mm,
        input.channels()
    );
    if manifest.kind == Kind::EmbolismClassifier {
        let fit = &configuration.fit;
        let masks = if fit.mask_weight > 0.0 {
            format!(
                " + {} x evidence cells against masks of the emboli, which phantoms have and patients have not",
                fit.mask_weight
            )
        } else {
            String::new()
        };
        let _ = writeln!(
            card,
            "\nLoss: {} x exam + {} x labelled slices (Hu et al. 2025){masks}. The evidence map is pooled (log-sum-exp) to the \
             slice logit; the exam logit reads all slices by attention.",
            fit.exam_weight, fit.slice_weight
        );
    }
    card.push_str("\n## Figures\n\n| figure | value | 95 % interval |\n|---|---|---|\n");
    for (name, metric) in &manifest.metrics {
        let interval = metric.interval.map_or_else(String::new, |[low, high]| format!("{low:.3} to {high:.3}"));
        let _ = writeln!(card, "| {name} | {:.3} | {interval} |", metric.value);
    }
    if let (Some(calibration), Some(point)) = (manifest.calibration.first(), &manifest.operating_point) {
        let _ = writeln!(
            card,
            "\nCalibration: probability = sigmoid(logit / {:.3} + {:.3}). Operating point: {:.3}, undetermined from {:.3} \
             to {:.3}: {}.",
            calibration.temperature,
            calibration.bias,
            point.threshold,
            point.indeterminate[0],
            point.indeterminate[1],
            point.chosen
        );
    }
    if manifest.calibration.iter().any(|calibration| !calibration.slices_fitted) {
        card.push_str("\nSlices are not calibrated: the validation exams have no labelled slices of both classes.\n");
    }
    let _ = writeln!(
        card,
        "\nCheckpoint, calibration and operating point were chosen on the validation exams, so validation figures flatter \
         the model; test figures, where there are any, do not.\n\n## Limits\n\n{}",
        limits(manifest)
    );
    card
}

fn purpose(manifest: &Manifest) -> &'static str {
    match manifest.kind {
        Kind::LungSegmentation => "Finds the left and the right lung in CT of the chest (2D U-Net, slice by slice).",
        Kind::EmbolismClassifier => {
            "Estimates the probability of pulmonary embolism in a CT pulmonary angiogram, for the exam and for each slice, \
             with a map of the evidence."
        }
    }
}

fn intended_use(intended_use: IntendedUse) -> &'static str {
    match intended_use {
        IntendedUse::Demonstration => {
            "Demonstration only. **Research use; trained on synthetic images alone.** Its results on images of patients \
             mean nothing: the node does not deliver them and calls every decision undetermined."
        }
        IntendedUse::Research => "Research use only. Not for decisions on patients.",
        IntendedUse::Clinical => {
            "Put to clinical use by the site that trained and evaluated it, on its own responsibility."
        }
    }
}

fn limits(manifest: &Manifest) -> &'static str {
    match manifest.intended_use {
        IntendedUse::Demonstration => {
            "Phantoms are simpler than patients. The figures above say how well the model does on phantoms of the same \
             generator and nothing about patients. Real images were used neither for training nor for choosing anything."
        }
        _ => "The figures above hold for exams like those in the training table; evaluate on your own before use.",
    }
}

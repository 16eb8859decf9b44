//! The model card: what a person must know before using the package.

use std::fmt::Write as _;

use super::configuration::{Fit, TrainConfiguration};
use super::evaluate::{ANSWERS, COUNTS, Evaluation};
use super::exported::TrainedBy;
use super::labels::Split;
use crate::engine::models::ModelIdentity;
use crate::engine::models::manifest::{Calibration, IntendedUse, Kind, Layout, Manifest, Metric};
use crate::engine::models::target::Target;

/// The card of a package as Markdown.
pub(crate) fn text(configuration: &TrainConfiguration, manifest: &Manifest, evaluation: &Evaluation) -> String {
    let trained_by = TrainedBy::of(manifest);
    let mut card = String::new();
    let _ = writeln!(card, "# {} {}\n\n{}\n", manifest.name, manifest.version, purpose(manifest));
    let _ = writeln!(card, "## Use\n\n{}\n", intended_use(manifest));
    card.push_str(&training(manifest));
    card.push_str("\n| count | |\n|---|---|\n");
    for (name, count) in &manifest.training.counts {
        let _ = writeln!(card, "| {} | {count} |", name.replace('_', " "));
    }
    let input = &manifest.input;
    let _ = writeln!(
        card,
        "\nInput: window {} to {} HU, {} x {} pixels of {} mm, slices {} mm apart, {} each.",
        input.window[0],
        input.window[1],
        input.size[0],
        input.size[1],
        input.spacing_mm,
        input.slice_step_mm,
        channels(input.channels())
    );
    if (manifest.kind, trained_by) == (Kind::EmbolismClassifier, TrainedBy::ThisProgram) {
        card.push_str(&loss(&configuration.fit));
    }
    card.push_str("\n## Metrics\n");
    for split in [Split::Test, Split::Validation] {
        card.push_str(&metrics(manifest, split));
    }
    card.push_str(&calibration(manifest, evaluation));
    let _ = writeln!(
        card,
        "\n{} were chosen on the validation exams, so validation metrics flatter the model; test metrics, where there are \
         any, do not. Intervals are of 95 %: Wilson's of shares, bias-corrected \
         ones over resampled patients of the rest. Sensitivity, specificity and predictive values are at the threshold; a \
         false alarm is an exam without embolism that is called present, so an undetermined exam is none.\n\n\
         ## Limits\n\n{}",
        match trained_by {
            TrainedBy::ThisProgram => "Checkpoint, calibration and operating point",
            TrainedBy::OtherSoftware => "Calibration and operating point",
        },
        limits(manifest)
    );
    card
}

/// What is known of how the weights were found.
fn training(manifest: &Manifest) -> String {
    let training = &manifest.training;
    let images = if training.data.is_empty() { "not described" } else { &training.data };
    match TrainedBy::of(manifest) {
        TrainedBy::ThisProgram => format!(
            "## Training\n\nImages: {images}. Seed {}, commit {}, configuration SHA-256 `{}`, exam table SHA-256 `{}`.\n",
            training.seed, training.commit, training.configuration_sha256, training.data_sha256,
        ),
        TrainedBy::OtherSoftware => format!(
            "## Training\n\nThe network was trained by other software, not by pe-node. Images, as those who trained it \
             say: {images}. How it was trained is not known here, nor whether exams that are counted below took part. If \
             they did, the metrics flatter it.\n\n`pe-node train evaluate` fitted the calibration and chose the operating \
             point. Prepared exams of that, SHA-256 `{}`:\n",
            training.data_sha256
        ),
    }
}

/// What was minimised, in a paragraph.
fn loss(fit: &Fit) -> String {
    let masks = if fit.mask_weight > 0.0 {
        format!(
            " + {} x cells of the attribution map against masks of the emboli, where exams have them",
            fit.mask_weight
        )
    } else {
        String::new()
    };
    format!(
        "\nLoss: {} x exam + {} x labelled slices (Hu et al. 2025){masks}. The attribution map is pooled (log-sum-exp) to \
         the slice logit; the exam logit reads all slices by attention.\n",
        fit.exam_weight, fit.slice_weight
    )
}

/// What a recalibrated package was made of.
pub(crate) struct Origin<'a> {
    /// The package before.
    pub(crate) identity: &'a ModelIdentity,
    /// SHA-256 of the table of the site's labels.
    pub(crate) labels_sha256: &'a str,
}

/// The card of a package whose calibration and operating point were fitted to exams of a site. `earlier` is the card of
/// the package before.
pub(crate) fn recalibrated(manifest: &Manifest, evaluation: &Evaluation, origin: &Origin<'_>, earlier: &str) -> String {
    let Origin { identity, labels_sha256 } = origin;
    let mut card = format!("# {} {}\n\n{}\n", manifest.name, manifest.version, purpose(manifest));
    let _ = writeln!(
        card,
        "\nThis is {}, SHA-256 `{}`, recalibrated for a site. The networks are the same. Calibration of embolism in the \
         exam and the operating point were fitted to exams of the site, whose table of labels has the SHA-256 \
         `{labels_sha256}`; values of slices and further targets are as before. Below, validation exams are those of the \
         site.\n\n## Use\n\n{}\n\n## Metrics",
        identity.package,
        identity.sha256,
        intended_use(manifest)
    );
    card.push_str(&metrics(manifest, Split::Validation));
    card.push_str(&calibration(manifest, evaluation));
    card.push_str(
        "\nCalibration and operating point were chosen on the exams that they are measured on here. For the metrics, each \
         exam was calibrated without itself. Sensitivity and specificity to expect are measured on patients that took no \
         part in the choice.\n",
    );
    if !earlier.is_empty() {
        let _ = writeln!(
            card,
            "\n## Before the recalibration\n\nThe card of {} follows. Its probabilities, decisions and metrics are not those \
             of this package.\n",
            identity.package
        );
        // Headings of the earlier card lie below this one.
        for line in earlier.lines() {
            let _ = writeln!(card, "{}{line}", if line.starts_with('#') { "##" } else { "" });
        }
    }
    card
}

fn channels(count: usize) -> String {
    if count == 1 { "1 channel".to_owned() } else { format!("{count} channels") }
}

/// The metrics of one split, and on how many exams they were found.
fn metrics(manifest: &Manifest, split: Split) -> String {
    let of_split = |name: &str| manifest.metrics.get(&format!("{}.{name}", split.name())).map(|metric| metric.value);
    let Some(exams) = of_split("exams") else { return String::new() };
    let with = of_split("positive_exams").map_or_else(String::new, |count| format!(", {count:.0} with embolism"));
    let mut text =
        format!("\nOn {exams:.0} {} exams{with}:\n\n| metric | value | 95 % interval |\n|---|---|---|\n", split.name());
    for (name, metric) in &manifest.metrics {
        let Some(name) = name.strip_prefix(split.name()).and_then(|rest| rest.strip_prefix('.')) else { continue };
        if COUNTS.iter().any(|(_, names)| names.contains(&name)) {
            // They are a table of their own.
            continue;
        }
        let Metric { value, interval } = metric;
        let interval = interval.map_or_else(String::new, |[low, high]| format!("{low:.3} to {high:.3}"));
        let value =
            if value.fract() == 0.0 && interval.is_empty() { format!("{value:.0}") } else { format!("{value:.3}") };
        let _ = writeln!(text, "| {} | {value} | {interval} |", name.replace('_', " "));
    }
    text.push_str(&decisions(manifest, split));
    text
}

/// Truth against the three answers.
fn decisions(manifest: &Manifest, split: Split) -> String {
    let count = |name: &str| manifest.metrics.get(&format!("{}.{name}", split.name()));
    let row = |(embolism, names): &(bool, [&str; 3])| {
        let cells: Option<Vec<String>> = names.iter().map(|name| Some(format!("{:.0}", count(name)?.value))).collect();
        let truth = if *embolism { "embolism" } else { "no embolism" };
        Some(format!("| {truth} | {} |\n", cells?.join(" | ")))
    };
    let rows: Option<String> = COUNTS.iter().map(row).collect();
    let head = ANSWERS.map(|answer| answer.to_string());
    let table = |rows| format!("\n| truth | {} |\n|---|---|---|---|\n{rows}", head.join(" | "));
    rows.map_or_else(String::new, table)
}

/// How logits become probabilities and decisions, and what the exams did not allow.
fn calibration(manifest: &Manifest, evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for (member, calibration) in manifest.calibration.iter().enumerate() {
        let whose = if manifest.calibration.len() > 1 { format!(" of member {member}") } else { String::new() };
        let _ = writeln!(text, "\nCalibration{whose}: {}.", formula(calibration));
    }
    for note in &evaluation.notes {
        let _ = writeln!(text, "\n- {note}.");
    }
    if let Some(point) = &manifest.operating_point {
        let [low, high] = point.indeterminate;
        let _ = writeln!(
            text,
            "\nOperating point: {:.3}, undetermined from {low:.3} to {high:.3}: {}.",
            point.threshold, point.chosen
        );
    }
    if !manifest.is_calibrated(Target::PulmonaryEmbolism) {
        text.push_str("\nExams are not calibrated: their probabilities are the network's own.\n");
    }
    if manifest.layout == Layout::Exam {
        text.push_str("\nThe network reads exams as a whole. It gives no values of slices and no heat map.\n");
    } else if manifest.calibration.iter().any(|calibration| !calibration.slices_fitted) {
        text.push_str("\nSlices are not calibrated: their values are the network's own.\n");
    }
    text
}

fn formula(calibration: &Calibration) -> String {
    let Calibration { temperature, bias, isotonic, .. } = calibration;
    match isotonic {
        Some(_) => "probability = isotonic map of the logit (its knots are in model.toml)".to_owned(),
        None => format!("probability = sigmoid(logit / {temperature:.3} + {bias:.3})"),
    }
}

fn purpose(manifest: &Manifest) -> &'static str {
    match manifest.kind {
        Kind::EmbolismClassifier if manifest.layout == Layout::Exam => {
            "Estimates the probability of pulmonary embolism in a CT pulmonary angiogram, for the exam."
        }
        Kind::LungSegmentation => "Finds the left and the right lung in CT of the chest (2D U-Net, slice by slice).",
        Kind::EmbolismClassifier => {
            "Estimates the probability of pulmonary embolism in a CT pulmonary angiogram, for the exam and for each slice, \
             with an attribution map."
        }
    }
}

fn intended_use(manifest: &Manifest) -> &'static str {
    match manifest.intended_use {
        IntendedUse::Demonstration if TrainedBy::of(manifest) == TrainedBy::OtherSoftware => {
            "Demonstration only. **Research use; calibrated and measured on synthetic images.** Its results on images of \
             patients mean nothing: the node does not deliver them and calls every decision undetermined."
        }
        IntendedUse::Demonstration => {
            "Demonstration only. **Research use; trained on synthetic images alone.** Its results on images of patients \
             mean nothing: the node does not deliver them and calls every decision undetermined."
        }
        IntendedUse::Research => "Research use only. Not for decisions on patients.",
        IntendedUse::Clinical => "Put to clinical use by the site that evaluated it, on its own responsibility.",
    }
}

fn limits(manifest: &Manifest) -> &'static str {
    match manifest.intended_use {
        IntendedUse::Demonstration if TrainedBy::of(manifest) == TrainedBy::OtherSoftware => {
            "Phantoms are simpler than patients. The metrics above say how well the model does on phantoms and nothing about \
             patients."
        }
        IntendedUse::Demonstration => {
            "Phantoms are simpler than patients. The metrics above say how well the model does on phantoms of the same \
             generator and nothing about patients. Real images were used neither for training nor for choosing anything."
        }
        _ => "The metrics above hold for exams like those in the training table; evaluate on your own before use.",
    }
}

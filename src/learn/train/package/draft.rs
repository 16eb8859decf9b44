//! Networks under evaluation: a package that is not calibrated yet. Evaluation runs them from it, and the exported package
//! takes them from it.

use std::path::Path;

use burn::tensor::Device;

use super::manifest::manifest;
use super::parity::{Networks, compare};
use super::writing::write_folder;
use crate::engine::models::ModelsError;
use crate::engine::models::PackageId;
use crate::engine::models::manifest::{File, IntendedUse, Manifest, Role};
use crate::engine::models::package::Package;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::evaluate::Evaluation;
use crate::learn::train::export;
use crate::learn::train::exported::{Splits, TrainedBy};
use crate::learn::train::files;
use crate::learn::train::step::Step;
use crate::learn::train::{TrainError, TrainingContext};

/// The name of the networks under evaluation.
fn draft() -> PackageId {
    "draft/0.0.0".parse().expect("a package")
}

/// Writes the networks of a fit as a draft and opens it. Fails unless ONNX Runtime agrees with the training program on
/// them.
pub(crate) fn write_draft(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    networks: &Networks,
    datasets: &Splits,
    experiment: &Path,
    device: &Device,
) -> Result<Package, TrainError> {
    let (channels, size) = (configuration.input.channels(), configuration.input.size);
    let exported = match networks {
        Networks::Lungs(network) => vec![(Role::Network, "lungs.onnx", export::lungs(network, channels, size)?)],
        Networks::Embolism(network) => {
            let [encoder, head] = export::embolism(network, channels, size)?;
            vec![(Role::Encoder, "encoder.onnx", encoder), (Role::Head, "head.onnx", head)]
        }
    };
    let (_, data) = datasets
        .iter()
        .max_by_key(|(split, _)| *split)
        .ok_or_else(|| TrainError::Exams("no prepared exam to compare training and ONNX Runtime on".to_owned()))?;
    let described = exported.into_iter().map(|(role, path, exported)| {
        let outputs = exported.outputs.iter().map(|name| (*name).to_owned()).collect();
        DraftFile::new((role, path), exported.bytes, exported.input.to_owned(), outputs)
    });
    let agrees = |package: &Package| compare(networks, package, &context.runtime()?, (data, device));
    let made = Draft { files: described.collect(), trained_by: TrainedBy::ThisProgram, exams_sha256: "" };
    made.write(configuration, context, datasets, experiment, agrees)
}

/// A network of a draft.
pub(super) struct DraftFile {
    file: File,
    onnx: Vec<u8>,
}

impl DraftFile {
    pub(super) fn new((role, path): (Role, &str), onnx: Vec<u8>, input: String, outputs: Vec<String>) -> Self {
        let sha256 = files::digest(&onnx);
        let file = File { role, member: 0, path: path.to_owned(), sha256, inputs: vec![input], outputs };
        Self { file, onnx }
    }
}

/// What a draft is made of.
pub(super) struct Draft<'a> {
    pub(super) files: Vec<DraftFile>,
    pub(super) trained_by: TrainedBy,
    /// As in the manifest.
    pub(super) exams_sha256: &'a str,
}

impl Draft<'_> {
    /// Writes it into the experiment's folder, if `good` accepts it, and opens it.
    pub(super) fn write(
        &self,
        configuration: &TrainConfiguration,
        context: &TrainingContext,
        datasets: &Splits,
        experiment: &Path,
        good: impl FnOnce(&Package) -> Result<(), TrainError>,
    ) -> Result<Package, TrainError> {
        let PackageId { name, version } = draft();
        let manifest = Manifest {
            name,
            version,
            intended_use: IntendedUse::Demonstration,
            ..manifest(
                configuration,
                context,
                self.files.iter().map(|of| of.file.clone()).collect(),
                &Evaluation::uncalibrated(configuration.kind),
                [datasets].into_iter(),
                (self.trained_by, self.exams_sha256),
            )?
        };
        let contents = self.files.iter().map(|of| (of.file.path.as_str(), of.onnx.as_slice()));
        let folder = write_folder(&experiment.join("onnx"), &manifest, contents, good)?;
        Ok(Package::open(&folder).map_err(ModelsError::from)?)
    }
}

/// Opens the draft that was evaluated.
pub(crate) fn open_draft(experiment: &Path) -> Result<Package, TrainError> {
    let folder = draft().folder_in(&experiment.join("onnx"));
    if !folder.is_dir() {
        return Err(TrainError::StepMissing { path: folder, step: Step::Evaluate });
    }
    Ok(Package::open(&folder).map_err(ModelsError::from)?)
}

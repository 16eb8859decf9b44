//! Networks that other software trained and wrote as ONNX: what a layout asks of their tensors, and the draft of them.

use std::path::{Path, PathBuf};

use super::draft::{Draft, DraftFile};
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::Role;
use crate::engine::models::networks::{TensorNames, tensor_names, verify};
use crate::engine::models::package::Package;
use crate::engine::models::session::Runtime;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::exported::{Splits, TrainedBy};
use crate::learn::train::files;
use crate::learn::train::{TrainError, TrainingContext};

/// The ONNX files of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkFiles {
    /// Layout `exam`: all slices of an exam to its logits.
    Exam(PathBuf),
    /// Layout `encoder+head`: slices to features, and the features of an exam to its logits.
    EncoderHead {
        /// Slices to features and evidence.
        encoder: PathBuf,
        /// Features to logits and attention.
        head: PathBuf,
    },
}

impl NetworkFiles {
    /// The files of each of `networks` networks, one after the other: one file is an exam network, two are encoder and
    /// head.
    ///
    /// # Errors
    /// Another number of files than one or two for each.
    pub(crate) fn of_each(files: &[PathBuf], networks: usize) -> Result<Vec<Self>, TrainError> {
        let (each, rest) = (files.len() / networks, files.len() % networks);
        if rest != 0 || !(1..=2).contains(&each) {
            let folds = if networks > 1 { " of each fold" } else { "" };
            return Err(TrainError::Exams(format!(
                "{} files were named with --onnx; {networks} (a network over all slices{folds}) or {} (encoder and \
                 head{folds}, in this order) were expected",
                files.len(),
                2 * networks
            )));
        }
        let network = |files: &[PathBuf]| match files {
            [encoder, head] => Self::EncoderHead { encoder: encoder.clone(), head: head.clone() },
            files => Self::Exam(files[0].clone()),
        };
        Ok(files.chunks(each).map(network).collect())
    }

    /// Each file with its role, and its name in a package.
    fn roles(&self) -> Vec<(Role, &'static str, &Path)> {
        match self {
            Self::Exam(path) => vec![(Role::Network, "network.onnx", path)],
            Self::EncoderHead { encoder, head } => {
                vec![(Role::Encoder, "encoder.onnx", encoder), (Role::Head, "head.onnx", head)]
            }
        }
    }

    /// True if a draft holds exactly these files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn are_in(&self, draft: &Package) -> Result<bool, TrainError> {
        let digests = self.roles().into_iter().map(|(role, _, path)| Ok((role, files::digest(&read(path)?))));
        let digests: Vec<(Role, String)> = digests.collect::<Result<_, TrainError>>()?;
        Ok(draft.manifest().files.iter().map(|file| (file.role, file.sha256.clone())).eq(digests))
    }
}

/// Writes networks that other software trained as a draft, as [`super::write_draft`] does with those of a fit, and opens
/// it. `exams_sha256` stands for the exams that they are evaluated on.
///
/// # Errors
/// A file that cannot be read, or whose tensors are not those of its layout.
pub(crate) fn write_draft_of_files(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    networks: &NetworkFiles,
    (datasets, exams_sha256): (&Splits, &str),
    experiment: &Path,
) -> Result<Package, TrainError> {
    let runtime = context.runtime()?;
    let files =
        networks.roles().into_iter().map(|(role, name, path)| described(role, name, path, configuration, &runtime));
    let draft = Draft { files: files.collect::<Result<_, _>>()?, trained_by: TrainedBy::OtherSoftware, exams_sha256 };
    let fits = |package: &Package| match verify(package, &runtime) {
        Ok(_) => Ok(()),
        Err(ModelsError::Unfit { file, problem, .. }) => {
            let roles = networks.roles();
            let found = roles.iter().find(|(_, name, _)| *name == file);
            let (role, _, path) = found.unwrap_or(&roles[0]);
            Err(unfit(path, problem.to_string(), *role, configuration))
        }
        Err(error) => Err(error.into()),
    };
    draft.write(configuration, context, datasets, experiment, fits)
}

fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(TrainError::file("reading", path))
}

/// Reads a file and finds the tensors that its role needs.
fn described(
    role: Role,
    name: &str,
    path: &Path,
    configuration: &TrainConfiguration,
    runtime: &Runtime,
) -> Result<DraftFile, TrainError> {
    let onnx = read(path)?;
    let unfit = |problem: String| unfit(path, problem, role, configuration);
    let TensorNames { inputs, outputs } = tensor_names(&onnx, runtime).map_err(|error| unfit(error.to_string()))?;
    let Ok([input]) = <[String; 1]>::try_from(inputs) else {
        return Err(unfit("the network has not exactly one input".to_owned()));
    };
    let wanted = match (role, &outputs[..]) {
        (Role::Network, [only]) => vec![only.clone()],
        _ => outputs_of(role).iter().map(|name| (*name).to_owned()).collect(),
    };
    if let Some(missing) = wanted.iter().find(|name| !outputs.contains(name)) {
        return Err(unfit(format!("the network has no output `{missing}`; it has {}", outputs.join(", "))));
    }
    Ok(DraftFile::new((role, name), onnx, input, wanted))
}

/// Names of the outputs, in the order of the layout.
fn outputs_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Encoder => &["features", "evidence"],
        Role::Head => &["slice_logits", "exam_logit", "attention"],
        Role::Network => &["exam_logit"],
    }
}

fn unfit(path: &Path, problem: String, role: Role, configuration: &TrainConfiguration) -> TrainError {
    let input = &configuration.input;
    let ([rows, columns], channels, targets) = (input.size, input.channels(), configuration.head.targets.len());
    let expected = match role {
        Role::Network => format!(
            "one input [1, D, {channels}, {rows}, {columns}] (all slices of an exam, lowest first, D dynamic or fixed) and \
             one output [{targets}] or [1, {targets}] in logits, or one of several called exam_logit"
        ),
        Role::Encoder => format!(
            "one input [N, {channels}, {rows}, {columns}] (N dynamic) and the outputs features [N, F] and evidence [N, 1, \
             h, w]"
        ),
        Role::Head => format!(
            "one input [D, F] (the features of all slices of an exam, D dynamic) and the outputs slice_logits [D], \
             exam_logit [{targets}] and attention [D]"
        ),
    };
    TrainError::Network { path: path.to_owned(), problem, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_a_network_is_a_network_over_exams_and_two_are_encoder_and_head() {
        let paths = |count: usize| (0..count).map(|number| PathBuf::from(format!("{number}.onnx"))).collect::<Vec<_>>();
        let of = |files: usize, networks: usize| NetworkFiles::of_each(&paths(files), networks);
        let exam = |number: usize| NetworkFiles::Exam(paths(number + 1).remove(number));
        let pair = |number: usize| {
            let [encoder, head] = [number, number + 1].map(|number| paths(number + 1).remove(number));
            NetworkFiles::EncoderHead { encoder, head }
        };
        assert_eq!(of(1, 1).expect("one"), [exam(0)]);
        assert_eq!(of(2, 1).expect("a pair"), [pair(0)]);
        assert_eq!(of(2, 2).expect("one of each fold"), [exam(0), exam(1)]);
        assert_eq!(of(4, 2).expect("a pair of each fold"), [pair(0), pair(2)]);
        for (files, networks) in [(0, 1), (3, 1), (3, 2), (6, 2)] {
            let said = of(files, networks).expect_err("another number").to_string();
            assert!(said.contains(&format!("{files} files")) && said.contains("encoder and head"), "{said}");
        }
    }
}

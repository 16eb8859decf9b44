//! From weights to metrics, and to a package.

use burn::tensor::Device;

use super::datasets::datasets;
use super::experiment::Experiment;
use super::fitting::{best_embolism, best_lungs, require_same_fit};
use crate::engine::models::manifest::Kind;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::evaluate::{self, Evaluation, Prediction};
use crate::learn::train::exported::{ExportedFit, TrainedBy, any_synthetic};
use crate::learn::train::files;
use crate::learn::train::labels::Split;
use crate::learn::train::package::{self, Networks};
use crate::learn::train::report::{self, Case, Course, Report};
use crate::learn::train::step::Step;
use crate::learn::train::table;
use crate::learn::train::{TrainError, volumes};

/// Evaluates the weights that were fitted.
pub(super) fn evaluate_weights(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    let fits = experiment.fits().iter().map(exported).collect::<Result<Vec<_>, _>>()?;
    evaluate(experiment, &fits, TrainedBy::ThisProgram)
}

/// Evaluates networks: calibration, operating point, metrics and report, in the folder of the experiment.
pub(super) fn evaluate(
    experiment: &Experiment<'_>,
    fits: &[ExportedFit],
    trained_by: TrainedBy,
) -> Result<Vec<String>, TrainError> {
    let Experiment { configuration, context, .. } = *experiment;
    let evaluation = match (configuration.kind, fits) {
        (Kind::LungSegmentation, [fit]) => {
            let of_fit = |(split, _): &&(Split, Dataset)| *split != Split::Train;
            let datasets: Vec<_> = fit.datasets.iter().filter(of_fit).cloned().collect();
            let evaluation = evaluate::lungs(configuration, context, &fit.draft, &datasets)?;
            write_report(experiment, (fits, trained_by), &evaluation, (&[], Vec::new()))?;
            evaluation
        }
        (Kind::LungSegmentation, _) => {
            let problem = "data.folds: a lung network cannot be packaged from folds; set data.folds = 0";
            return Err(TrainError::Exams(problem.to_owned()));
        }
        (Kind::EmbolismClassifier, fits) => {
            let outcome = evaluate::embolism(configuration, context, fits)?;
            table::write(&experiment.folder.join("predictions.csv"), &outcome.predictions)?;
            if !outcome.targets.is_empty() {
                table::write(&experiment.folder.join("targets.csv"), &outcome.targets)?;
            }
            let cases = evaluate::cases(context, fits, &outcome)?;
            write_report(experiment, (fits, trained_by), &outcome.evaluation, (&outcome.predictions, cases))?;
            outcome.evaluation
        }
    };
    files::write_whole(&experiment.evaluation(), evaluation.to_json().as_bytes())?;
    Ok(evaluation.lines())
}

/// Exports the best weights of a fit.
fn exported(fit: &Experiment<'_>) -> Result<ExportedFit, TrainError> {
    let Experiment { configuration, context, .. } = *fit;
    // Evaluated is what ONNX Runtime runs. No GPU is needed for that, whatever the weights were fitted on.
    let device = Device::flex();
    let datasets = datasets(fit)?;
    require_same_fit(fit, &datasets)?;
    let networks = match configuration.kind {
        Kind::LungSegmentation => Networks::Lungs(best_lungs(fit, &device)?),
        Kind::EmbolismClassifier => Networks::Embolism(Box::new(best_embolism(fit, &device)?)),
    };
    let draft = package::write_draft(configuration, context, &networks, &datasets, &fit.folder, &device)?;
    Ok(ExportedFit { draft, datasets })
}

/// The experiment on one page.
fn write_report(
    experiment: &Experiment<'_>,
    (fits, trained_by): (&[ExportedFit], TrainedBy),
    evaluation: &Evaluation,
    (predictions, cases): (&[Prediction], Vec<Case>),
) -> Result<(), TrainError> {
    let (configuration, folders) = (experiment.configuration, experiment.fits());
    let name = |number: usize| if fits.len() > 1 { format!("fold {number}") } else { String::new() };
    let exams = table_digest(experiment)?;
    let prepared: Vec<&PreparedExam> =
        fits.iter().flat_map(|fit| &fit.datasets).flat_map(|(_, data)| &data.exams).collect();
    let counts = fits.iter().enumerate().flat_map(|(number, fit)| {
        let named = move |mut row: Vec<String>| {
            let named = format!("{} {}", name(number), row[0]);
            named.trim().clone_into(&mut row[0]);
            row
        };
        report::counts(&fit.datasets).into_iter().map(named)
    });
    let synthetic = fits.iter().any(|fit| any_synthetic(&fit.datasets));
    let report = Report {
        title: format!("Experiment {}", configuration.work.experiment),
        notice: package::notice(configuration, trained_by, synthetic),
        about: vec![
            ("Images", configuration.package.data.clone()),
            ("Trained by", trained_by.to_string()),
            ("Networks, SHA-256", evaluation.networks_sha256.join(", ")),
            ("Table of exams, SHA-256", exams),
            ("Program", format!("{} {}", env!("CARGO_PKG_VERSION"), experiment.context.commit)),
        ],
        evaluation,
        predictions,
        attributes: report::attributes(&prepared, volumes::acquired(configuration)?)?,
        cases,
        courses: match trained_by {
            TrainedBy::ThisProgram => {
                let named = folders.iter().enumerate();
                named.flat_map(|(number, fit)| Course::read(&fit.folder, &name(number))).collect()
            }
            TrainedBy::OtherSoftware => Vec::new(),
        },
        counts: counts.collect(),
        exclusions: table::read(&folders[0].excluded(), Step::Fit)?,
        configuration: match trained_by {
            TrainedBy::ThisProgram => configuration.to_toml(),
            TrainedBy::OtherSoftware => configuration.to_toml_without_fit(),
        },
        resampling: Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed },
    };
    files::write_whole(&experiment.folder.join("report.html"), report.html().as_bytes())
}

/// Digest of the table of labelled exams.
fn table_digest(experiment: &Experiment<'_>) -> Result<String, TrainError> {
    let path = experiment.exams();
    let exams = std::fs::read(&path).map_err(TrainError::file("reading", &path))?;
    Ok(files::digest(&exams))
}

/// Makes a package of the weights that were fitted and evaluated.
pub(super) fn export_package(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    let open = |fit: &Experiment<'_>| -> Result<ExportedFit, TrainError> {
        let datasets = datasets(fit)?;
        require_same_fit(fit, &datasets)?;
        Ok(ExportedFit { draft: package::open_draft(&fit.folder)?, datasets })
    };
    let fits = experiment.fits().iter().map(open).collect::<Result<Vec<_>, _>>()?;
    export(experiment, &fits, (TrainedBy::ThisProgram, &table_digest(experiment)?))
}

/// Makes a package of networks that were evaluated.
pub(super) fn export(
    experiment: &Experiment<'_>,
    fits: &[ExportedFit],
    training: (TrainedBy, &str),
) -> Result<Vec<String>, TrainError> {
    let configuration = experiment.configuration;
    let evaluation = Evaluation::read(&experiment.evaluation())?;
    let networks: Vec<String> = fits.iter().map(|fit| evaluate::sha256(&fit.draft)).collect::<Result<_, _>>()?;
    if networks != evaluation.networks_sha256 {
        return Err(TrainError::Exams(format!(
            "{} is of other networks than those in {}: run `pe-node train evaluate` again",
            experiment.evaluation().display(),
            experiment.folder.display()
        )));
    }
    let written = package::write(configuration, experiment.context, &experiment.folder, fits, &evaluation, training)?;
    let folder = package::publish(&written, &configuration.package.directory, experiment.context)?;
    Ok(vec![format!("export: {}", folder.display())])
}

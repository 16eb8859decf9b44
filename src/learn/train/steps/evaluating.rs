//! From weights to figures, and to a package.

use super::fitting::{best_embolism, best_lungs, require_same_fit};
use super::{Paths, datasets};
use crate::engine::models::manifest::Kind;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::evaluate::{self, Evaluation, Prediction};
use crate::learn::train::files::{self, table};
use crate::learn::train::labels::Split;
use crate::learn::train::package::{self, ExportedFit, Networks};
use crate::learn::train::report::{self, Case, Course, Report};
use crate::learn::train::{TrainError, fit};

pub(super) fn evaluate_weights(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let fits = paths.fits(configuration);
    let fits = fits.iter().map(|fit| exported(configuration, fit)).collect::<Result<Vec<_>, _>>()?;
    let evaluation = match (configuration.kind, &fits[..]) {
        (Kind::LungSegmentation, [fit]) => {
            let of_fit = |(split, _): &&(Split, Dataset)| *split != Split::Train;
            let datasets: Vec<_> = fit.datasets.iter().filter(of_fit).cloned().collect();
            let evaluation = evaluate::lungs(configuration, &fit.draft, &datasets)?;
            write_report(configuration, paths, &fits, &evaluation, (&[], Vec::new()))?;
            evaluation
        }
        (Kind::LungSegmentation, _) => {
            let problem = "data.folds: folds of a lung network make no package; set data.folds = 0";
            return Err(TrainError::Exams(problem.to_owned()));
        }
        (Kind::EmbolismClassifier, fits) => {
            let outcome = evaluate::embolism(configuration, fits)?;
            table::write(&paths.fit.join("predictions.csv"), &outcome.predictions)?;
            if !outcome.targets.is_empty() {
                table::write(&paths.fit.join("targets.csv"), &outcome.targets)?;
            }
            let cases = evaluate::cases(fits, &outcome)?;
            write_report(configuration, paths, fits, &outcome.evaluation, (&outcome.predictions, cases))?;
            outcome.evaluation
        }
    };
    files::write_whole(&paths.evaluation(), evaluation.to_json().as_bytes())?;
    Ok(evaluation.lines())
}

/// Exports the best weights of a fit.
fn exported(configuration: &TrainConfiguration, fit: &Paths) -> Result<ExportedFit, TrainError> {
    let device = fit::device(&configuration.fit)?;
    let datasets = datasets(configuration, fit)?;
    require_same_fit(configuration, fit, &datasets)?;
    let networks = match configuration.kind {
        Kind::LungSegmentation => Networks::Lungs(best_lungs(configuration, fit, &device)?),
        Kind::EmbolismClassifier => Networks::Embolism(Box::new(best_embolism(configuration, fit, &device)?)),
    };
    let draft = package::write_draft(configuration, &networks, &datasets, &fit.fit, &device)?;
    Ok(ExportedFit { draft, datasets })
}

/// The experiment on one page.
fn write_report(
    configuration: &TrainConfiguration,
    paths: &Paths,
    fits: &[ExportedFit],
    evaluation: &Evaluation,
    (predictions, cases): (&[Prediction], Vec<Case>),
) -> Result<(), TrainError> {
    let folders = paths.fits(configuration);
    let name = |number: usize| if fits.len() > 1 { format!("fold {number}") } else { String::new() };
    let exams = std::fs::read(&paths.exams).map_err(TrainError::file("reading", &paths.exams))?;
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
    let synthetic = fits.iter().any(|fit| package::any_synthetic(&fit.datasets));
    let report = Report {
        title: format!("Experiment {}", configuration.work.experiment),
        notice: package::notice(configuration, synthetic),
        about: vec![
            ("Images", configuration.package.data.clone()),
            ("Networks, SHA-256", evaluation.networks_sha256.join(", ")),
            ("Table of exams, SHA-256", files::digest(&exams)),
            ("Program", format!("{} {}", env!("CARGO_PKG_VERSION"), package::commit())),
        ],
        evaluation,
        predictions,
        attributes: report::attributes(&prepared, &configuration.work.dir.join("volumes.csv"))?,
        cases,
        courses: folders.iter().enumerate().flat_map(|(number, fit)| Course::read(&fit.fit, &name(number))).collect(),
        counts: counts.collect(),
        exclusions: table::read(&folders[0].excluded(), "fit")?,
        configuration: configuration.to_toml(),
        resampling: Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed },
    };
    files::write_whole(&paths.fit.join("report.html"), report.html().as_bytes())
}

pub(super) fn export_package(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let evaluation = Evaluation::read(&paths.evaluation())?;
    let open = |fit: &Paths| -> Result<ExportedFit, TrainError> {
        let datasets = datasets(configuration, fit)?;
        require_same_fit(configuration, fit, &datasets)?;
        Ok(ExportedFit { draft: package::open_draft(&fit.fit)?, datasets })
    };
    let fits = paths.fits(configuration).iter().map(open).collect::<Result<Vec<_>, _>>()?;
    if evaluate::digests(&fits)? != evaluation.networks_sha256 {
        return Err(TrainError::Exams(format!(
            "{} is of other networks than those in {}: run `pe-node train evaluate` again",
            paths.evaluation().display(),
            paths.fit.display()
        )));
    }
    let exams = std::fs::read(&paths.exams).map_err(TrainError::file("reading", &paths.exams))?;
    let written = package::write(configuration, &paths.fit, &fits, &evaluation, &files::digest(&exams))?;
    let folder = package::publish(&written, &configuration.package.directory)?;
    Ok(vec![format!("export: {}", folder.display())])
}

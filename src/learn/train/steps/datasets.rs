//! The prepared exams of a fit.

use super::experiment::Experiment;
use super::preparing::{self, Assigned, Assignment};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::crops::{Crops, Prepared};
use crate::learn::train::dataset::{Dataset, PreparedExam, Use};
use crate::learn::train::labels::{Exclusion, Split};
use crate::learn::train::lungs::Lungs;
use crate::learn::train::stage::{Made, Stage as _};
use crate::learn::train::step::Step;
use crate::learn::train::table;
use crate::learn::train::{TrainError, slices};

/// Prepared exams of each split that has any, in one fit. Also writes the tables of these exams and of those that were
/// left out.
pub(super) fn datasets(experiment: &Experiment<'_>) -> Result<Vec<(Split, Dataset)>, TrainError> {
    let configuration = experiment.configuration;
    let lungs = Lungs::new(configuration, experiment.context)?;
    let stage = Crops::new(configuration, &lungs);
    let (crops, mut exclusions) = preparing::prepared(experiment, &lungs)?;
    let assignments = Assignment::read(&experiment.splits())?;
    let mut exams = Vec::with_capacity(crops.len());
    for made in &crops {
        let series = &made.exam.series;
        let Some(assigned) = assignments.get(series).copied() else {
            let table = &configuration.data.splits;
            if table.as_os_str().is_empty() {
                return Err(TrainError::StepMissing { path: experiment.splits(), step: Step::Labels });
            }
            let reason = format!("{} does not say what it is used for", table.display());
            exclusions.push(Exclusion::new("labels", series, reason));
            continue;
        };
        exams.extend(seen(configuration, made, assigned, experiment.number)?);
    }
    let of_labels: Vec<Exclusion> = table::read(&experiment.excluded_labels(), Step::Labels)?;
    exclusions.splice(0..0, of_labels);
    table::write(&experiment.excluded(), &exclusions)?;
    table::write(&experiment.prepared(), &exams)?;
    let of = |split| {
        let some = exams.iter().filter(|exam| exam.split == split).cloned().collect();
        Dataset::new(stage.folder().to_owned(), configuration, some)
    };
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| (split, of(split)));
    Ok(all.into_iter().filter(|(_, data)| !data.exams.is_empty()).collect())
}

/// An exam as the fit of a number sees it: where it is trained on it, after the exams that were made of it by putting
/// emboli into it.
pub(super) fn seen(
    configuration: &TrainConfiguration,
    made: &Made<Prepared>,
    Assigned { place, slice_labels }: Assigned,
    fit: usize,
) -> Result<Vec<PreparedExam>, TrainError> {
    let (supervision, seed) = (configuration.supervision, configuration.fit.seed);
    let usage = Use { split: place.split(fit), slice_labels, supervision, seed };
    let exam = PreparedExam::new(made, &slices::folder(configuration), usage)?;
    let mut exams = Vec::new();
    if exam.split == Split::Train {
        exams.extend(exam.with_emboli(made).filter(PreparedExam::shows_emboli));
    }
    exams.push(exam);
    Ok(exams)
}

pub(super) fn split(datasets: &[(Split, Dataset)], wanted: Split) -> Result<&Dataset, TrainError> {
    let found = datasets.iter().find(|(split, _)| *split == wanted);
    found.map(|(_, data)| data).ok_or_else(|| {
        TrainError::Exams(format!("no exams for {wanted:?}; give more exams or another share (data.*_fraction)"))
    })
}

#[cfg(test)]
pub(in super::super) mod testing {
    use super::*;
    use crate::learn::train::TrainingContext;

    /// Prepared exams of the experiment's first fit.
    pub(in super::super::super) fn datasets_of(
        configuration: &TrainConfiguration,
        context: &TrainingContext,
    ) -> Result<Vec<(Split, Dataset)>, TrainError> {
        datasets(&Experiment::new(configuration, context).fits()[0])
    }
}

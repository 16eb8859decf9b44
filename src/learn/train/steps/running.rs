//! One step, or all of them.

use super::experiment::Experiment;
use super::{crop_tables, evaluating, fitting, preparing};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::stage::Shard;
use crate::learn::train::step::Step;
use crate::learn::train::{TrainError, TrainingContext};

/// Which part of a step's work a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    All,
    /// The exams of a shard; `volumes`, `slices`, `lungs` and `crops`.
    Shard(Shard),
    /// The fit of a fold, from 0; `fit`.
    Fold(usize),
}

/// Runs one step or all. Returns lines that state what was done.
///
/// # Errors
/// A portion that the step does not have, or an error of a step.
pub fn run(
    step: Step,
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    portion: Portion,
) -> Result<Vec<String>, TrainError> {
    let shard = match portion {
        Portion::Shard(shard) if step.has_shards() => shard,
        Portion::Shard(_) => {
            let problem = "a shard was named; only the steps volumes, slices, lungs and crops have shards";
            return Err(TrainError::Exams(problem.to_owned()));
        }
        Portion::Fold(_) if step != Step::Fit => {
            return Err(TrainError::Exams("a fold was named; only the step fit has folds".to_owned()));
        }
        _ => Shard::ALL,
    };
    let experiment = Experiment::new(configuration, context);
    match step {
        Step::Labels => preparing::read_labels(&experiment),
        Step::Volumes => preparing::volumes(&experiment, shard),
        Step::Slices => preparing::slices(&experiment, shard),
        Step::Lungs => preparing::lungs(&experiment, shard),
        Step::Crops => {
            let mut lines = preparing::crops(&experiment, shard)?;
            if shard == Shard::ALL {
                lines.extend(crop_tables::write(&experiment)?);
            }
            Ok(lines)
        }
        Step::Fit => match portion {
            Portion::Fold(fold) => fitting::fit_fold(&experiment, fold),
            _ => fitting::fit_weights(&experiment),
        },
        Step::Evaluate => evaluating::evaluate_weights(&experiment),
        Step::Export => evaluating::export_package(&experiment),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::order() {
                lines.extend(run(step, configuration, context, Portion::All)?);
            }
            Ok(lines)
        }
    }
}

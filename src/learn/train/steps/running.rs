//! One step, or all of them.

use super::experiment::Experiment;
use super::{evaluating, fitting, preparing};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::stage::Shard;
use crate::learn::train::step::Step;
use crate::learn::train::{TrainError, TrainingContext};

/// Runs one step or all, of all exams or those of a shard. Returns lines that state what was done.
///
/// # Errors
/// A shard of a step that has none, or an error of a step.
pub fn run(
    step: Step,
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    shard: Shard,
) -> Result<Vec<String>, TrainError> {
    if shard != Shard::ALL && !step.has_shards() {
        let problem = "a shard was named; only the steps volumes, slices, lungs and crops have shards";
        return Err(TrainError::Exams(problem.to_owned()));
    }
    let experiment = Experiment::new(configuration, context);
    match step {
        Step::Labels => preparing::read_labels(&experiment),
        Step::Volumes => preparing::volumes(&experiment, shard),
        Step::Slices => preparing::slices(&experiment, shard),
        Step::Lungs => preparing::lungs(&experiment, shard),
        Step::Crops => preparing::crops(&experiment, shard),
        Step::Fit => fitting::fit_weights(&experiment),
        Step::Evaluate => evaluating::evaluate_weights(&experiment),
        Step::Export => evaluating::export_package(&experiment),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::order() {
                lines.extend(run(step, configuration, context, Shard::ALL)?);
            }
            Ok(lines)
        }
    }
}

//! Predictions for exams, row by row.

use serde::{Deserialize, Serialize};

use crate::engine::analyse::findings::Decision;
use crate::engine::models::target::Target;
use crate::learn::train::bootstrap::ByPatient;
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::Scored;

/// One row of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    /// The label.
    pub(crate) embolism: bool,
    /// Mean of the members' logits, before calibration.
    pub(crate) logit: Option<f64>,
    /// Calibrated; the mean of the members.
    pub(crate) probability: f64,
    /// Standard deviation of the members' probabilities; empty where one network answered. `spread` is the column's
    /// earlier name.
    #[serde(default)]
    pub(crate) standard_deviation: Option<f64>,
    pub(crate) spread: Option<f64>,
    /// At the operating point.
    pub(crate) decision: Decision,
    /// The member that answered, where the exam belongs to its fold; empty where all did.
    pub(crate) member: Option<usize>,
    pub(crate) study: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
}

impl Prediction {
    /// Probability and truth.
    pub(crate) fn scored(&self) -> Scored {
        Scored { score: self.probability, positive: self.embolism }
    }
}

/// Probabilities and truths of the exams of a split.
pub(crate) fn scored(predictions: &[Prediction], split: Split) -> ByPatient<Scored> {
    let of_split = predictions.iter().filter(|one| one.split == split);
    of_split.map(|one| (one.patient.as_str(), one.scored())).collect()
}

/// One row of `targets.csv`: the prediction of a further target of an exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetPrediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    pub(crate) target: Target,
    /// The label; empty where it is unknown.
    pub(crate) label: Option<bool>,
    /// Mean of the members' logits; empty where a package gave its probability alone.
    pub(crate) logit: Option<f64>,
    /// Calibrated; the mean of the members.
    pub(crate) probability: f64,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A test exam of the given number, label and probability.
    pub(crate) fn prediction(number: u32, embolism: bool, probability: f64) -> Prediction {
        Prediction {
            series: format!("2.25.{number}"),
            split: Split::Test,
            embolism,
            logit: Some((probability / (1.0 - probability)).ln()),
            probability,
            standard_deviation: None,
            spread: None,
            decision: if probability < 0.5 { Decision::Absent } else { Decision::Present },
            member: None,
            study: format!("2.26.{number}"),
            patient: format!("2.27.{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::prediction;
    use super::*;
    use crate::learn::train::step::Step;
    use crate::learn::train::table;

    #[test]
    fn predictions_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("predictions.csv");
        let ensemble = Prediction { standard_deviation: Some(0.125), spread: Some(0.125), ..prediction(1, true, 0.75) };
        let of_fold = Prediction { member: Some(2), split: Split::Validation, ..prediction(2, false, 0.25) };
        let rows = [ensemble, of_fold, Prediction { logit: None, ..prediction(3, true, 0.5) }];
        table::write(&path, &rows).expect("written");
        assert_eq!(table::read::<Prediction>(&path, Step::Evaluate).expect("read"), rows);
    }
}

//! What the operating point is chosen for, and for which site.

use serde::{Deserialize, Serialize};

use super::checks::{SettingError, in_range, share};

/// Share of the exams of a site that show embolism, between 0 and 1, both excluded.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Prevalence(f64);

impl Prevalence {
    /// A prevalence; `None` if the number is not between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share < 1.0).then_some(Self(share))
    }

    /// From 0 to 1.
    pub fn share(self) -> f64 {
        self.0
    }

    /// Exams with embolism for each exam without.
    pub fn odds(self) -> f64 {
        self.0 / (1.0 - self.0)
    }
}

/// What the operating point is chosen for. Each criterion holds what it needs and nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Criterion {
    /// A share of the exams with embolism that lie at or above the threshold.
    Sensitivity {
        /// That share, from 0 to 1.
        wanted: f64,
        /// The site's, if probabilities are to hold there.
        prevalence: Option<Prevalence>,
    },
    /// A share of the exams without embolism that lie below the threshold.
    Specificity {
        /// That share, from 0 to 1.
        wanted: f64,
        /// The site's, if probabilities are to hold there.
        prevalence: Option<Prevalence>,
    },
    /// The least expected cost, at the prevalence of the site.
    Cost {
        /// Cost of a missed embolism, as a multiple of that of a false alarm; above 0.
        missed: f64,
        /// The site's.
        prevalence: Prevalence,
    },
}

impl Criterion {
    /// The prevalence at which probabilities are to hold; `None` for that of the validation exams.
    pub fn prevalence(self) -> Option<Prevalence> {
        match self {
            Self::Sensitivity { prevalence, .. } | Self::Specificity { prevalence, .. } => prevalence,
            Self::Cost { prevalence, .. } => Some(prevalence),
        }
    }
}

/// A criterion as it is written in a configuration; 0 for a value that is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CriterionKeys {
    pub(super) criterion: CriterionName,
    pub(super) sensitivity: f64,
    pub(super) specificity: f64,
    pub(super) missed_cost: f64,
    pub(super) prevalence: f64,
}

/// Names of the criteria.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(super) enum CriterionName {
    Sensitivity,
    Specificity,
    Cost,
}

impl TryFrom<CriterionKeys> for Criterion {
    type Error = SettingError;

    /// Refuses values that the criterion lacks, and values of another criterion, which would have no effect. The
    /// sensitivity has a default and is ignored by the other criteria.
    fn try_from(keys: CriterionKeys) -> Result<Self, SettingError> {
        let CriterionKeys { criterion, sensitivity, specificity, missed_cost, prevalence } = keys;
        share("evaluation.sensitivity", sensitivity)?;
        share("evaluation.specificity", specificity)?;
        in_range("evaluation.missed_cost", missed_cost, 0.0..=f64::MAX)?;
        let prevalence = match Prevalence::new(prevalence) {
            None if prevalence != 0.0 => {
                let expected = "a number between 0 and 1 was expected, or 0 for none";
                return Err(SettingError::new(format!("evaluation.prevalence = {prevalence}"), expected));
            }
            prevalence => prevalence,
        };
        for (key, value, of) in [
            ("specificity", specificity, CriterionName::Specificity),
            ("missed_cost", missed_cost, CriterionName::Cost),
        ] {
            if criterion == of && value == 0.0 {
                return Err(lacking(criterion, key));
            }
            if criterion != of && value != 0.0 {
                let problem = format!("it has no effect with evaluation.criterion = \"{criterion}\", set \"{of}\"");
                return Err(SettingError::new(format!("evaluation.{key} = {value}"), problem));
            }
        }
        match criterion {
            CriterionName::Sensitivity => Ok(Self::Sensitivity { wanted: sensitivity, prevalence }),
            CriterionName::Specificity => Ok(Self::Specificity { wanted: specificity, prevalence }),
            CriterionName::Cost => {
                let prevalence = prevalence.ok_or_else(|| lacking(criterion, "prevalence"))?;
                Ok(Self::Cost { missed: missed_cost, prevalence })
            }
        }
    }
}

fn lacking(criterion: CriterionName, key: &str) -> SettingError {
    let problem = format!("evaluation.criterion = \"{criterion}\" needs it");
    SettingError::new(format!("evaluation.{key} = 0"), problem)
}

impl From<Criterion> for CriterionKeys {
    fn from(criterion: Criterion) -> Self {
        let none = Self {
            criterion: CriterionName::Sensitivity,
            sensitivity: 0.0,
            specificity: 0.0,
            missed_cost: 0.0,
            prevalence: criterion.prevalence().map_or(0.0, Prevalence::share),
        };
        match criterion {
            Criterion::Sensitivity { wanted, .. } => Self { sensitivity: wanted, ..none },
            Criterion::Specificity { wanted, .. } => {
                Self { criterion: CriterionName::Specificity, specificity: wanted, ..none }
            }
            Criterion::Cost { missed, .. } => Self { criterion: CriterionName::Cost, missed_cost: missed, ..none },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TrainConfiguration;
    use super::*;

    fn criterion(settings: &[&str]) -> Result<Criterion, String> {
        let settings: Vec<String> = settings.iter().map(|setting| format!("evaluation.{setting}")).collect();
        let loaded = TrainConfiguration::load(None, &settings).map_err(|error| error.to_string())?;
        let read: TrainConfiguration = toml::from_str(&loaded.to_toml()).expect("read back");
        assert_eq!(read, loaded);
        Ok(loaded.evaluation.criterion)
    }

    #[test]
    fn each_criterion_takes_its_own_values() {
        let prevalence = Prevalence::new(0.15);
        for (settings, expected) in [
            (&["sensitivity=0.9"][..], Criterion::Sensitivity { wanted: 0.9, prevalence: None }),
            (
                &["criterion=specificity", "specificity=0.8", "prevalence=0.15"],
                Criterion::Specificity { wanted: 0.8, prevalence },
            ),
            (
                &["criterion=cost", "missed_cost=10", "prevalence=0.15"],
                Criterion::Cost { missed: 10.0, prevalence: prevalence.expect("a share") },
            ),
        ] {
            assert_eq!(criterion(settings), Ok(expected));
        }
    }

    #[test]
    fn values_that_are_missing_or_have_no_effect_are_refused() {
        for (settings, problem) in [
            (&["criterion=specificity"][..], "evaluation.specificity = 0"),
            (&["criterion=cost", "missed_cost=10"], "evaluation.prevalence = 0"),
            (&["criterion=cost", "prevalence=0.1"], "evaluation.missed_cost = 0"),
            (&["specificity=0.9"], "no effect with evaluation.criterion = \"sensitivity\""),
            (&["missed_cost=3"], "set \"cost\""),
            (&["criterion=luck"], "luck"),
            (&["prevalence=1"], "evaluation.prevalence = 1"),
            (&["sensitivity=1.5"], "evaluation.sensitivity = 1.5"),
        ] {
            let refused = criterion(settings).expect_err("refused");
            assert!(refused.contains(problem), "{refused}");
        }
    }
}

//! The map from logits to probabilities, as far as the exams allow one.

use super::isotonic;
use super::platt::Platt;
use super::prior::Prior;
use crate::engine::models::manifest::TargetCalibration;
use crate::learn::train::configuration::{CalibrationMethod, Prevalence};
use crate::learn::train::metrics::Scored;

/// Fewest exams of each class. With fewer, what was chosen on them is reported as uncertain, and an isotonic map is not
/// fitted, since it has as many parameters as it finds steps.
pub(crate) const FEW: usize = 20;

/// How logits of one kind become probabilities, and how that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    /// The map.
    pub(crate) map: TargetCalibration,
    /// False where logits were left as they are.
    pub(crate) calibrated: bool,
    /// How it was found, in words.
    pub(crate) said: String,
}

impl Fitted {
    /// The map for a site where another share of exams shows embolism than among `logits`, to which it was fitted.
    pub(crate) fn at(self, site: Option<Prevalence>, logits: &[Scored]) -> Self {
        let Some((site, prior)) = site.and_then(|site| Some((site, Prior::between(logits, site)?))) else {
            return self;
        };
        if !self.calibrated {
            return self;
        }
        let said = format!("{}; moved to a prevalence of {}", self.said, site.share());
        Self { map: prior.moved(self.map), said, ..self }
    }
}

/// Fits what the configuration asks for, or less where the exams do not allow it. `what` names the logits.
pub(crate) fn fit(method: CalibrationMethod, logits: &[Scored], what: &str) -> Fitted {
    let [positives, negatives] = classes(logits);
    let found_on = format!("{} from validation ({positives} positive)", logits.len());
    let Some(map) = map(method, logits) else {
        let why = match method {
            CalibrationMethod::None => "as evaluation.calibration = \"none\" asks".to_owned(),
            _ if positives.min(negatives) == 0 => format!("because {found_on} are of one class"),
            _ => format!("because on {found_on} the logits do not rise with the truth"),
        };
        let said = format!("{what}: not calibrated, {why}");
        return Fitted { map: Platt::IDENTITY.into(), calibrated: false, said };
    };
    let how = if map.isotonic.is_some() { "isotonic map" } else { "temperature and bias" };
    let instead = if method == CalibrationMethod::Isotonic && map.isotonic.is_none() {
        format!(", as an isotonic map needs {FEW} of each class")
    } else {
        String::new()
    };
    let uncertain = if positives.min(negatives) < FEW { "; with so few it is uncertain" } else { "" };
    Fitted { map, calibrated: true, said: format!("{what}: {how} fitted to {found_on}{instead}{uncertain}") }
}

/// The map that [`fit`] fits; `None` where it fits none.
pub(super) fn map(method: CalibrationMethod, logits: &[Scored]) -> Option<TargetCalibration> {
    let platt = || Platt::fit(logits);
    match method {
        CalibrationMethod::None => None,
        CalibrationMethod::Isotonic if classes(logits).into_iter().min() >= Some(FEW) => {
            platt().map(|_| isotonic::fit(logits))
        }
        CalibrationMethod::Isotonic | CalibrationMethod::Temperature => platt().map(Into::into),
    }
}

/// The same map, for a site.
pub(super) fn map_at(
    method: CalibrationMethod,
    site: Option<Prevalence>,
    logits: &[Scored],
) -> Option<TargetCalibration> {
    let map = map(method, logits)?;
    match site.and_then(|site| Prior::between(logits, site)) {
        Some(prior) => Some(prior.moved(map)),
        None => Some(map),
    }
}

/// How many are positive, and how many are not.
fn classes(logits: &[Scored]) -> [usize; 2] {
    let positives = logits.iter().filter(|one| one.positive).count();
    [positives, logits.len() - positives]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced(count: usize) -> Vec<Scored> {
        (0..count)
            .map(|n| Scored { score: (n % 10) as f64 + if n % 2 == 0 { 1.5 } else { 0.0 }, positive: n % 2 == 0 })
            .collect()
    }

    #[test]
    fn what_the_exams_do_not_allow_is_not_fitted_and_that_is_stated() {
        let said = |method, logits: &[Scored]| {
            let fitted = fit(method, logits, "exams");
            (fitted.calibrated, fitted.map.isotonic.is_some(), fitted.said)
        };
        let (calibrated, isotonic, words) = said(CalibrationMethod::Isotonic, &balanced(200));
        assert!(calibrated && isotonic && words.contains("200 from validation (100 positive)"), "{words}");
        let (calibrated, isotonic, words) = said(CalibrationMethod::Isotonic, &balanced(30));
        assert!(calibrated && !isotonic && words.contains("needs 20 of each class"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::Temperature, &balanced(30));
        assert!(calibrated && words.contains("uncertain"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::None, &balanced(30));
        assert!(!calibrated && words.contains("not calibrated"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::Temperature, &balanced(30)[..1]);
        assert!(!calibrated && words.contains("one class"), "{words}");
        let falling: Vec<Scored> = balanced(100).into_iter().map(|one| Scored { score: -one.score, ..one }).collect();
        let (calibrated, _, words) = said(CalibrationMethod::Isotonic, &falling);
        assert!(!calibrated && words.contains("do not rise"), "{words}");
    }
}

//! From the logits of one network, or of the members of an ensemble, to the answer for an exam.

use std::collections::BTreeMap;

use ndarray::Array1;

use super::inference::Logits;
use super::predictions::{Prediction, TargetPrediction};
use crate::engine::analyse::decision::at_operating_point;
use crate::engine::models::manifest::{Calibration, OperatingPoint};
use crate::engine::models::target::Target;
use crate::learn::train::calibration::{self, Rule};
use crate::learn::train::configuration::CalibrationMethod;
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::labels::Split;
use crate::learn::train::loss::UNLABELLED;
use crate::learn::train::metrics::{Scored, standard_deviation};

/// Calibrates one network on its own validation exams: exams, slices, and each further target. Embolism in the exam alone
/// is moved to the site's prevalence, which is not known of slices and further targets. Returns notes on how, too.
pub(super) fn calibrate(
    rule: &Rule,
    targets: &[Target],
    exams: &[PreparedExam],
    logits: &[Logits],
) -> (Calibration, Vec<String>) {
    let of_target = |index: usize, target: Target| -> Vec<Scored> {
        let scored = |(exam, logits): (&PreparedExam, &Logits)| {
            Some(Scored { score: f64::from(logits.exam[index]), positive: exam.targets.of(target)? })
        };
        exams.iter().zip(logits).filter_map(scored).collect()
    };
    let slices: Vec<Scored> = exams
        .iter()
        .zip(logits)
        .filter_map(|(exam, logits)| Some((exam, logits.slices.as_ref()?)))
        .flat_map(|(exam, slices)| with_labels(slices.iter().map(|logit| f64::from(*logit)), &exam.slice_labels))
        .collect();
    let reads_slices = logits.first().is_none_or(|logits| logits.slices.is_some());
    let method = rule.method;
    let embolism = of_target(0, Target::PulmonaryEmbolism);
    let exam = calibration::fit(method, &embolism, "exams").at(rule.criterion.prevalence(), &embolism);
    // The map of slices and cells has no isotonic form.
    let of_slices = match method {
        CalibrationMethod::None => CalibrationMethod::None,
        CalibrationMethod::Temperature | CalibrationMethod::Isotonic => CalibrationMethod::Temperature,
    };
    let slice = calibration::fit(of_slices, &slices, "slices");
    let of_slices = if reads_slices { slice.said } else { "slices: the network reads exams as a whole".to_owned() };
    let mut notes = vec![exam.said, of_slices];
    let mut further = BTreeMap::new();
    for (index, target) in targets.iter().enumerate().skip(1) {
        let fitted = calibration::fit(method, &of_target(index, *target), target.name());
        notes.push(fitted.said);
        if fitted.calibrated {
            further.insert(*target, fitted.map);
        }
    }
    let calibration = Calibration {
        temperature: exam.map.temperature,
        bias: exam.map.bias,
        isotonic: exam.map.isotonic,
        exam_fitted: exam.calibrated,
        slice_temperature: slice.map.temperature,
        slice_bias: slice.map.bias,
        slices_fitted: slice.calibrated,
        targets: further,
    };
    (calibration, notes)
}

/// Patient, logit of embolism and label of each exam.
pub(super) fn of_embolism<'a>(exams: &'a [PreparedExam], logits: &[Logits]) -> Vec<(&'a str, Scored)> {
    let scored = |(exam, logits): (&'a PreparedExam, &Logits)| {
        (exam.patient.as_str(), Scored { score: f64::from(logits.exam[0]), positive: exam.embolism })
    };
    exams.iter().zip(logits).map(scored).collect()
}

/// A sentence about one of several members.
pub(super) fn named(member: usize, members: usize, said: String) -> String {
    if members > 1 { format!("member {member}: {said}") } else { said }
}

/// The answer of one network, or of an ensemble, for an exam, with the exam's labels.
#[derive(Debug, Clone)]
pub(super) struct ExamAnswer<'a> {
    pub(super) exam: &'a PreparedExam,
    /// Mean logit and mean calibrated probability of each target.
    pub(super) targets: Vec<(Target, f64, f64)>,
    /// Probabilities of embolism, one per member.
    pub(super) members: Vec<f64>,
    /// Mean calibrated probability of each labelled slice, with its label; none of networks that read exams as a whole.
    pub(super) slices: Vec<Scored>,
    /// The member that answered alone although there are others.
    alone: Option<usize>,
}

impl<'a> ExamAnswer<'a> {
    /// The answer of networks to one exam, each calibrated for itself: an ensemble's answer is the mean of its members'
    /// answers.
    pub(super) fn new(
        exam: &'a PreparedExam,
        targets: &[Target],
        calibration: &[Calibration],
        logits: &[&Logits],
        alone: Option<usize>,
    ) -> Self {
        let members = || calibration.iter().zip(logits);
        let mean = |of: &dyn Fn(&Calibration, &Logits) -> f64| {
            members().map(|(calibration, logits)| of(calibration, logits)).sum::<f64>() / logits.len() as f64
        };
        let probability = |calibration: &Calibration, index: usize, target: Target, logit: f64| match index {
            0 => calibration.exam(logit),
            _ => calibration.target(target, logit),
        };
        let of_target = |(index, target): (usize, &Target)| {
            let logit = |logits: &Logits| f64::from(logits.exam[index]);
            let said = mean(&|calibration, logits| probability(calibration, index, *target, logit(logits)));
            (*target, mean(&|_, logits| logit(logits)), said)
        };
        let of_slices: Option<Vec<&Array1<f32>>> = logits.iter().map(|logits| logits.slices.as_ref()).collect();
        let of_slice = |slices: &[&Array1<f32>], slice: usize| {
            let members = calibration.iter().zip(slices);
            let said = members.map(|(calibration, slices)| calibration.slice(f64::from(slices[slice])));
            said.sum::<f64>() / slices.len() as f64
        };
        let slices = of_slices.iter().flat_map(|slices| (0..exam.slices).map(move |slice| of_slice(slices, slice)));
        Self {
            exam,
            targets: targets.iter().enumerate().map(of_target).collect(),
            members: members().map(|(calibration, logits)| calibration.exam(f64::from(logits.exam[0]))).collect(),
            slices: with_labels(slices, &exam.slice_labels).collect(),
            alone,
        }
    }

    /// The same with another probability of embolism, where one network answered.
    pub(super) fn with_probability(mut self, probability: f64) -> Self {
        if let Some((_, _, of_embolism)) = self.targets.first_mut() {
            *of_embolism = probability;
        }
        self.members = vec![probability];
        self
    }

    pub(super) fn split(&self) -> Split {
        self.exam.split
    }

    /// Mean logit and mean probability of embolism.
    fn embolism(&self) -> (f64, f64) {
        self.targets.first().map_or((f64::NAN, f64::NAN), |(_, logit, probability)| (*logit, *probability))
    }

    pub(super) fn scored(&self) -> Scored {
        Scored { score: self.embolism().1, positive: self.exam.embolism }
    }

    /// Standard deviation of the members' probabilities (Bessel's); `None` for a single one.
    pub(super) fn standard_deviation(&self) -> Option<f64> {
        standard_deviation(&self.members)
    }

    pub(super) fn prediction(&self, point: &OperatingPoint) -> Prediction {
        let (logit, probability) = self.embolism();
        Prediction {
            series: self.exam.series.clone(),
            split: self.exam.split,
            embolism: self.exam.embolism,
            logit: Some(logit),
            probability,
            standard_deviation: self.standard_deviation(),
            spread: self.standard_deviation(),
            decision: at_operating_point(probability, point),
            member: self.alone,
            study: self.exam.study.clone(),
            patient: self.exam.patient.clone(),
        }
    }

    /// The predictions of the further targets.
    pub(super) fn of_targets(&self) -> impl Iterator<Item = TargetPrediction> + '_ {
        self.targets.iter().skip(1).map(|(target, logit, probability)| TargetPrediction {
            series: self.exam.series.clone(),
            split: self.exam.split,
            target: *target,
            label: self.exam.targets.of(*target),
            logit: Some(*logit),
            probability: *probability,
        })
    }
}

/// The scores of the slices that carry a label, with the labels.
fn with_labels<'a>(said: impl Iterator<Item = f64> + 'a, labels: &'a [u8]) -> impl Iterator<Item = Scored> + 'a {
    said.zip(labels)
        .filter(|(_, label)| **label != UNLABELLED)
        .map(|(score, label)| Scored { score, positive: *label == 1 })
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::super::evaluation::uncalibrated;
    use super::*;
    use crate::learn::train::configuration::Criterion;
    use crate::learn::train::labels::TargetLabels;

    fn exam(number: u32, embolism: bool, left: Option<bool>, slice_labels: &[u8]) -> PreparedExam {
        PreparedExam {
            study: format!("1.{number}"),
            series: format!("2.{number}"),
            patient: format!("3.{number}"),
            root: String::new(),
            split: Split::Validation,
            embolism,
            targets: TargetLabels::of_embolism(embolism).with(Target::LeftSidedPe, left),
            slices: slice_labels.len(),
            labelled_source_slices: 0,
            labelled_slices: 0,
            positive_slices: 0,
            synthetic: true,
            inserted: false,
            sources_sha256: String::new(),
            slice_labels: slice_labels.to_vec(),
        }
    }

    fn logits(embolism: f32, left: f32, slices: &[f32]) -> Logits {
        Logits { slices: Some(arr1(slices)), exam: arr1(&[embolism, left]) }
    }

    fn rule(method: CalibrationMethod) -> Rule {
        Rule { method, criterion: Criterion::Sensitivity { wanted: 0.85, prevalence: None }, undetermined: 0.1 }
    }

    const TARGETS: [Target; 2] = [Target::PulmonaryEmbolism, Target::LeftSidedPe];

    #[test]
    fn every_target_is_calibrated_on_the_exams_that_have_its_label() {
        let exams: Vec<PreparedExam> =
            (0..60).map(|n| exam(n, n % 2 == 0, (n % 3 > 0).then_some(n % 4 == 0), &[UNLABELLED; 2])).collect();
        let said: Vec<Logits> = (0..60_u32)
            .map(|n| {
                let noise = (n % 5) as f32 - 2.0;
                logits(
                    noise + if n % 2 == 0 { 1.0 } else { -1.0 },
                    noise + if n % 4 == 0 { 2.0 } else { 0.0 },
                    &[0.0; 2],
                )
            })
            .collect();
        let (calibration, notes) = calibrate(&rule(CalibrationMethod::Temperature), &TARGETS, &exams, &said);
        assert!(calibration.targets.contains_key(&Target::LeftSidedPe));
        assert_eq!((calibration.exam_fitted, calibration.slices_fitted), (true, false));
        assert!(notes[0].starts_with("exams:") && notes[0].contains("60 from validation (30 positive)"), "{notes:?}");
        assert!(notes[1].contains("slices: not calibrated"), "{notes:?}");
        assert!(notes[2].contains("left-sided-pe:") && notes[2].contains("40 from validation"), "{notes:?}");
        let (plain, _) = calibrate(&rule(CalibrationMethod::None), &TARGETS, &exams, &said);
        assert_eq!(plain, uncalibrated());
        let one_class: Vec<PreparedExam> = (0..60).map(|n| exam(n, true, None, &[UNLABELLED; 2])).collect();
        let (unfitted, _) = calibrate(&rule(CalibrationMethod::Temperature), &TARGETS, &one_class, &said);
        assert!(!plain.exam_fitted && !unfitted.exam_fitted);
    }

    #[test]
    fn an_ensemble_answers_with_the_mean_of_its_calibrated_members() {
        let exam = exam(1, true, Some(false), &[1, 0, UNLABELLED]);
        let calibrations = [uncalibrated(), Calibration { temperature: 2.0, slice_bias: 1.0, ..uncalibrated() }];
        let (one, two) = (logits(2.0, -1.0, &[0.0, 1.0, 2.0]), logits(-2.0, 3.0, &[1.0, -1.0, 0.0]));
        let answer = ExamAnswer::new(&exam, &TARGETS, &calibrations, &[&one, &two], None);
        let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        let members = [sigmoid(2.0), sigmoid(-1.0)];
        near(answer.scored().score, members.iter().sum::<f64>() / 2.0);
        near(answer.standard_deviation().expect("two members"), (members[0] - members[1]).abs() / 2.0_f64.sqrt());
        near(answer.slices[0].score, f64::midpoint(sigmoid(0.0), sigmoid(2.0)));
        assert_eq!(answer.slices.len(), 2, "unlabelled slices are not scored");
        let target = answer.of_targets().next().expect("left");
        near(target.probability, f64::midpoint(sigmoid(-1.0), sigmoid(3.0)));
        assert_eq!((target.target, target.label), (Target::LeftSidedPe, Some(false)));
        let alone = ExamAnswer::new(&exam, &TARGETS, &calibrations[..1], &[&one], Some(0));
        let point = OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen: String::new() };
        assert_eq!((alone.standard_deviation(), alone.prediction(&point).member), (None, Some(0)));
    }
}

//! Which stack of a series is analysed.

use std::cmp::Reverse;

use super::appearance::Appearance;
use super::labels::Label;
use super::stack::{MINIMUM_SLICES, Stack};
use crate::dicom::bounded::Limits;

/// A stack that shows less than this share of the greatest height of lung shows a part of the chest.
const WHOLE_LUNGS: f64 = 0.8;
/// Stacks whose enhancement differs by less, in Hounsfield units or as a share, are of one phase.
const SAME_PHASE: f64 = 25.0;
const SAME_PHASE_SHARE: f64 = 0.1;
/// Virtual monochromatic images of this energy in keV look as those of a tube voltage of 120 kV.
const USUAL_ENERGY: f64 = 70.0;
/// Slice distances and noise that differ by less than this share are the same.
const SAME_SHARE: f64 = 0.1;

/// A stack that may be analysed, with what speaks for it.
struct Candidate {
    /// Index among all stacks.
    index: usize,
    appearance: Appearance,
    whole: bool,
    /// Slice distance in millimetres.
    step: f64,
    slices: usize,
    /// How far the energy of virtual monochromatic images is from the usual one, in keV.
    unusual_energy: f64,
    /// Acquisition Number; the greatest where it is not known.
    acquisition: i64,
}

/// The index of the stack to analyse; `None` if there is none.
///
/// Criteria, one after another, each among those that are left: the whole height of the lungs; the
/// usual energies, or of virtual monochromatic images the energy nearest to them; the greatest enhancement of heart and great vessels, which is the arterial phase; no missing slices; the smallest slice
/// distance; the least noise; the most slices; the lowest acquisition number. Stacks of fewer
/// slices than an exam has count only where there is no other.
pub(super) fn choose(stacks: &[Stack], limits: &Limits) -> Option<usize> {
    let large = |stack: &Stack| stack.slices.len() >= MINIMUM_SLICES;
    let mut exams = stacks.iter().enumerate().filter(|(_, stack)| large(stack));
    match (exams.next(), exams.next()) {
        (None, _) => {
            let rank = |stack: &Stack| (stack.geometry.is_ok(), stack.slices.len());
            // `max_by_key` takes the last of equals.
            stacks.iter().enumerate().rev().max_by_key(|(_, stack)| rank(stack)).map(|(index, _)| index)
        }
        (Some((index, _)), None) => Some(index),
        (Some(first), Some(second)) => {
            let candidates = [first, second].into_iter().chain(exams);
            best(candidates.map(|(index, stack)| Candidate::new(index, stack, limits)).collect())
        }
    }
}

fn best(mut left: Vec<Candidate>) -> Option<usize> {
    let height = greatest(&left, |candidate| candidate.appearance.lung_height);
    keep(&mut left, |candidate| candidate.appearance.lung_height >= WHOLE_LUNGS * height);
    let least_unusual = -greatest(&left, |candidate| -candidate.unusual_energy);
    keep(&mut left, |candidate| candidate.unusual_energy <= least_unusual);
    let enhancement = |candidate: &Candidate| candidate.appearance.enhancement.unwrap_or(f64::NEG_INFINITY);
    let greatest_enhancement = greatest(&left, enhancement);
    let margin = SAME_PHASE.max(SAME_PHASE_SHARE * greatest_enhancement);
    keep(&mut left, |candidate| enhancement(candidate) >= greatest_enhancement - margin);
    keep(&mut left, |candidate| candidate.whole);
    let least_step = -greatest(&left, |candidate| -candidate.step);
    keep(&mut left, |candidate| candidate.step <= (1.0 + SAME_SHARE) * least_step);
    let least_noise = -greatest(&left, |candidate| -candidate.appearance.noise);
    keep(&mut left, |candidate| candidate.appearance.noise <= (1.0 + SAME_SHARE) * least_noise);
    let order = |candidate: &&Candidate| (Reverse(candidate.slices), candidate.acquisition, candidate.index);
    left.iter().min_by_key(order).map(|candidate| candidate.index)
}

fn greatest(candidates: &[Candidate], value: impl Fn(&Candidate) -> f64) -> f64 {
    candidates.iter().map(value).fold(f64::NEG_INFINITY, f64::max)
}

/// Keeps the candidates that meet a criterion, or all if none does.
fn keep(candidates: &mut Vec<Candidate>, criterion: impl Fn(&Candidate) -> bool) {
    if candidates.iter().any(&criterion) {
        candidates.retain(criterion);
    }
}

impl Candidate {
    fn new(index: usize, stack: &Stack, limits: &Limits) -> Self {
        let [lowest, highest] = stack.ends();
        let acquisition = stack.slices[0].labels.get(Label::AcquisitionNumber).and_then(|text| text.parse().ok());
        let energy = stack.slices[0].labels.get(Label::Energy).and_then(|text| text.parse().ok());
        Self {
            index,
            appearance: Appearance::of(stack, limits),
            whole: stack.geometry.is_ok(),
            unusual_energy: energy.map_or(0.0, |kev: f64| (kev - USUAL_ENERGY).abs()),
            step: (highest - lowest) / (stack.slices.len() - 1) as f64,
            slices: stack.slices.len(),
            acquisition: acquisition.unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize, change: impl FnOnce(&mut Candidate)) -> Candidate {
        let appearance = Appearance { lung_height: 250.0, enhancement: Some(320.0), noise: 20.0 };
        let mut candidate =
            Candidate { index, appearance, whole: true, step: 1.25, slices: 200, unusual_energy: 0.0, acquisition: 1 };
        change(&mut candidate);
        candidate
    }

    #[test]
    fn each_criterion_decides_where_those_before_it_are_equal() {
        let chosen = |change: fn(&mut Candidate)| best(vec![candidate(0, change), candidate(1, |_| {})]);
        assert_eq!(chosen(|_| {}), Some(0));
        let worse: [fn(&mut Candidate); 8] = [
            |other| other.appearance.lung_height = 150.0,
            |other| {
                other.unusual_energy = 30.0;
                other.appearance.enhancement = Some(900.0);
            },
            |other| other.appearance.enhancement = Some(180.0),
            |other| other.whole = false,
            |other| other.step = 5.0,
            |other| other.appearance.noise = 60.0,
            |other| other.slices = 190,
            |other| other.acquisition = 2,
        ];
        for (number, worse) in worse.into_iter().enumerate() {
            assert_eq!(chosen(worse), Some(1), "criterion {number}");
        }
    }

    #[test]
    fn a_phase_with_a_gap_is_not_given_up_for_another_phase() {
        let gap = candidate(0, |other| other.whole = false);
        let venous = candidate(1, |other| other.appearance.enhancement = Some(180.0));
        assert_eq!(best(vec![gap, venous]), Some(0));
    }

    #[test]
    fn legs_in_more_slices_are_not_preferred_to_a_chest() {
        let legs = candidate(0, |other| {
            other.appearance.lung_height = 0.0;
            other.slices = 400;
        });
        assert_eq!(best(vec![legs, candidate(1, |_| {})]), Some(1));
    }
}

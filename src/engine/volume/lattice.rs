//! Places along a stack: how far apart they lie, which of them follow each other, and whether they are a regular stack.

use super::rejection::{Reason, Rejection};

/// Images closer together than this share a position (millimetres).
pub(super) const SAME_POSITION: f64 = 0.01;
/// A slice distance may deviate from the stack's by this share of it, or by [`STEP_ROUNDING`] if that is more.
const STEP_TOLERANCE: f64 = 0.1;
/// How far a slice may lie from its place in a stack of equal steps, as a share of a step.
const LARGEST_SHIFT: f64 = 0.5;
/// Positions are often written with one decimal, so that two roundings add up (millimetres).
const STEP_ROUNDING: f64 = 0.11;
/// How many images of other stacks may lie between two slices of one, where neither labels nor positions told them
/// apart before.
const MOST_BETWEEN: usize = 2;
/// Gaps that a reason names.
const NAMED_GAPS: usize = 3;

/// Places that follow each other at equal steps, lowest first.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) step: f64,
    /// Indices into the places.
    pub(super) members: Vec<usize>,
    /// Sum of the deviations from the step: of two stacks that lie close together, a chain follows one.
    deviation: f64,
}

impl Chain {
    /// Longer, or as long and more regular.
    fn is_better(&self, other: &Self) -> bool {
        let (own, others) = (self.members.len(), other.members.len());
        own > others || (own == others && self.deviation < other.deviation)
    }
}

/// How far a distance may be from a step of this length.
pub(super) fn tolerance(step: f64) -> f64 {
    (STEP_TOLERANCE * step).max(STEP_ROUNDING.min(0.45 * step))
}

/// How many steps a distance is, if it is a whole number of them.
pub(super) fn whole_steps(distance: f64, step: f64) -> Option<usize> {
    let steps = (distance / step).round();
    (steps >= 1.0 && (distance - steps * step).abs() <= tolerance(step)).then_some(steps as usize)
}

/// The longest chain among sorted places; `None` for fewer than two. Places of other stacks may lie between its
/// members.
pub(super) fn longest_chain(places: &[f64]) -> Option<Chain> {
    let steps = (1..=MOST_BETWEEN + 1).filter_map(|apart| usual_distance(places, apart));
    // Where stacks lie close together, the usual distance may be one from a slice of one to a slice of the other.
    let refined = steps.map(|step| chain(places, own_step(places, &chain(places, step))));
    refined.reduce(|best, next| if next.is_better(&best) { next } else { best })
}

/// The median distance of places that are so many places apart.
fn usual_distance(places: &[f64], apart: usize) -> Option<f64> {
    let mut distances: Vec<f64> = places.windows(apart + 1).map(|window| window[apart] - window[0]).collect();
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().filter(|distance| *distance > 0.0)
}

/// The best chain that ends at a place.
#[derive(Clone, Copy)]
struct Ending {
    length: usize,
    /// As in [`Chain`].
    deviation: f64,
    before: Option<usize>,
}

impl Ending {
    fn is_better(&self, other: &Self) -> bool {
        self.length > other.length || (self.length == other.length && self.deviation < other.deviation)
    }
}

/// The median step of a chain.
fn own_step(places: &[f64], chain: &Chain) -> f64 {
    let members: Vec<f64> = chain.members.iter().map(|index| places[*index]).collect();
    usual_distance(&members, 1).unwrap_or(chain.step)
}

fn chain(places: &[f64], step: f64) -> Chain {
    let tolerance = tolerance(step);
    let mut endings: Vec<Ending> = Vec::with_capacity(places.len());
    for (index, place) in places.iter().enumerate() {
        let mut best = Ending { length: 1, deviation: 0.0, before: None };
        for before in (0..index).rev() {
            let distance = place - places[before];
            if distance > step + tolerance {
                break;
            }
            if distance >= step - tolerance {
                let Ending { length, deviation, .. } = endings[before];
                let deviation = deviation + (distance - step).abs();
                let next = Ending { length: length + 1, deviation, before: Some(before) };
                if next.is_better(&best) {
                    best = next;
                }
            }
        }
        endings.push(best);
    }
    let mut last = 0;
    for (index, ending) in endings.iter().enumerate() {
        if ending.is_better(&endings[last]) {
            last = index;
        }
    }
    let mut members: Vec<usize> = std::iter::successors(Some(last), |index| endings[*index].before).collect();
    members.reverse();
    Chain { step, members, deviation: endings[last].deviation }
}

/// The distance of slices that all distances are whole numbers of: the median one, or a smaller one where more slices
/// are missing than are there. The median where there is none.
fn slice_distance(places: &[f64]) -> Option<f64> {
    /// Below it, nearly every distance is a whole number of steps within rounding (millimetres).
    const SMALLEST: f64 = 0.6;
    let usual = usual_distance(places, 1)?;
    let mut distances: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_by(f64::total_cmp);
    let small = distances[distances.len() / 10];
    let explains = |step: f64| distances.iter().all(|distance| whole_steps(*distance, step).is_some());
    Some(if small >= SMALLEST && !explains(usual) && explains(small) { small } else { usual })
}

/// The common distance of sorted places, or why they are no regular stack.
pub(super) fn regular_step(places: &[f64]) -> Result<f64, Rejection> {
    let Some(usual) = slice_distance(places) else {
        let problem = "the images share one slice position; a volume needs at least 2";
        return Err(Rejection::new(Reason::TooFewSlices, problem));
    };
    let mut missing = 0;
    let mut gaps = Vec::new();
    for pair in places.windows(2) {
        let distance = pair[1] - pair[0];
        match whole_steps(distance, usual) {
            None => return Err(unequal(format!("{distance:.2} mm at {:.1} mm, elsewhere {usual:.2} mm", pair[0]))),
            Some(1) => {}
            Some(steps) => {
                missing += steps - 1;
                gaps.push(format!("{:.1} to {:.1} mm", pair[0], pair[1]));
            }
        }
    }
    if missing > 0 {
        let more =
            if gaps.len() > NAMED_GAPS { format!(" and {} more", gaps.len() - NAMED_GAPS) } else { String::new() };
        gaps.truncate(NAMED_GAPS);
        return Err(Rejection::new(
            Reason::MissingSlices,
            format!(
                "{missing} of {} slices are missing at a slice distance of {usual:.2} mm: gaps {}{more}",
                missing + places.len(),
                gaps.join(", "),
            ),
        ));
    }
    let mean = (places[places.len() - 1] - places[0]) / (places.len() - 1) as f64;
    let regular = |index: usize| places[0] + index as f64 * mean;
    let off = places.iter().enumerate().map(|(index, place)| (place - regular(index)).abs()).fold(0.0, f64::max);
    if off > LARGEST_SHIFT * mean {
        return Err(unequal(format!("at a mean distance of {mean:.2} mm one lies {off:.1} mm off its place")));
    }
    Ok(mean)
}

fn unequal(problem: String) -> Rejection {
    Rejection::new(Reason::BadGeometry, format!("slices are not equally spaced: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: usize, first: f64, step: f64) -> Vec<f64> {
        (0..count).map(|index| first + index as f64 * step).collect()
    }

    fn together(parts: &[Vec<f64>]) -> Vec<f64> {
        let mut all = parts.concat();
        all.sort_by(f64::total_cmp);
        all
    }

    fn members(places: &[f64]) -> Vec<f64> {
        longest_chain(places).expect("a chain").members.into_iter().map(|index| places[index]).collect()
    }

    #[test]
    fn a_chain_passes_over_what_lies_between_its_members() {
        let stack = places(40, 0.0, 1.25);
        assert_eq!(members(&stack), stack);
        assert_eq!(members(&together(&[stack.clone(), vec![11.7, 30.5]])), stack);
        assert_eq!(members(&together(&[stack.clone(), places(6, 0.3, 5.0)])), stack);
    }

    #[test]
    fn a_chain_follows_one_of_two_stacks_however_close_they_lie() {
        for shift in [0.02, 0.1, 0.4] {
            let [one, other] = [0.0, shift].map(|first| places(40, first, 1.25));
            let found = members(&together(&[one.clone(), other.clone()]));
            let near = |stack: &[f64]| stack.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(found.len() == 40 && (near(&one) || near(&other)), "{shift}: {found:?}");
        }
    }

    #[test]
    fn a_gap_is_counted_in_slices_and_another_distance_is_named() {
        let whole = places(40, 0.0, 1.25);
        assert!((regular_step(&whole).expect("regular") - 1.25).abs() < 1e-9);
        let gap = [&whole[..3], &whole[5..]].concat();
        let rejection = regular_step(&gap).expect_err("a gap");
        assert_eq!(rejection.reason, Reason::MissingSlices);
        assert!(rejection.explanation.contains("2 of 40 slices") && rejection.explanation.contains("2.5 to 6.2 mm"));
        let broken = together(&[places(20, 0.0, 1.0), places(20, 19.4, 1.0)]);
        let rejection = regular_step(&broken).expect_err("no step");
        assert_eq!(rejection.reason, Reason::BadGeometry);
        assert!(rejection.explanation.contains("0.40 mm at 19.0 mm"), "{}", rejection.explanation);
        assert_eq!(regular_step(&[1.0]).expect_err("one place").reason, Reason::TooFewSlices);
    }
}

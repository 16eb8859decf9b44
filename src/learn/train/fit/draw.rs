//! Which exams a step sees.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::learn::train::configuration::Fit;
use crate::learn::train::dataset::PreparedExam;

/// Exams in the order in which they are drawn, as many as there are: with the wanted shares of exams with embolism and
/// of exams with slice labels. The exams of each kind come in shuffled rounds; where a kind is missing, another is
/// drawn.
pub(super) fn exams(exams: &[PreparedExam], settings: &Fit, random: &mut ChaCha8Rng) -> Vec<usize> {
    let kind = |exam: &PreparedExam| Kind {
        positive: settings.positive_share > 0.0 && exam.embolism,
        labelled: settings.labelled_share > 0.0 && (exam.shows_emboli() || !exam.embolism && exam.labelled_slices > 0),
    };
    let mut rounds: BTreeMap<Kind, Round> = BTreeMap::new();
    for (index, exam) in exams.iter().enumerate() {
        rounds.entry(kind(exam)).or_default().exams.push(index);
    }
    let mut positives = Due::new(settings.positive_share);
    // Each class has its own count, or equal shares would always fall together.
    let mut labelled = [(); 2].map(|()| Due::new(settings.labelled_share));
    (0..exams.len())
        .filter_map(|_| {
            let positive = positives.next();
            let wanted = Kind { positive, labelled: labelled[usize::from(positive)].next() };
            let kind = wanted.nearest().into_iter().find(|kind| rounds.contains_key(kind))?;
            rounds.get_mut(&kind)?.next(random)
        })
        .collect()
}

/// Whether an exam is positive and has slice labels, as far as the settings distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    positive: bool,
    labelled: bool,
}

impl Kind {
    /// This kind, then what is drawn where it is missing: the class matters more than the slice labels.
    fn nearest(self) -> [Self; 4] {
        let Self { positive, labelled } = self;
        [(positive, labelled), (positive, !labelled), (!positive, labelled), (!positive, !labelled)]
            .map(|(positive, labelled)| Self { positive, labelled })
    }
}

/// Exams of one kind, each once in a round.
#[derive(Debug, Default)]
struct Round {
    exams: Vec<usize>,
    place: usize,
}

impl Round {
    fn next(&mut self, random: &mut ChaCha8Rng) -> Option<usize> {
        if self.place.is_multiple_of(self.exams.len().max(1)) {
            self.exams.shuffle(random);
            self.place = 0;
        }
        self.place += 1;
        self.exams.get(self.place - 1).copied()
    }
}

/// True for an exact share of all draws, evenly distributed.
struct Due {
    share: f64,
    sum: f64,
}

impl Due {
    fn new(share: f64) -> Self {
        Self { share, sum: 0.0 }
    }

    fn next(&mut self) -> bool {
        self.sum += self.share;
        let due = self.sum >= 1.0;
        if due {
            self.sum -= 1.0;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::dataset::testing::prepared_exam;
    use crate::learn::train::fit::task::random_at;

    fn settings(labelled_share: f64) -> Fit {
        let overrides = ["fit.slices_per_exam=8", "fit.run_length=4", "fit.positive_share=0.5"];
        let fit =
            crate::learn::train::TrainConfiguration::load(None, &overrides.map(str::to_owned)).expect("valid").fit;
        Fit { labelled_share, ..fit }
    }

    fn drawn(all: &[PreparedExam], settings: &Fit) -> Vec<usize> {
        exams(all, settings, &mut random_at(1, 0, 0))
    }

    #[test]
    fn half_of_the_drawn_exams_are_positive_though_few_are() {
        let all: Vec<PreparedExam> = (0..100).map(|exam| prepared_exam(exam, exam < 10, 5)).collect();
        let drawn = drawn(&all, &settings(0.0));
        assert_eq!(drawn.len(), 100);
        assert_eq!(drawn.iter().filter(|exam| all[**exam].embolism).count(), 50);
    }

    #[test]
    fn exams_with_slice_labels_are_drawn_as_often_as_wanted_in_both_classes() {
        let all: Vec<PreparedExam> =
            (0..100).map(|exam| prepared_exam(exam, exam % 2 == 0, if exam < 10 { 5 } else { 0 })).collect();
        for share in [0.5, 0.8] {
            let drawn = drawn(&all, &settings(share));
            let labelled = |positive: bool| {
                drawn.iter().filter(|exam| all[**exam].labelled_slices > 0 && all[**exam].embolism == positive).count()
            };
            assert_eq!([labelled(true), labelled(false)], [(50.0 * share) as usize; 2]);
        }
    }

    #[test]
    fn a_class_alone_and_exams_without_slice_labels_are_drawn_as_they_come() {
        let all: Vec<PreparedExam> = (0..5).map(|exam| prepared_exam(exam, true, 0)).collect();
        let mut drawn = drawn(&all, &settings(0.5));
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2, 3, 4]);
        assert!(exams(&[], &settings(0.5), &mut random_at(1, 0, 0)).is_empty());
    }
}

//! Which slices of an exam a step sees: its bag, and what is known of it as a whole.
//!
//! The label of a bag must be true of the slices in it. Of an exam with embolism most slices show none, so some of them
//! stand for the exam only where it is known which show an embolus. Where that is not known the exam is seen whole.
//! Of an exam without embolism any slices will do. In as many of its draws it is seen whole, and its own label counts as
//! much: otherwise the number of slices would give the label away, and a network that calls every exam positive would be
//! right about most of what counts.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::draw;
use super::task::random_at;
use crate::learn::train::configuration::Fit;
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::loss::UNLABELLED;

/// Draws bags.
#[derive(Debug, Clone)]
pub(super) struct Bags<'a> {
    settings: &'a Fit,
    /// Share of the draws of exams with embolism for which nothing but the exam label stands.
    by_exam_label: f64,
}

/// The slices of an exam that a step sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bag {
    /// From the lowest, or in runs.
    pub(super) slices: Vec<usize>,
    /// Whether they show an embolus: 1, 0, or [`UNLABELLED`].
    pub(super) label: u8,
    /// The exam label counts with the weight of the slices, too.
    pub(super) by_exam_label: bool,
}

impl<'a> Bags<'a> {
    /// For these exams to train on.
    pub(super) fn new(exams: &[PreparedExam], settings: &'a Fit) -> Self {
        let drawn = draw::exams(exams, settings, &mut random_at(settings.seed, 0, 0));
        let positive = drawn.iter().map(|exam| &exams[*exam]).filter(|exam| exam.embolism);
        let unknown = positive.clone().filter(|exam| !exam.shows_emboli()).count();
        Self { settings, by_exam_label: unknown as f64 / positive.count().max(1) as f64 }
    }

    /// The bag of one draw of an exam.
    pub(super) fn draw(&self, exam: &PreparedExam, random: &mut ChaCha8Rng) -> Bag {
        let by_exam_label = if exam.embolism { !exam.shows_emboli() } else { random.random_bool(self.by_exam_label) };
        let slices = if by_exam_label || self.settings.slices_per_exam == 0 {
            spread(exam.slices, self.settings.depth, random)
        } else {
            runs(&exam.slice_labels, self.settings, random)
        };
        let known = |label: u8| slices.iter().any(|slice| exam.slice_labels[*slice] == label);
        let label = if by_exam_label || !exam.embolism {
            u8::from(exam.embolism)
        } else if known(1) {
            1
        } else if known(UNLABELLED) {
            UNLABELLED
        } else {
            0
        };
        Bag { slices, label, by_exam_label }
    }
}

/// `depth` slices in equal distances, or all where there are no more or `depth` is 0. Where the first lies is drawn: over
/// the epochs every slice is seen.
fn spread(slices: usize, depth: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    if depth == 0 || slices <= depth {
        return (0..slices).collect();
    }
    let first: f64 = random.random_range(0.0..1.0);
    let place = |number: usize| ((number as f64 + first) * slices as f64 / depth as f64) as usize;
    (0..depth).map(|number| place(number).min(slices - 1)).collect()
}

/// Runs of neighbouring slices: a share of them around slices with embolism, where the exam has any, the rest anywhere.
fn runs(labels: &[u8], settings: &Fit, random: &mut ChaCha8Rng) -> Vec<usize> {
    let positives: Vec<usize> = (0..labels.len()).filter(|slice| labels[*slice] == 1).collect();
    let runs = settings.slices_per_exam / settings.run_length;
    let latest = labels.len().saturating_sub(settings.run_length);
    let wanted = settings.positive_runs * runs as f64;
    // The fraction of a run is drawn at random: with one run and a share of a half, every other one on average.
    let around = wanted as usize + usize::from(wanted.fract() > 0.0 && random.random_bool(wanted.fract()));
    (0..runs)
        .flat_map(|run| {
            let first = match positives.choose(random) {
                Some(slice) if run < around => {
                    slice.saturating_sub(random.random_range(0..settings.run_length)).min(latest)
                }
                _ => random.random_range(0..=latest),
            };
            (first..first + settings.run_length).map(|slice| slice.min(labels.len() - 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::dataset::testing::prepared_exam;

    fn settings(overrides: &[&str]) -> Fit {
        let usual = ["fit.slices_per_exam=8", "fit.run_length=4", "fit.labelled_share=0"];
        let all: Vec<String> = usual.iter().chain(overrides).map(|text| (*text).to_owned()).collect();
        crate::learn::train::TrainConfiguration::load(None, &all).expect("valid").fit
    }

    fn random(step: usize) -> ChaCha8Rng {
        random_at(1, 0, step)
    }

    /// An exam of sixty slices with an embolus on slices 40 to 49; slice labels are known or not.
    fn exam(number: usize, embolism: bool, known: bool) -> PreparedExam {
        let label = |slice: usize| match (embolism, known) {
            (true, false) => UNLABELLED,
            _ => u8::from(embolism && (40..50).contains(&slice)),
        };
        let slice_labels: Vec<u8> = (0..60).map(label).collect();
        let count = |wanted: fn(u8) -> bool| slice_labels.iter().filter(|label| wanted(**label)).count();
        let (labelled, positive_slices) = (count(|label| label != UNLABELLED), count(|label| label == 1));
        PreparedExam { slices: 60, positive_slices, slice_labels, ..prepared_exam(number, embolism, labelled) }
    }

    #[test]
    fn a_bag_says_of_its_slices_what_is_true_of_them() {
        let settings = settings(&["fit.positive_runs=0.5", "fit.slices_per_exam=4"]);
        let exams: Vec<PreparedExam> = (0..40).map(|number| exam(number, number % 2 == 0, number % 4 == 0)).collect();
        let bags = Bags::new(&exams, &settings);
        let shows = |bag: &Bag| bag.slices.iter().any(|slice| (40..50).contains(slice));
        let mut seen = [0; 2];
        for (number, exam) in exams.iter().cycle().take(400).enumerate() {
            let bag = bags.draw(exam, &mut random(number));
            assert_eq!(bag.label == 1, exam.embolism && shows(&bag), "{bag:?}");
            assert_ne!(bag.label, UNLABELLED);
            seen[usize::from(bag.label)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }

    #[test]
    fn an_exam_whose_emboli_are_not_known_is_seen_whole_and_others_as_often() {
        let settings = settings(&[]);
        let whole = |exams: &[PreparedExam], embolism: bool| {
            let bags = Bags::new(exams, &settings);
            let some = exams.iter().filter(|exam| exam.embolism == embolism).cycle().take(400).enumerate();
            some.filter(|(number, exam)| bags.draw(exam, &mut random(*number)).slices.len() == 60).count()
        };
        let of = |known: fn(usize) -> bool| -> Vec<PreparedExam> {
            (0..40).map(|number| exam(number, number % 2 == 0, known(number))).collect()
        };
        let (none, some, all) = (of(|_| false), of(|number| number >= 20), of(|_| true));
        assert_eq!([whole(&none, true), whole(&none, false)], [400, 400]);
        assert_eq!([whole(&all, true), whole(&all, false)], [0, 0]);
        assert_eq!(whole(&some, true), 200);
        assert!((160..240).contains(&whole(&some, false)), "{}", whole(&some, false));
    }

    /// Emboli on 17 % of the slices of an exam, as in RSPECT, which nobody labelled. Eight slices in two runs are what a
    /// step saw of it before.
    #[test]
    fn few_bags_of_exams_without_slice_labels_are_false() {
        let truth = |number: usize| move |slice: usize| (number % 50..number % 50 + 10).contains(&slice);
        let exams: Vec<PreparedExam> = (0..50).map(|number| exam(number, true, false)).collect();
        let false_bags = |draw: &dyn Fn(&PreparedExam, usize) -> Vec<usize>| {
            let is_false = |number: &usize| !draw(&exams[number % 50], *number).into_iter().any(truth(*number));
            (0..1000).filter(is_false).count()
        };
        let drawn = |settings: &Fit| {
            let bags = Bags::new(&exams, settings);
            false_bags(&|exam, number| bags.draw(exam, &mut random(number)).slices)
        };
        let before = settings(&["fit.positive_runs=0.5"]);
        let before = false_bags(&|exam, number| runs(&exam.slice_labels, &before, &mut random(number)));
        assert!(before > 500, "{before} of 1000");
        assert_eq!([drawn(&settings(&[])), drawn(&settings(&["fit.depth=8"]))], [0, 0]);
        let few = drawn(&settings(&["fit.depth=4"]));
        assert!((200..500).contains(&few), "so few slices miss some: {few}");
    }

    #[test]
    fn a_bag_of_slices_that_nobody_labelled_has_no_label() {
        let settings = settings(&["fit.positive_runs=0"]);
        let mut partly = exam(0, true, false);
        (partly.slice_labels[45], partly.positive_slices) = (1, 1);
        let exams = [partly];
        let bags = Bags::new(&exams, &settings);
        let drawn: Vec<Bag> = (0..100).map(|number| bags.draw(&exams[0], &mut random(number))).collect();
        for bag in &drawn {
            assert_eq!(bag.label, if bag.slices.contains(&45) { 1 } else { UNLABELLED });
        }
        assert!(drawn.iter().any(|bag| bag.label == 1) && drawn.iter().any(|bag| bag.label == UNLABELLED));
    }

    #[test]
    fn a_whole_exam_is_all_of_it_or_slices_in_equal_distances() {
        assert_eq!(spread(5, 0, &mut random(0)), [0, 1, 2, 3, 4]);
        assert_eq!(spread(3, 5, &mut random(0)), [0, 1, 2]);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..60 {
            let drawn = spread(90, 20, &mut random(number));
            let steps: Vec<usize> = drawn.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(
                drawn.len() == 20 && drawn[19] < 90 && steps.iter().all(|step| (4..=5).contains(step)),
                "{drawn:?}"
            );
            seen.extend(drawn);
        }
        assert_eq!(seen.len(), 90, "over the epochs every slice is seen");
        let published = settings(&["fit.slices_per_exam=0", "fit.depth=20"]);
        let all = [exam(0, true, true), exam(1, false, true)];
        let bags = Bags::new(&all, &published);
        assert!(all.iter().all(|exam| bags.draw(exam, &mut random(0)).slices.len() == 20));
    }

    #[test]
    fn a_positive_exam_shows_a_positive_slice_in_every_draw() {
        let mut labels = vec![0; 60];
        labels[41] = 1;
        for step in 0..50 {
            let drawn = runs(&labels, &settings(&[]), &mut random(step));
            assert_eq!(drawn.len(), 8);
            assert!(drawn.contains(&41) && drawn.iter().all(|slice| *slice < 60));
        }
        let of_one = |positive_runs: f64| {
            let one = Fit { slices_per_exam: 1, run_length: 1, positive_runs, ..settings(&[]) };
            (0..200).filter(|step| runs(&labels, &one, &mut random(*step)) == [41]).count()
        };
        assert_eq!(of_one(1.0), 200);
        // Every other one is drawn from all sixty slices.
        assert!((80..125).contains(&of_one(0.5)), "{}", of_one(0.5));
        assert!(of_one(0.0) < 12);
        assert_eq!(runs(&[UNLABELLED; 2], &settings(&[]), &mut random(0)), [0, 1, 1, 1, 0, 1, 1, 1]);
    }
}

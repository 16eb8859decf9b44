//! Which slice labels are used: a share of the exams, a share of the slices in each, the rest as if unlabelled.
//!
//! Labels are counted on the slices of the source series, before any sampling: what a share means depends on neither
//! the training depth nor the thickness of slices. What is drawn for a share is drawn for every larger one of the same
//! seed: the labels of an experiment with more labels include those of one with fewer.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;

use super::configuration::Supervision;
use super::labels::{Exam, Place, Split};
use super::named_draws::generator;

/// Series of the exams whose slice labels are used. Exams with and without embolism, and those of each place, are drawn
/// separately; at least one of each group that has labels, unless the share is 0. Test exams keep theirs.
pub(crate) fn exams_with_slice_labels<'a>(
    exams: &'a [Exam],
    places: &[Place],
    supervision: Supervision,
    seed: u64,
) -> BTreeSet<&'a str> {
    let mut kept = BTreeSet::new();
    let mut groups: BTreeMap<(String, bool), Vec<&str>> = BTreeMap::new();
    for (exam, place) in exams.iter().zip(places).filter(|(exam, _)| exam.labelled_slices > 0) {
        if *place == Place::Fixed(Split::Test) {
            kept.insert(exam.series.as_str());
        } else {
            groups.entry((place.to_string(), exam.embolism())).or_default().push(&exam.series);
        }
    }
    for (group, series) in groups.values_mut().enumerate() {
        series.shuffle(&mut generator(&format!("{seed} exams of group {group}")));
        kept.extend(&series[..number(series.len(), supervision.labelled_exams)]);
    }
    kept
}

/// The labels of an exam's source slices that are used, the others removed.
pub(crate) fn used_slice_labels(
    series: &str,
    mut labels: Vec<Option<bool>>,
    supervision: Supervision,
    seed: u64,
) -> Vec<Option<bool>> {
    let mut labelled: Vec<usize> = (0..labels.len()).filter(|slice| labels[*slice].is_some()).collect();
    labelled.shuffle(&mut generator(&format!("{seed} {series}")));
    for slice in &labelled[number(labelled.len(), supervision.labelled_slices)..] {
        labels[*slice] = None;
    }
    labels
}

/// A share of all, rounded, at least one unless the share is 0.
fn number(all: usize, share: f64) -> usize {
    let rounded = (share * all as f64).round() as usize;
    if share > 0.0 { rounded.max(1).min(all) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::configuration::Negatives;
    use super::super::labels::testing::exam;
    use super::*;

    fn share(labelled_exams: f64, labelled_slices: f64) -> Supervision {
        Supervision { labelled_exams, labelled_slices, negatives: Negatives::Free }
    }

    fn exams() -> (Vec<Exam>, Vec<Place>) {
        let exams: Vec<Exam> = (0..120).map(|index| exam(index, &index.to_string(), index % 3 == 0)).collect();
        let places =
            (0..120).map(|index| Place::Fixed([Split::Train, Split::Train, Split::Validation, Split::Test][index % 4]));
        (exams, places.collect())
    }

    #[test]
    fn a_share_of_exams_is_drawn_of_each_class_and_the_test_keeps_all() {
        let (exams, places) = exams();
        let kept = exams_with_slice_labels(&exams, &places, share(0.25, 1.0), 7);
        let count = |place: Split, embolism: bool| {
            let wanted = exams
                .iter()
                .zip(&places)
                .filter(|(exam, at)| **at == Place::Fixed(place) && exam.embolism() == embolism);
            wanted.filter(|(exam, _)| kept.contains(exam.series.as_str())).count()
        };
        assert_eq!([count(Split::Train, true), count(Split::Train, false)], [5, 10]);
        assert_eq!([count(Split::Validation, true), count(Split::Validation, false)], [3, 5]);
        assert_eq!([count(Split::Test, true), count(Split::Test, false)], [10, 20]);
        assert!(exams_with_slice_labels(&exams, &places, share(0.0, 1.0), 7).len() == 30);
    }

    #[test]
    fn a_larger_share_holds_the_smaller_ones_and_another_seed_draws_others() {
        let (exams, places) = exams();
        let drawn = |part: f64, seed| exams_with_slice_labels(&exams, &places, share(part, 1.0), seed);
        for pair in [0.0, 0.05, 0.1, 0.25, 0.5, 1.0].windows(2) {
            assert!(drawn(pair[0], 1).is_subset(&drawn(pair[1], 1)));
        }
        assert_ne!(drawn(0.25, 1), drawn(0.25, 2));
        assert_eq!(drawn(1.0, 1).len(), 120);
    }

    #[test]
    fn a_share_of_slices_is_kept_whatever_their_labels_and_nothing_is_made_up() {
        let labels: Vec<Option<bool>> = (0..50).map(|slice| (slice % 5 > 0).then_some(slice > 30)).collect();
        let used = used_slice_labels("2.1", labels.clone(), share(1.0, 0.25), 3);
        assert_eq!(used.iter().flatten().count(), 10);
        assert!(used.iter().zip(&labels).all(|(used, label)| used.is_none() || used == label));
        assert_eq!(used_slice_labels("2.1", labels.clone(), share(1.0, 1.0), 3), labels);
        assert!(used_slice_labels("2.1", labels.clone(), share(1.0, 0.0), 3).iter().all(Option::is_none));
        let fewer = used_slice_labels("2.1", labels, share(1.0, 0.1), 3);
        assert!(fewer.iter().zip(&used).all(|(fewer, more)| fewer.is_none() || fewer == more));
    }
}

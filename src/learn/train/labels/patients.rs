//! Which exams show the same patient. Splits and intervals depend on it.

use std::collections::BTreeMap;

use crate::learn::train::files;

/// With at least this many exams, a Patient ID that most of them share cannot be one person's.
const ENOUGH: usize = 20;

/// Lets studies stand for patients where the Patient ID does not distinguish them: de-identification may give everybody
/// the same one. This is so for the exams of a Patient ID that more than half of at least [`ENOUGH`] exams share.
/// `exams` has the digest that stands for the patient of each exam, and the exam's study. Returns a note if any was
/// changed.
pub(crate) fn tell_apart<'a>(exams: impl Iterator<Item = (&'a mut String, &'a str)>) -> Option<String> {
    let exams: Vec<(&mut String, &str)> = exams.collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (patient, _) in &exams {
        *counts.entry((*patient).clone()).or_default() += 1;
    }
    let all = exams.len();
    let (shared, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    if all < ENOUGH || 2 * count <= all {
        return None;
    }
    for (patient, study) in exams.into_iter().filter(|(patient, _)| **patient == shared) {
        *patient = files::short_digest(study);
    }
    Some(format!(
        "{count} of {all} exams have the same Patient ID, which cannot be one person's: each of their studies \
         stands for a patient"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::exam::Exam;
    use super::super::exam::testing::exam;
    use super::*;

    fn noted(exams: &mut [Exam]) -> Option<String> {
        tell_apart(exams.iter_mut().map(|exam| (&mut exam.patient, exam.study.as_str())))
    }

    fn patients(exams: &[Exam]) -> usize {
        exams.iter().map(|exam| &exam.patient).collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn an_id_that_most_exams_share_is_not_a_patients_and_one_that_few_share_is() {
        let mut anonymous: Vec<Exam> = (0..30).map(|index| exam(index, "ANONYMOUS", false)).collect();
        let said = noted(&mut anonymous).expect("a note");
        assert!(said.starts_with("30 of 30 exams") && patients(&anonymous) == 30, "{said}");
        let mut twice: Vec<Exam> = (0..30).map(|index| exam(index, &format!("p{}", index / 2), false)).collect();
        assert_eq!((noted(&mut twice), patients(&twice)), (None, 15));
        let mut few: Vec<Exam> = (0..5).map(|index| exam(index, "one", false)).collect();
        assert_eq!((noted(&mut few), patients(&few)), (None, 1), "five exams of one patient are possible");
        assert_eq!(noted(&mut []), None);
    }
}

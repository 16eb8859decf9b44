//! Which exams show the same patient. Splits and intervals go by it.

use std::collections::BTreeMap;

use crate::learn::train::files;

/// Exams from which a Patient ID that most of them share cannot be one person's.
const ENOUGH: usize = 20;

/// Takes what stands for the patient of each exam, with its study. De-identification may give everybody one Patient ID,
/// which then says of no two exams that they show the same person.
/// Where more than half of at least [`ENOUGH`] exams share one, studies stand for patients. Says so, if it did.
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
        "{count} of {all} exams have the same Patient ID, which cannot be one person's: each study of them stands for a \
         patient"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::exam::Exam;
    use super::super::exam::testing::exam;
    use super::*;

    fn told(exams: &mut [Exam]) -> Option<String> {
        tell_apart(exams.iter_mut().map(|exam| (&mut exam.patient, exam.study.as_str())))
    }

    fn patients(exams: &[Exam]) -> usize {
        exams.iter().map(|exam| &exam.patient).collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn an_id_that_most_exams_share_is_nobodys_and_one_that_few_share_is_a_patients() {
        let mut anonymous: Vec<Exam> = (0..30).map(|index| exam(index, "ANONYMOUS", false)).collect();
        let said = told(&mut anonymous).expect("told");
        assert!(said.starts_with("30 of 30 exams") && patients(&anonymous) == 30, "{said}");
        let mut twice: Vec<Exam> = (0..30).map(|index| exam(index, &format!("p{}", index / 2), false)).collect();
        assert_eq!((told(&mut twice), patients(&twice)), (None, 15));
        let mut few: Vec<Exam> = (0..5).map(|index| exam(index, "one", false)).collect();
        assert_eq!((told(&mut few), patients(&few)), (None, 1), "five exams of one patient are possible");
        assert_eq!(told(&mut []), None);
    }
}

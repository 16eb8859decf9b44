//! Which exams show the same patient. Splits and intervals go by it.

use std::collections::BTreeMap;

use crate::learn::train::files;

/// Exams from which a Patient ID that most of them share cannot be one person's.
const ENOUGH: usize = 20;

/// What stands for the patient of an exam, and the study that does where its images name none.
pub(crate) trait Shows {
    /// Digest that stands for the patient, and the Study Instance UID.
    fn patient_and_study(&mut self) -> (&mut String, &str);
}

/// De-identification may give everybody one Patient ID, which then says of no two exams that they show the same person.
/// Where more than half of at least [`ENOUGH`] exams share one, studies stand for patients. Says so, if it did.
pub(crate) fn tell_apart<E: Shows>(exams: &mut [E]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for exam in exams.iter_mut() {
        *counts.entry(exam.patient_and_study().0.clone()).or_default() += 1;
    }
    let all = exams.len();
    let (shared, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    if all < ENOUGH || 2 * count <= all {
        return None;
    }
    for exam in exams {
        let (patient, study) = exam.patient_and_study();
        if *patient == shared {
            *patient = files::short_digest(study);
        }
    }
    Some(format!(
        "{count} of {all} exams have the same Patient ID, which cannot be one person's: each study of them stands for a \
         patient"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Exam;
    use super::super::testing::exam;
    use super::*;

    fn patients(exams: &[Exam]) -> usize {
        exams.iter().map(|exam| &exam.patient).collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn an_id_that_most_exams_share_is_nobodys_and_one_that_few_share_is_a_patients() {
        let mut anonymous: Vec<Exam> = (0..30).map(|index| exam(index, "ANONYMOUS", false)).collect();
        let said = tell_apart(&mut anonymous).expect("told");
        assert!(said.starts_with("30 of 30 exams") && patients(&anonymous) == 30, "{said}");
        let mut twice: Vec<Exam> = (0..30).map(|index| exam(index, &format!("p{}", index / 2), false)).collect();
        assert_eq!((tell_apart(&mut twice), patients(&twice)), (None, 15));
        let mut few: Vec<Exam> = (0..5).map(|index| exam(index, "one", false)).collect();
        assert_eq!((tell_apart(&mut few), patients(&few)), (None, 1), "five exams of one patient are possible");
        assert_eq!(tell_apart::<Exam>(&mut []), None);
    }
}

//! What names an exam: its unique identifiers and its patient.

use super::recipe::{Recipe, Site};
use crate::dicom::Uid;

/// The identifiers of an exam.
#[derive(Debug, Clone)]
pub(super) struct Identifiers {
    pub(super) study: Uid,
    pub(super) series: Uid,
    pub(super) frame_of_reference: Uid,
    pub(super) patient: String,
}

impl Identifiers {
    pub(super) fn of(recipe: &Recipe) -> Self {
        // Paired exams are two studies of one patient, so that no split of patients separates them.
        let (seed, index, anatomy) = (recipe.seed.to_string(), recipe.index.to_string(), recipe.anatomy);
        // The internal site is not named: its identifiers are the same as before there was another one.
        let (cohort, patient) = match recipe.site {
            Site::Internal => (recipe.preset.name().to_owned(), format!("PHANTOM-{seed}-{anatomy}")),
            Site::External => {
                (format!("{} external", recipe.preset.name()), format!("PHANTOM-EXTERNAL-{seed}-{anatomy}"))
            }
        };
        let uid = |kind: &str| Uid::derived(["pe-node phantom", &cohort, &seed, &index, kind]);
        Self { study: uid("study"), series: uid("series"), frame_of_reference: uid("frame of reference"), patient }
    }

    pub(super) fn instance(&self, slice: usize) -> Uid {
        Uid::derived([self.series.as_str(), &slice.to_string()])
    }
}

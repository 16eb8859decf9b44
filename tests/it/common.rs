//! What several integration tests need.

use std::path::Path;

use pe_node::learn::phantom::{Cohort, Preset, Site, write_cohort};

/// Light phantoms of both classes.
pub(crate) fn phantoms(folder: &Path, exams: usize) {
    let cohort = Cohort {
        folder: folder.to_owned(),
        exams,
        seed: 31,
        preset: Preset::Light,
        site: Site::Internal,
        paired: false,
        feet_first: false,
    };
    write_cohort(&cohort, || ()).expect("phantoms");
}

//! What several integration tests need.

use std::path::Path;

use pe_node::dicom::Uid;
use pe_node::learn::phantom::{Cohort, Preset, Site, write_cohort};
use pe_node::node::archive::Stored;
use pe_node::node::arrivals::{Feed, StoreEvents};

/// Nobody assembles series.
pub(crate) struct Deaf;

impl StoreEvents for Deaf {
    fn begin(&self) -> Box<dyn Feed> {
        Box::new(Self)
    }
}

impl Feed for Deaf {
    fn stored(&mut self, _study: &Uid, _series: &Uid, _stored: Stored) {}
}

/// Light phantoms, of which both classes are.
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

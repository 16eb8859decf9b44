//! From tables and DICOM to prepared exams.

use super::Paths;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::files::table;
use crate::learn::train::labels::{self, Exam, SliceLabel};
use crate::learn::train::volumes;

pub(super) fn read_labels(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let labels = labels::read(configuration)?;
    table::write(&paths.slices, &labels.slices)?;
    table::write(&paths.excluded_labels, &labels.exclusions)?;
    table::write(&paths.exams, &labels.exams)?;
    let positive = labels.exams.iter().filter(|exam| exam.embolism).count();
    let labelled: usize = labels.exams.iter().map(|exam| exam.labelled_slices).sum();
    Ok(vec![format!(
        "labels: {} exams, {positive} with embolism, {labelled} of {} slices labelled; {} exams excluded, see {}",
        labels.exams.len(),
        labels.slices.len(),
        labels.exclusions.len(),
        paths.excluded_labels.display()
    )])
}

pub(super) fn prepare_volumes(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let exams: Vec<Exam> = table::read(&paths.exams, "labels")?;
    let slices: Vec<SliceLabel> = table::read(&paths.slices, "labels")?;
    let (prepared, excluded) = volumes::prepare(configuration, &exams, slices)?;
    if prepared.is_empty() {
        let reason = excluded.first().map_or_else(String::new, |first| format!("; the first: {}", first.reason));
        return Err(TrainError::Exams(format!("none of {} exams could be prepared{reason}", exams.len())));
    }
    table::write(&paths.excluded_volumes, &excluded)?;
    table::write(&paths.prepared, &prepared)?;
    Ok(vec![format!(
        "volumes: {} exams prepared with {}, {} excluded, see {}",
        prepared.len(),
        volumes::lung_source(configuration),
        excluded.len(),
        paths.excluded_volumes.display()
    )])
}

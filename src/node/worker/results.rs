//! Puts result files of the analysis process into the archive.

use std::path::Path;

use super::error::{ResultFault, WorkerError};
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements;
use crate::engine::pipeline::ResultReference;
use crate::node::archive::{Archive, Origin, ReceivedInstance, Unfiled};

use dicom_dictionary_std::tags;

/// Makes every result object of an analysis durable; the queue files them when it records the end of the job. Those that an
/// earlier analysis of the same images made are there already, and stay as they are.
///
/// The process that wrote the files has handled received pixels, so it is trusted no more than a sender: names may not
/// leave the folder, files pass the same scan, and each must be the object that the summary names.
pub(super) async fn keep(
    archive: &Archive,
    folder: &Path,
    files: &[String],
    results: &[ResultReference],
    limits: &Limits,
) -> Result<Vec<Unfiled>, WorkerError> {
    if files.len() != results.len() {
        return Err(WorkerError::ResultCount { files: files.len(), results: results.len() });
    }
    let known = archive.index().known_results(results).await?;
    let mut kept = Vec::with_capacity(files.len());
    for (file, expected) in files.iter().zip(results).filter(|(_, result)| !known.contains(&result.sop_instance_uid)) {
        let wrong = |fault| WorkerError::Result { file: file.clone(), fault };
        if file.contains(['/', '\\']) || file.starts_with('.') {
            return Err(wrong(ResultFault::OutsideTheFolder));
        }
        let (path, limits, expected) = (folder.join(file), *limits, expected.clone());
        let read = tokio::task::spawn_blocking(move || read(&path, &expected, &limits));
        let instance = read.await.map_err(|error| wrong(ResultFault::Interrupted(error)))?.map_err(wrong)?;
        kept.push(archive.keep(instance).await?);
    }
    Ok(kept)
}

fn read(path: &Path, expected: &ResultReference, limits: &Limits) -> Result<ReceivedInstance, ResultFault> {
    let instance = ReceivedInstance::of_file(&bounded::read(path, limits)?.into(), Origin::Analysis, limits)?;
    if elements::uid(&instance.header, tags::SOP_INSTANCE_UID).as_ref() != Some(&expected.sop_instance_uid) {
        return Err(ResultFault::OtherObject(expected.sop_instance_uid.clone()));
    }
    Ok(instance)
}

//! The files of a set of instances.

use std::collections::HashMap;
use std::path::PathBuf;

use super::WorkerError;
use crate::dicom::{SeriesId, Uid};
use crate::node::archive::{Archive, Scope};

/// The files of instances of a series, in their order. Instances that came later are left out.
pub(super) async fn files(
    archive: &Archive,
    series: &SeriesId,
    instances: &[Uid],
) -> Result<Vec<PathBuf>, WorkerError> {
    let scope = Scope::Series(series.study_instance_uid.clone(), series.series_instance_uid.clone());
    let stored = archive.instances(&scope).await?;
    let mut paths: HashMap<Uid, PathBuf> =
        stored.into_iter().map(|instance| (instance.sop_instance_uid, instance.path)).collect();
    let path = |uid: &Uid| paths.remove(uid).ok_or_else(|| WorkerError::Missing(uid.clone()));
    instances.iter().map(path).collect()
}

//! The files of a set of instances.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::WorkerError;
use crate::dicom::{Member, SeriesId, Uid};
use crate::node::archive::{Archive, Scope};

/// The files of instances of a series with their digests, in their order, after their bytes were checked. Instances that came later are left out.
pub(super) async fn files(
    archive: &Archive,
    series: &SeriesId,
    instances: &[Uid],
) -> Result<(Vec<PathBuf>, Vec<Member>), WorkerError> {
    let scope = Scope::Series(series.study_instance_uid.clone(), series.series_instance_uid.clone());
    let wanted: HashSet<&Uid> = instances.iter().collect();
    let mut stored = archive.instances(&scope).await?;
    stored.retain(|instance| wanted.contains(&instance.sop_instance_uid));
    archive.check(&stored).await?;
    let mut known: HashMap<Uid, (PathBuf, String)> =
        stored.into_iter().map(|instance| (instance.sop_instance_uid, (instance.path, instance.sha256))).collect();
    let file = |uid: &Uid| {
        let (path, sha256) = known.remove(uid).ok_or_else(|| WorkerError::Missing(uid.clone()))?;
        Ok((path, (uid.clone(), sha256)))
    };
    instances.iter().map(file).collect()
}

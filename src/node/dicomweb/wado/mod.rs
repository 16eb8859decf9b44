//! WADO-RS: retrieving
//! ([PS3.18 10.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

pub(super) mod all_bulk_data;
pub(super) mod bulk_data;
pub(super) mod frames;
pub(super) mod metadata;
pub(super) mod objects;
mod pixels;
pub(super) mod rendered;
pub(super) mod uri;
mod value;

use super::request::Address;
use crate::dicom::bounded::Limits;
use crate::node::archive::{Archive, StoredInstance};
use crate::node::http::Problem;

/// The service.
#[derive(Clone)]
pub(super) struct Wado {
    archive: Archive,
    /// What archived objects may claim: they came from outside, and what follows a data set was
    /// not checked when they were received.
    limits: Limits,
}

impl Wado {
    /// The service over an archive.
    pub(super) fn new(archive: Archive, limits: Limits) -> Self {
        Self { archive, limits }
    }

    /// All instances below a path, their files as they were received; an error if there are none, or if one is damaged.
    async fn instances(&self, address: &Address) -> Result<Vec<StoredInstance>, Problem> {
        let instances = self.archive.instances(&address.scope()?).await?;
        if instances.is_empty() {
            let what = match address {
                Address { instance: Some(uid), .. } => format!("instance {uid}"),
                Address { series: Some(uid), .. } => format!("series {uid}"),
                Address { study: Some(uid), .. } => format!("study {uid}"),
                Address { study: None, .. } => "such object".to_owned(),
            };
            return Err(Problem::NotFound(format!("there is no {what} here")));
        }
        self.archive.check(&instances).await?;
        Ok(instances)
    }

    /// The one instance a path names.
    async fn instance(&self, address: &Address) -> Result<StoredInstance, Problem> {
        let first = self.instances(address).await?.into_iter().next();
        first.ok_or_else(|| Problem::NotFound("there is none".to_owned()))
    }
}

/// The URL of an instance.
pub(super) fn url(base: &str, instance: &StoredInstance) -> String {
    let StoredInstance { study_instance_uid, series_instance_uid, sop_instance_uid, .. } = instance;
    format!("{base}/studies/{study_instance_uid}/series/{series_instance_uid}/instances/{sop_instance_uid}")
}

/// Runs work on files in a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::reading(&error)))
}

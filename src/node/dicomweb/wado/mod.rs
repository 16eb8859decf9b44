//! WADO-RS: retrieving
//! ([PS3.18 10.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.4.html)).

pub(super) mod bulk_data;
pub(super) mod frames;
pub(super) mod metadata;
pub(super) mod objects;
pub(super) mod pixels;
pub(super) mod rendered;

use axum::http::{HeaderMap, header};

use super::media::Accept;
use super::problem::Problem;
use super::target::{Address, Parameters};
use crate::node::archive::{Archive, StoredInstance};

/// What a request accepts, by header and by parameter.
pub(super) fn accept(headers: &HeaderMap, parameters: &Parameters) -> Accept {
    Accept::parse(headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()), parameters.get("accept"))
}

/// All instances below a path; an error if there are none.
pub(super) async fn instances(archive: &Archive, address: &Address) -> Result<Vec<StoredInstance>, Problem> {
    let instances = archive.instances(&address.scope()?).await?;
    if instances.is_empty() {
        let what = match address {
            Address { instance: Some(uid), .. } => format!("instance {uid}"),
            Address { series: Some(uid), .. } => format!("series {uid}"),
            Address { study: Some(uid), .. } => format!("study {uid}"),
            Address { study: None, .. } => "such object".to_owned(),
        };
        return Err(Problem::NotFound(format!("there is no {what} here")));
    }
    Ok(instances)
}

/// The one instance a path names.
pub(super) async fn instance(archive: &Archive, address: &Address) -> Result<StoredInstance, Problem> {
    instances(archive, address).await?.into_iter().next().ok_or_else(|| Problem::NotFound("there is none".to_owned()))
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

//! Notices: a page for an exam that was not analysed, and rejection notes of results that do not stand any more. What is due is
//! read from the store after each change, so that nothing is forgotten by a restart, and each is recorded in one transaction.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::ReportConfig;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::DataSet;
use crate::dicom::{SeriesId, Uid};
use crate::engine::report::{self, NoticeSubject, PlainHeader, ReportError, ResultObject};
use crate::node::archive::{Archive, ArchiveError, Origin, ReceivedInstance, Scope, Unfiled};
use crate::node::queue::JobId;
use crate::node::shutdown::Shutdown;
use crate::node::store::{DueNotice, DueRejectionNote, Store, StoreError};

/// The longest sleep between looks at the store: time alone makes an exam overdue.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// Why a notice cannot be made.
#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("reading the header of {0}: {1}")]
    Header(Uid, ReadError),
    #[error("the archive has no object of it any more")]
    Gone,
    #[error("encoding it: {0}")]
    Encode(Box<dicom_object::WriteError>),
    #[error("reading it again: {0}")]
    Encoded(ReadError),
    #[error("a fault of the program: {0}")]
    Fault(#[from] tokio::task::JoinError),
}

/// Makes notices.
pub struct Notices {
    archive: Archive,
    store: Store,
    settings: ReportConfig,
    limits: Limits,
}

impl Notices {
    /// Nothing happens before [`Notices::run`].
    pub fn new(archive: Archive, store: Store, settings: ReportConfig, limits: Limits) -> Self {
        Self { archive, store, settings, limits }
    }

    /// Makes what is due until told to stop.
    pub async fn run(self, shutdown: Shutdown) {
        let mut changes = self.store.changes();
        // What could not be made is told once.
        let mut told = BTreeSet::new();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            if let Err(error) = self.step(&mut told).await {
                tracing::error!(%error, "notices wait for the store");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(LONGEST_SLEEP) => {}
            }
        }
    }

    async fn step(&self, told: &mut BTreeSet<JobId>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        if self.settings.not_analysed {
            for due in self.store.due_notices(self.overdue(), now).await? {
                let made = self.tell_not_analysed(&due, now).await;
                tell_once(told, &due.job, made);
            }
        }
        for due in self.store.due_rejection_notes().await? {
            let made = self.reject(&due, now).await;
            tell_once(told, &due.job, made);
        }
        Ok(())
    }

    /// How long an analysis may take before it is overdue, if there is a limit.
    fn overdue(&self) -> Option<SignedDuration> {
        let minutes = i64::try_from(self.settings.overdue_minutes).unwrap_or(i64::MAX / 60);
        (minutes > 0).then(|| SignedDuration::from_mins(minutes))
    }

    async fn tell_not_analysed(&self, due: &DueNotice, now: Timestamp) -> Result<(), NoticeError> {
        let SeriesId { study_instance_uid, series_instance_uid } = due.series.clone();
        let stored = self.archive.instances(&Scope::Series(study_instance_uid, series_instance_uid)).await?;
        let image = stored.into_iter().find(|instance| due.instances.contains(&instance.sop_instance_uid));
        let image = image.ok_or(NoticeError::Gone)?;
        let header = self.header(image.path, image.sop_instance_uid).await?;
        let (settings, case) = (self.settings.clone(), due.clone());
        let made = tokio::task::spawn_blocking(move || {
            let header = plain(&header, &settings, case.since)?;
            let DueNotice { job, cause, since, has_earlier_result, issue, .. } = &case;
            let (job, has_earlier_result, since, issue) = (job.as_str(), *has_earlier_result, *since, *issue);
            report::notice(&header, &NoticeSubject { job, cause, has_earlier_result, since, issue })
        });
        let object = made.await??;
        let unfiled = self.keep(&object).await?;
        Ok(self.store.record_notice(due, &unfiled, &object.reference(), now).await?)
    }

    async fn reject(&self, due: &DueRejectionNote, now: Timestamp) -> Result<(), NoticeError> {
        let header = self.header(self.archive.path(due.source), due.series.series_instance_uid.clone()).await?;
        let object = {
            let header = plain(&header, &self.settings, due.at)?;
            report::rejection_note(&header, &due.rejected, due.cause, &[&due.occasion, &due.destination])?
        };
        let unfiled = self.keep(&object).await?;
        Ok(self.store.record_rejection_note(due, &unfiled, &object.reference(), now).await?)
    }

    /// The header of an object in a file; `of` names it in an error.
    async fn header(&self, path: PathBuf, of: Uid) -> Result<DataSet, NoticeError> {
        let limits = self.limits;
        let read = tokio::task::spawn_blocking(move || {
            bounded::open_header(&path, &limits).map_err(|error| NoticeError::Header(of, error))
        });
        Ok(read.await??.into_inner())
    }

    /// Makes the bytes of an object durable.
    async fn keep(&self, object: &ResultObject) -> Result<Unfiled, NoticeError> {
        let mut data_set = Vec::new();
        object
            .object
            .write_dataset_with_ts(&mut data_set, &EXPLICIT_VR_LITTLE_ENDIAN.erased())
            .map_err(|error| NoticeError::Encode(Box::new(error)))?;
        let syntax = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        let instance = ReceivedInstance::read(syntax, data_set.into(), Origin::Analysis, &self.limits);
        Ok(self.archive.keep(instance.map_err(NoticeError::Encoded)?).await?)
    }
}

/// Logs that a notice cannot be made, once for each job.
fn tell_once(told: &mut BTreeSet<JobId>, job: &JobId, made: Result<(), NoticeError>) {
    if let Err(error) = made
        && told.insert(job.clone())
    {
        tracing::error!(%job, %error, "a notice cannot be made");
    }
}

fn plain<'a>(header: &'a DataSet, settings: &'a ReportConfig, at: Timestamp) -> Result<PlainHeader<'a>, ReportError> {
    PlainHeader::new(header, settings, &at.to_zoned_datetime(TimeZone::system()), env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;

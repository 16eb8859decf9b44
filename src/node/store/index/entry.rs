//! What the archive needs of an index, apart from the database that answers it.

use futures_util::future::BoxFuture;

use super::attributes::IndexedAttributes;
use super::blobs::BlobName;
use super::error::ArchiveError;
use super::instance::{Origin, ReceivedInstance, Scope, Stored};
use super::progress::{SeriesMember, UnassembledSeries};
use super::query::{Level, Query};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{Uid, hexadecimal};

use dicom_dictionary_std::tags;
use sha2::{Digest, Sha256};

/// The index of the archive.
pub(super) trait Index: Send + Sync {
    /// Files an instance whose blob is durable; returns after the commit.
    fn file(&self, entry: Entry) -> BoxFuture<'_, Result<Stored, ArchiveError>>;

    /// Answers a query.
    fn find<'a>(&'a self, level: Level, query: &'a Query) -> BoxFuture<'a, Result<Vec<DataSet>, ArchiveError>>;

    /// The instances of a scope, in order of series and instance number.
    fn instances<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<IndexedInstance>, ArchiveError>>;

    /// Received series with instances that assembly has not dealt with.
    fn unassembled(&self) -> BoxFuture<'_, Result<Vec<UnassembledSeries>, ArchiveError>>;

    /// The instances of a series, for assembly.
    fn members<'a>(&'a self, study: &'a Uid, series: &'a Uid)
    -> BoxFuture<'a, Result<Vec<SeriesMember>, ArchiveError>>;

    /// All blobs that instances and conflicts refer to, sorted.
    fn blobs(&self) -> BoxFuture<'_, Result<Vec<BlobName>, ArchiveError>>;
}

/// An instance as the index returns it.
#[derive(Debug, Clone)]
pub(super) struct IndexedInstance {
    pub(super) study_instance_uid: Uid,
    pub(super) series_instance_uid: Uid,
    pub(super) sop_instance_uid: Uid,
    pub(super) sop_class_uid: Uid,
    pub(super) transfer_syntax_uid: Uid,
    pub(super) sha256: String,
    pub(super) blob: BlobName,
}

/// An instance to be filed.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) transfer_syntax_uid: Uid,
    pub(super) sha256: String,
    pub(super) blob: BlobName,
    pub(super) bytes: i64,
    pub(super) origin: Origin,
    pub(super) received_at: i64,
    pub(super) modality: String,
    pub(super) series_number: Option<i64>,
    pub(super) instance_number: Option<i64>,
    pub(super) patient_id_folded: String,
    pub(super) patient_name_folded: String,
    pub(super) accession_number_folded: String,
    pub(super) study_date: String,
    pub(super) attributes: IndexedAttributes,
}

/// The four identifiers without which nothing can be filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) study_instance_uid: Uid,
    pub(super) series_instance_uid: Uid,
    pub(super) sop_instance_uid: Uid,
    pub(super) sop_class_uid: Uid,
}

impl Identity {
    /// Reads the identifiers from a header.
    pub(super) fn of(header: &DataSet) -> Result<Self, ArchiveError> {
        let required = |tag, name: &str| {
            elements::uid(header, tag)
                .ok_or_else(|| ArchiveError::Unfit(format!("its {name} is missing or not a unique identifier")))
        };
        Ok(Self {
            study_instance_uid: required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
            series_instance_uid: required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            sop_instance_uid: required(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            sop_class_uid: required(tags::SOP_CLASS_UID, "SOP Class UID")?,
        })
    }
}

impl Entry {
    /// Everything the index wants to know of a received instance.
    pub(super) fn of(identity: Identity, received: &ReceivedInstance, received_at: i64) -> Self {
        let sha256 = hexadecimal(&Sha256::digest(&received.data_set));
        let blob = BlobName::of(&sha256, received.transfer_syntax_uid.as_str());
        let header = &received.header;
        let attributes = IndexedAttributes::of(header);
        let study = super::attributes::read(&attributes.study);
        let text = |tag| elements::text(&study, tag).unwrap_or_default();
        Self {
            blob,
            sha256,
            transfer_syntax_uid: received.transfer_syntax_uid.clone(),
            bytes: received.data_set.len() as i64,
            origin: received.origin.clone(),
            received_at,
            modality: elements::text(header, tags::MODALITY).unwrap_or_default(),
            series_number: elements::integer(header, tags::SERIES_NUMBER),
            instance_number: elements::integer(header, tags::INSTANCE_NUMBER),
            patient_id_folded: text(tags::PATIENT_ID).to_lowercase(),
            patient_name_folded: text(tags::PATIENT_NAME).to_lowercase(),
            accession_number_folded: text(tags::ACCESSION_NUMBER).to_lowercase(),
            study_date: text(tags::STUDY_DATE).replace('.', ""),
            attributes,
            identity,
        }
    }
}

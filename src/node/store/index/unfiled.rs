//! An object that the index does not list yet, with everything that the index keeps of it.

use dicom_dictionary_std::tags;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::attributes::{self, IndexedAttributes};
use super::blob_name::BlobName;
use super::instance::{Origin, ReceivedInstance};
use crate::dicom::content::{Content, ContentDigest};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{SeriesId, Uid, hexadecimal};

/// An object whose bytes are durable, or are about to be, and that the index does not list yet. It is filed in one
/// transaction with everything else that must change at the same time.
#[derive(Debug, Clone)]
pub struct Unfiled {
    pub(super) id: InstanceId,
    pub(super) transfer_syntax_uid: Uid,
    pub(super) sha256: String,
    pub(super) content: ContentDigest,
    pub(super) blob: BlobName,
    pub(super) bytes: i64,
    pub(super) origin: Origin,
    pub(super) received_at: Timestamp,
    pub(super) modality: String,
    pub(super) series_number: Option<i64>,
    pub(super) instance_number: Option<i64>,
    pub(super) series_description_folded: String,
    pub(super) study: StudyRow,
    pub(super) series_attributes: String,
    pub(super) instance_attributes: String,
}

/// What the index keeps of a study: its attributes as DICOM JSON, and those in lower case that searches compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node::store) struct StudyRow {
    pub(super) patient_id_folded: String,
    pub(super) patient_name_folded: String,
    pub(super) accession_number_folded: String,
    pub(super) description_folded: String,
    pub(super) date: String,
    pub(super) attributes: String,
}

impl StudyRow {
    /// Of attributes that the index wrote.
    pub(in crate::node::store) fn of(attributes: String) -> Self {
        let study = attributes::read(&attributes);
        let text = |tag| elements::text(&study, tag).unwrap_or_default();
        Self {
            patient_id_folded: text(tags::PATIENT_ID).to_lowercase(),
            patient_name_folded: text(tags::PATIENT_NAME).to_lowercase(),
            accession_number_folded: text(tags::ACCESSION_NUMBER).to_lowercase(),
            description_folded: text(tags::STUDY_DESCRIPTION).to_lowercase(),
            date: text(tags::STUDY_DATE).replace('.', ""),
            attributes,
        }
    }
}

/// The four identifiers without which nothing can be filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId {
    /// Its series.
    pub series: SeriesId,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: Uid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: Uid,
}

/// An identifier without which nothing can be filed is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its {0} is missing or not a unique identifier")]
pub struct MissingIdentifier(&'static str);

impl InstanceId {
    /// Reads the identifiers from a header.
    pub fn of(header: &DataSet) -> Result<Self, MissingIdentifier> {
        let required = |tag, name| elements::uid(header, tag).ok_or(MissingIdentifier(name));
        Ok(Self {
            series: SeriesId {
                study_instance_uid: required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
                series_instance_uid: required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            },
            sop_instance_uid: required(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            sop_class_uid: required(tags::SOP_CLASS_UID, "SOP Class UID")?,
        })
    }
}

impl Unfiled {
    /// Everything that the index keeps of a received instance.
    pub fn of(id: InstanceId, received: &ReceivedInstance, received_at: Timestamp) -> Self {
        let sha256 = hexadecimal(&Sha256::digest(&received.data_set));
        let blob = BlobName::of(&sha256, received.transfer_syntax_uid.as_str());
        let header = &received.header;
        let content = Content { header, pixels: received.pixels }.digest();
        let IndexedAttributes { study, series, instance } = IndexedAttributes::of(header);
        Self {
            blob,
            sha256,
            content,
            transfer_syntax_uid: received.transfer_syntax_uid.clone(),
            bytes: received.data_set.len() as i64,
            origin: received.origin.clone(),
            received_at,
            modality: elements::text(header, tags::MODALITY).unwrap_or_default(),
            series_number: elements::integer(header, tags::SERIES_NUMBER),
            instance_number: elements::integer(header, tags::INSTANCE_NUMBER),
            series_description_folded: attributes::folded(&series, tags::SERIES_DESCRIPTION),
            study: StudyRow::of(study),
            series_attributes: series,
            instance_attributes: instance,
            id,
        }
    }

    /// SOP Instance UID.
    pub fn sop_instance_uid(&self) -> &Uid {
        &self.id.sop_instance_uid
    }

    /// Its series.
    pub fn series(&self) -> &SeriesId {
        &self.id.series
    }

    /// Transfer syntax of its bytes.
    pub fn transfer_syntax_uid(&self) -> &Uid {
        &self.transfer_syntax_uid
    }

    /// SHA-256 of its bytes.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> i64 {
        self.bytes
    }

    /// Its content.
    pub fn content(&self) -> &ContentDigest {
        &self.content
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// When it came.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// The name of the file with its bytes.
    pub fn blob(&self) -> BlobName {
        self.blob
    }
}

//! The data set of an object in the transfer syntax that the peer accepted.

use dicom_object::FileMetaTableBuilder;
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::outgoing::Outgoing;
use crate::causes::with_causes;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::DataSet;

/// Why an object cannot be sent in the transfer syntax that the peer accepted.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum EncodeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading it failed")]
    Panicked,
    #[error("the peer chose a transfer syntax that is unknown")]
    Unknown,
    #[error("{from} cannot be turned into {to}: {reason}")]
    Rewrite { from: String, to: String, reason: String },
}

/// As [`encode`], on a thread that may wait; a panic of a decoder costs this object alone.
pub(in super::super) async fn in_background(
    object: &Outgoing,
    transfer_syntax: String,
    limits: &Limits,
) -> Result<Vec<u8>, EncodeError> {
    let (object, limits) = (object.clone(), *limits);
    let encoded = tokio::task::spawn_blocking(move || encode(&object, &transfer_syntax, &limits)).await;
    encoded.unwrap_or(Err(EncodeError::Panicked))
}

/// The data set of an object in a transfer syntax: its own bytes where it is stored in it, otherwise rewritten.
pub(in super::super) fn encode(
    object: &Outgoing,
    transfer_syntax: &str,
    limits: &Limits,
) -> Result<Vec<u8>, EncodeError> {
    let bytes = object.read(limits)?;
    let parts = bounded::split(&bytes)?;
    if parts.transfer_syntax_uid == transfer_syntax {
        return Ok(parts.data_set.to_vec());
    }
    let target = TransferSyntaxRegistry.get(transfer_syntax).ok_or(EncodeError::Unknown)?;
    let data_set = bounded::data_set(parts.data_set, &parts.transfer_syntax_uid, limits)?;
    rewritten(object, data_set, &parts.transfer_syntax_uid, target).map_err(|error| EncodeError::Rewrite {
        from: parts.transfer_syntax_uid,
        to: transfer_syntax.to_owned(),
        reason: with_causes(error.as_ref()),
    })
}

fn rewritten(
    object: &Outgoing,
    data_set: DataSet,
    from: &str,
    to: &TransferSyntax,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(from)
        .media_storage_sop_class_uid(object.sop_class_uid.as_str())
        .media_storage_sop_instance_uid(object.sop_instance_uid.as_str())
        .build()?;
    let mut file = data_set.with_exact_meta(meta);
    file.transcode(to)?;
    let mut bytes = Vec::new();
    file.write_dataset(&mut bytes)?;
    Ok(bytes)
}

//! Storage commitment, asked for
//! ([PS3.4 annex J](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_J.html)).

use std::time::Duration;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::super::command::{Command, Details, Operation, Role};
use super::super::conversation::{AssociationError, Conversation};
use super::super::encoding;
use super::super::message::{Body, Message};
use super::super::requesting::{Proposal, Requested};
use super::super::status::Status;
use super::peer::{Peer, ScuError};
use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{self, DataSet};
use crate::node::queue::{CommitmentReport, ReferencedObject};

const CLASS: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;
const INSTANCE: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE;
/// Request Storage Commitment (PS3.4 table J.3.2-1).
const REQUEST_COMMITMENT: u16 = 1;
const REQUEST: &str = "N-ACTION";
/// How long the report may take over the same association. Later it comes over one of the peer's own.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);

/// Reads the data set of an N-EVENT-REPORT
/// ([PS3.3 C.14](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.14.html)); `None` if it names no
/// transaction.
pub(in super::super) fn read_report(data_set: &DataSet) -> Option<CommitmentReport> {
    let instance = |item: &DataSet| elements::uid(item, tags::REFERENCED_SOP_INSTANCE_UID);
    let reason = |item: &DataSet| {
        let code = elements::integer(item, tags::FAILURE_REASON).and_then(|code| u16::try_from(code).ok());
        code.unwrap_or(Status::PROCESSING_FAILURE.0)
    };
    Some(CommitmentReport {
        transaction_uid: elements::uid(data_set, tags::TRANSACTION_UID)?,
        committed: elements::items(data_set, tags::REFERENCED_SOP_SEQUENCE).iter().filter_map(instance).collect(),
        failed: elements::items(data_set, tags::FAILED_SOP_SEQUENCE)
            .iter()
            .filter_map(|item| Some((instance(item)?, reason(item))))
            .collect(),
    })
}

/// Asks a peer to commit to keep objects. Returns its report if it comes soon; it may come later, over an association
/// that the peer requests.
pub async fn request_commitment(
    peer: &Peer,
    transaction_uid: &Uid,
    objects: &[ReferencedObject],
    limits: &Limits,
) -> Result<Option<CommitmentReport>, ScuError> {
    let mut association = Requested::associate(peer, &[Proposal::service(CLASS)]).await?;
    let (context_id, transfer_syntax) = association.service(CLASS)?;
    let request = encoding::encode(action_information(transaction_uid, objects), &transfer_syntax);
    let (status, comment) = association.conversation.request(context_id, &request, action).await?;
    if status != Status::SUCCESS {
        return Err(ScuError::Refused { request: REQUEST, status, comment });
    }
    let report = report(&mut association.conversation, &transfer_syntax, limits);
    let report = tokio::time::timeout(REPORT_PATIENCE, report).await.ok().transpose()?.flatten();
    association.conversation.release().await;
    Ok(report)
}

/// Takes the peer's report and says so; `None` if it leaves without one.
async fn report(
    conversation: &mut Conversation,
    transfer_syntax: &str,
    limits: &Limits,
) -> Result<Option<CommitmentReport>, ScuError> {
    let Message { context_id, command, body } = match conversation.message().await {
        Err(AssociationError::Released) => return Ok(None),
        message => message?,
    };
    let (Operation::EventReport, Role::Request { message_id }) = (command.operation, command.role.clone()) else {
        return Err(ScuError::Broken("the peer sent something else than its report".to_owned()));
    };
    let report = match &body {
        Body::DataSet(bytes, _) => {
            let read = bounded::data_set(bytes, transfer_syntax, limits);
            read_report(&read.map_err(|reason| ScuError::Answer { request: REQUEST, reason })?)
        }
        Body::Nothing | Body::TooLarge => None,
    };
    let status = if report.is_some() { Status::SUCCESS } else { Status::PROCESSING_FAILURE };
    conversation.send(context_id, &command.answer(message_id, status, ""), &[]).await?;
    Ok(report)
}

fn action(message_id: u16) -> Command {
    Command {
        operation: Operation::Action,
        role: Role::Request { message_id },
        affected_sop_class_uid: Uid::parse(CLASS).ok(),
        affected_sop_instance_uid: Uid::parse(INSTANCE).ok(),
        has_data_set: true,
        details: Details { type_id: Some(REQUEST_COMMITMENT), ..Details::default() },
    }
}

fn action_information(transaction_uid: &Uid, objects: &[ReferencedObject]) -> DataSet {
    let items: Vec<DataSet> = objects
        .iter()
        .map(|object| {
            DataSet::from_element_iter([
                DataElement::new(tags::REFERENCED_SOP_CLASS_UID, VR::UI, object.sop_class_uid.as_str()),
                DataElement::new(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, object.sop_instance_uid.as_str()),
            ])
        })
        .collect();
    DataSet::from_element_iter([
        DataElement::new(tags::TRANSACTION_UID, VR::UI, transaction_uid.as_str()),
        DataElement::new(tags::REFERENCED_SOP_SEQUENCE, VR::SQ, DataSetSequence::from(items)),
    ])
}

//! Queries ([PS3.4 C.4.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.4.html)) in the Study
//! Root information model.

use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::super::command::{Command, Details, Operation, Role};
use super::super::encoding;
use super::super::message::Body;
use super::super::requesting::{Proposal, Requested};
use super::super::status::Status;
use super::peer::{Peer, ScuError};
use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{self, DataSet};

const MODEL: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const REQUEST: &str = "C-FIND";
/// Matches that are read.
const MAXIMUM_MATCHES: usize = 20_000;

/// What matches an identifier, which names its level (0008,0052).
pub async fn find(peer: &Peer, identifier: &DataSet, limits: &Limits) -> Result<Vec<DataSet>, ScuError> {
    let mut association = Requested::associate(peer, &[Proposal::service(MODEL)]).await?;
    let found = matches(&mut association, identifier, limits).await?;
    association.conversation.release().await;
    Ok(found)
}

/// True if the peer lists an object.
pub async fn holds(peer: &Peer, place: [&Uid; 3], limits: &Limits) -> Result<bool, ScuError> {
    let [study, series, instance] = place;
    let identifier = DataSet::from_element_iter([
        DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "IMAGE"),
        DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str()),
        DataElement::new(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, instance.as_str()),
    ]);
    let found = find(peer, &identifier, limits).await?;
    Ok(found.iter().any(|object| elements::uid(object, tags::SOP_INSTANCE_UID).as_ref() == Some(instance)))
}

async fn matches(association: &mut Requested, identifier: &DataSet, limits: &Limits) -> Result<Vec<DataSet>, ScuError> {
    let (context_id, transfer_syntax) = association.service(MODEL)?;
    let message_id = association.conversation.next_message_id();
    let data_set = encoding::encode(identifier.clone(), &transfer_syntax);
    association.conversation.send(context_id, &query(message_id, Operation::Find, MODEL), &data_set).await?;
    let mut found = Vec::new();
    loop {
        let message = association.conversation.message().await?;
        let (status, comment) = match message.command.role {
            Role::Response { to_message_id, status, comment } if to_message_id == message_id => (status, comment),
            _ => return Err(ScuError::Broken("the peer answered another request".to_owned())),
        };
        match (status, message.body) {
            (Status::SUCCESS, _) => return Ok(found),
            (_, Body::TooLarge) => return Err(ScuError::Broken("the peer sent a match too large".to_owned())),
            (status, Body::DataSet(bytes, _)) if status.is_pending() => {
                let read = bounded::data_set(&bytes, &transfer_syntax, limits);
                found.push(read.map_err(|reason| ScuError::Answer { request: REQUEST, reason })?);
                if found.len() > MAXIMUM_MATCHES {
                    return Err(ScuError::TooMany(MAXIMUM_MATCHES));
                }
            }
            _ => return Err(ScuError::Refused { request: REQUEST, status, comment }),
        }
    }
}

/// A request of the query and retrieve services; its identifier follows.
pub(super) fn query(message_id: u16, operation: Operation, model: &str) -> Command {
    Command {
        operation,
        role: Role::Request { message_id },
        affected_sop_class_uid: Uid::parse(model).ok(),
        affected_sop_instance_uid: None,
        has_data_set: true,
        details: Details::default(),
    }
}

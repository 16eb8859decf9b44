//! A peer that asks for more than storage.

use dicom_ul::pdu::RequestorRoles;

use super::super::command::{Command, Details, Operation, Role, SubOperations};
use super::super::conversation::Conversation;
use super::super::encoding;
use super::super::message::{Body, Message};
use super::super::requesting::{Proposal, Requested};
use super::*;
use crate::dicom::elements::DataSet;

/// A peer that may do everything, and where it listens.
pub(super) fn peer_with(address: &str) -> String {
    format!(
        "dicom.peers=[{{ ae_title = \"TEST-SCU\", network = \"127.0.0.1\", address = \"{address}\", may_query = true, \
         may_retrieve = true, may_commit = true }}]"
    )
}

/// An association for one class.
pub(super) struct Asking {
    pub(super) conversation: Conversation,
    context_id: u8,
    transfer_syntax: String,
    class: String,
}

/// What is answered: status, data set and counts.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) data_set: Option<DataSet>,
    pub(super) counts: Option<SubOperations>,
}

impl Asking {
    pub(super) async fn associate(node: &Node, class: &str) -> Self {
        let roles = RequestorRoles { scu: true, scp: false };
        let proposals = [Proposal::service(class).with_roles(roles)];
        let requested = Requested::associate(&node.peer("PE-NODE"), &proposals).await.expect("an association");
        let (context_id, transfer_syntax) = requested.service(class).expect("the service");
        Self { conversation: requested.conversation, context_id, transfer_syntax, class: class.to_owned() }
    }

    /// Sends a request, without waiting for the answer.
    pub(super) async fn ask(&mut self, operation: Operation, message_id: u16, details: Details, data_set: DataSet) {
        let command = Command {
            operation,
            role: Role::Request { message_id },
            affected_sop_class_uid: Uid::parse(&self.class).ok(),
            affected_sop_instance_uid: None,
            has_data_set: operation != Operation::Cancel,
            details,
        };
        let data_set = encoding::encode(data_set, &self.transfer_syntax);
        self.conversation.send(self.context_id, &command, &data_set).await.expect("sent");
    }

    /// The next message.
    pub(super) async fn hear(&mut self) -> Message {
        self.conversation.message().await.expect("a message")
    }

    pub(super) fn read(&self, body: &Body) -> Option<DataSet> {
        let Body::DataSet(bytes, _) = body else { return None };
        let limits = Config::from_defaults(&[]).expect("settings").limits;
        Some(crate::dicom::bounded::data_set(bytes, &self.transfer_syntax, &limits).expect("a data set"))
    }

    /// All answers to a request, up to the last one.
    pub(super) async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let Message { command, body, .. } = self.hear().await;
            let Role::Response { status, .. } = command.role else { panic!("a response") };
            answers.push(Answer { status, data_set: self.read(&body), counts: command.details.sub_operations });
            if !matches!(status, Status::PENDING | Status::PENDING_UNSUPPORTED_KEYS) {
                return answers;
            }
        }
    }

    /// Confirms an N-EVENT-REPORT.
    pub(super) async fn confirm(&mut self, report: &Message) {
        let Role::Request { message_id } = report.command.role else { panic!("a request") };
        let answer = report.command.answer(message_id, Status::SUCCESS, "");
        self.conversation.send(self.context_id, &answer, &[]).await.expect("sent");
    }
}

pub(super) fn keys(texts: &[(dicom_core::Tag, VR, &str)]) -> DataSet {
    DataSet::from_element_iter(texts.iter().map(|(tag, vr, text)| DataElement::new(*tag, *vr, *text)))
}

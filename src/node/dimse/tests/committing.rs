//! Storage commitment.

use dicom_core::value::DataSetSequence;

use super::asking::{Asking, peer_with};
use super::*;
use crate::dicom::elements::{self, DataSet};
use crate::node::dimse::command::{Details, Operation, Role};
use crate::node::dimse::conversation::Incoming;

const CLASS: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;

fn request(transaction: &str, instances: &[String]) -> DataSet {
    let item = |instance: &String| {
        DataSet::from_element_iter([
            DataElement::new(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
            DataElement::new(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.as_str()),
        ])
    };
    let items: Vec<DataSet> = instances.iter().map(item).collect();
    DataSet::from_element_iter([
        DataElement::new(tags::TRANSACTION_UID, VR::UI, transaction),
        DataElement::new(tags::REFERENCED_SOP_SEQUENCE, VR::SQ, DataSetSequence::from(items)),
    ])
}

async fn ask(asking: &mut Asking, message_id: u16, request: DataSet) -> Status {
    let action = Details { type_id: Some(1), ..Details::default() };
    asking.ask(Operation::Action, message_id, action, request).await;
    asking.answers().await[0].status
}

/// Waits for the report and confirms it: the failure reasons by instance.
async fn hear_report(asking: &mut Asking) -> (Option<u16>, Vec<(String, i64)>) {
    let report = asking.hear().await;
    assert!(matches!(report.command.role, Role::Request { .. }));
    let data_set = asking.read(&report.body).expect("a data set");
    let failed = elements::items(&data_set, tags::FAILED_SOP_SEQUENCE).iter().map(|item| {
        let instance = elements::text(item, tags::REFERENCED_SOP_INSTANCE_UID).expect("an instance");
        (instance, elements::integer(item, tags::FAILURE_REASON).expect("a reason"))
    });
    asking.confirm(&report).await;
    (report.command.details.type_id, failed.collect())
}

#[tokio::test]
async fn what_is_stored_and_whole_is_committed_to_and_the_rest_is_named() {
    let node = Node::start(&[peer_with("127.0.0.1:9").as_str()]).await;
    let kept = write(slice(1), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("kept"));
    let damaged = write(slice(2), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("damaged"));
    node.send(&[kept, damaged]).await;
    let [kept, damaged, missing] = [1, 2, 3].map(|number| format!("{SERIES}.{number}"));
    let instances = node.archive.instances(&Scope::Study(Uid::parse(STUDY).expect("uid"))).await.expect("instances");
    std::fs::write(&instances[1].path, b"damaged").expect("written");

    let mut asking = Asking::associate(&node, CLASS).await;
    let all = [kept.clone(), damaged.clone(), missing.clone()];
    assert_eq!(ask(&mut asking, 1, request("1.9", &all)).await, Status::SUCCESS);
    let expected = vec![(damaged.clone(), 0x0110), (missing, 0x0112)];
    assert_eq!(hear_report(&mut asking).await, (Some(2), expected));
    assert_eq!(ask(&mut asking, 2, request("1.9", &all[..1])).await, Status::DUPLICATE_TRANSACTION);
    assert_eq!(ask(&mut asking, 3, request("1.10", &all[..1])).await, Status::SUCCESS);
    assert_eq!(hear_report(&mut asking).await, (Some(1), Vec::new()));
    asking.conversation.release().await;

    let is_committed = async |instance: &str| {
        node.archive.index().is_committed(&Uid::parse(instance).expect("uid")).await.expect("an answer")
    };
    assert!(is_committed(&kept).await && !is_committed(&damaged).await);
}

#[tokio::test]
async fn a_requester_that_leaves_before_the_report_gets_it_when_it_calls_again() {
    let node = Node::start(&[peer_with("127.0.0.1:9").as_str()]).await;
    let mut asking = Asking::associate(&node, CLASS).await;
    assert_eq!(ask(&mut asking, 1, request("1.9", &["1.2.3".to_owned()])).await, Status::SUCCESS);
    asking.conversation.release().await;
    let mut later = Asking::associate(&node, CLASS).await;
    assert_eq!(hear_report(&mut later).await, (Some(2), vec![("1.2.3".to_owned(), 0x0112)]));
    // It was told, and is not told again.
    let silent = tokio::time::timeout(Duration::from_millis(700), later.conversation.take_in()).await;
    assert!(silent.is_err() && !matches!(later.conversation.next(), Some(Incoming::Message(_))));
    later.conversation.release().await;
}

#[tokio::test]
async fn a_destination_reports_without_a_grant_and_asks_for_nothing() {
    use super::super::command::Command;
    use super::super::encoding;
    use super::super::requesting::{Proposal, Requested};
    let node = Node::start(&[]).await;
    let roles = dicom_ul::pdu::RequestorRoles { scu: true, scp: true };
    let proposals = [Proposal::service(CLASS).with_roles(roles)];
    let mut destination = Requested::associate(&node.peer("PE-NODE"), &proposals).await.expect("an association");
    let (context_id, transfer_syntax) = destination.service(CLASS).expect("the service");
    let data_set = encoding::encode(request("1.2.9", &[]), &transfer_syntax);
    let mut ask = async |command: fn(u16) -> Command| {
        destination.conversation.request(context_id, &data_set, command).await.expect("an answer")
    };
    let (status, comment) = ask(|message_id| Command::event_report(message_id, 1)).await;
    assert_eq!((status, comment.as_str()), (Status::PROCESSING_FAILURE, "the node did not ask for this transaction"));
    let action = |message_id| Command { operation: Operation::Action, ..Command::event_report(message_id, 1) };
    assert_eq!(ask(action).await.0, Status::UNRECOGNIZED_OPERATION);
}

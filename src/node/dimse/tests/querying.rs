//! C-FIND, C-MOVE and C-GET.

use super::asking::{Asking, keys, peer_with};
use super::*;
use crate::dicom::elements;
use crate::node::dimse::command::{Details, Operation, SubOperations};

const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
const NOWHERE: &str = "127.0.0.1:9";

/// A node with two slices, and their files.
async fn node_with_slices(overrides: &[&str]) -> Node {
    let node = Node::start(overrides).await;
    let slices: Vec<Outgoing> = (1..=2)
        .map(|number| write(slice(number), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file(&number.to_string())))
        .collect();
    assert_eq!(node.send(&slices).await, vec![SendOutcome::Stored(Status::SUCCESS); 2]);
    node
}

fn at_level(level: &str, more: &[(dicom_core::Tag, VR, &str)]) -> InMemDicomObject {
    keys(&[&[(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level)], more].concat())
}

#[tokio::test]
async fn a_query_is_answered_match_by_match_with_what_was_asked_for() {
    let node = node_with_slices(&[peer_with(NOWHERE).as_str()]).await;
    let mut asking = Asking::associate(&node, FIND).await;
    let asked = [
        (tags::STUDY_INSTANCE_UID, VR::UI, STUDY),
        (tags::SERIES_INSTANCE_UID, VR::UI, ""),
        (tags::NUMBER_OF_SERIES_RELATED_INSTANCES, VR::IS, ""),
    ];
    asking.ask(Operation::Find, 7, Details::default(), at_level("SERIES", &asked)).await;
    let answers = asking.answers().await;
    let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [Status::PENDING, Status::SUCCESS]);
    let series = answers[0].data_set.as_ref().expect("a match");
    assert_eq!(elements::text(series, tags::SERIES_INSTANCE_UID).as_deref(), Some(SERIES));
    assert_eq!(elements::integer(series, tags::NUMBER_OF_SERIES_RELATED_INSTANCES), Some(2));
    assert!(series.get(tags::MODALITY).is_none(), "nobody asked for it");

    asking
        .ask(Operation::Find, 8, Details::default(), at_level("IMAGE", &[(tags::SOP_INSTANCE_UID, VR::UI, "")]))
        .await;
    asking.ask(Operation::Cancel, 8, Details::default(), InMemDicomObject::new_empty()).await;
    let last = asking.answers().await.pop().expect("an end");
    // The end of two matches may come before the cancellation.
    assert!([Status::CANCELLED, Status::SUCCESS].contains(&last.status), "{last:?}");

    asking.ask(Operation::Find, 9, Details::default(), at_level("SLICE", &[])).await;
    let statuses: Vec<Status> = asking.answers().await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [Status::DOES_NOT_MATCH]);
    asking.conversation.release().await;
}

#[tokio::test]
async fn a_move_goes_to_whom_the_settings_name_and_counts_its_sub_operations() {
    let other = Node::start(&[]).await;
    let node = node_with_slices(&[peer_with(&other.address.to_string()).as_str()]).await;
    let mut asking = Asking::associate(&node, MOVE).await;
    let to = |title: &str| Details { move_destination: Some(title.to_owned()), ..Details::default() };
    let study = at_level("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, STUDY)]);
    asking.ask(Operation::Move, 1, to("STRANGER"), study.clone()).await;
    assert_eq!(asking.answers().await[0].status, Status::UNKNOWN_DESTINATION);

    // The other node's own title is not that of the peer.
    asking.ask(Operation::Move, 2, to("TEST-SCU"), study).await;
    let last = asking.answers().await.pop().expect("an end");
    let failed = SubOperations { remaining: None, completed: 0, failed: 2, warning: 0 };
    assert_eq!((last.status, last.counts), (Status::NO_SUB_OPERATION, Some(failed)));
    let list = elements::texts(last.data_set.as_ref().expect("a list"), tags::FAILED_SOP_INSTANCE_UID_LIST);
    assert_eq!(list, [format!("{SERIES}.1"), format!("{SERIES}.2")]);
    asking.conversation.release().await;

    let named = format!(
        "destinations=[{{ name = \"other\", kind = \"dicom\", ae_title = \"PE-NODE\", address = \"{}\" }}]",
        other.address
    );
    let node = node_with_slices(&[peer_with(NOWHERE).as_str(), named.as_str()]).await;
    let mut asking = Asking::associate(&node, MOVE).await;
    let instance = [
        (tags::STUDY_INSTANCE_UID, VR::UI, STUDY),
        (tags::SERIES_INSTANCE_UID, VR::UI, SERIES),
        (tags::SOP_INSTANCE_UID, VR::UI, "1.2.826.0.1.1.2"),
    ];
    asking.ask(Operation::Move, 3, to("PE-NODE"), at_level("IMAGE", &instance)).await;
    let answers = asking.answers().await;
    let done = |remaining| SubOperations { remaining, completed: 1, failed: 0, warning: 0 };
    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.counts)).collect();
    assert_eq!(told, [(Status::PENDING, Some(done(Some(0)))), (Status::SUCCESS, Some(done(None)))]);
    assert_eq!(other.stored(STUDY).await, 1);
    asking.conversation.release().await;
}

//! What a person decides on deliveries.

use super::*;
use crate::node::queue::CommitmentReport;

/// A store in which two results are due to "old" and "b"; the settings name "a" and "b".
async fn after_a_renaming() -> (tempfile::TempDir, Archive, Store) {
    let (folder, archive, store) = opened().await;
    let former = store.restarted(rules(&[destination("old", 2), destination("b", 9)], false)).await;
    analyse(&former, 1..=3, 1).await;
    let job = former.claim(at(0)).await.expect("claim").expect("due");
    former.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    let store = restart(&former).await;
    (folder, archive, store)
}

async fn states(store: &Store, destination: &str) -> Vec<(DeliveryState, Option<String>)> {
    let filter = DeliveryFilter { destination: Some(destination.to_owned()), state: None };
    let listed = store.list_deliveries(&filter, 10).await.expect("list");
    listed.into_iter().map(|entry| (entry.delivery.state, entry.delivery.error)).collect()
}

#[tokio::test]
async fn what_is_due_to_a_destination_that_left_the_settings_is_redirected() {
    let (_folder, _archive, store) = after_a_renaming().await;
    assert_eq!(store.counts().await.expect("counts").deliveries["old"][&DeliveryState::Queued], 2);
    assert!(matches!(store.redirect_deliveries("old", "c", at(1)).await, Err(StoreError::Unknown(_))));
    assert_eq!(store.redirect_deliveries("old", "a", at(1)).await.expect("redirected"), 2);
    let redirected = (DeliveryState::Dropped, Some("redirected to a".to_owned()));
    assert_eq!(states(&store, "old").await, [redirected.clone(), redirected]);
    assert_eq!(store.claim_due("a", 10, at(2)).await.expect("claim").len(), 2);
    assert_eq!(store.redirect_deliveries("old", "a", at(3)).await.expect("a repetition"), 0);
}

#[tokio::test]
async fn what_is_redirected_to_where_it_had_failed_or_was_dropped_is_due_there_again() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    let due = store.claim_due("b", 10, at(1)).await.expect("claim");
    let down = DeliveryFailure::Destination("no route".to_owned());
    assert_eq!(store.delivery_failed(&due[0], &down, at(9000)).await.expect("failed"), DeliveryState::Failed);
    store.release_delivery(&due[1], at(9000)).await.expect("release");
    assert_eq!(store.redirect_deliveries("a", "b", at(9001)).await.expect("redirected"), 1, "the other one is due");
    assert_eq!(store.claim_due("b", 10, at(9002)).await.expect("claim").len(), 2);
    // Back again: both were dropped there.
    assert_eq!(store.redirect_deliveries("b", "a", at(9003)).await.expect("redirected"), 0, "they are on their way");
    for delivery in &due {
        store.release_delivery(delivery, at(9004)).await.expect("release");
    }
    assert_eq!(store.redirect_deliveries("b", "a", at(9005)).await.expect("redirected"), 2);
    assert_eq!(store.claim_due("a", 10, at(9006)).await.expect("claim").len(), 2);
}

#[tokio::test]
async fn what_is_due_to_a_destination_is_dropped_and_stays_listed() {
    let (_folder, _archive, store) = after_a_renaming().await;
    assert_eq!(store.drop_deliveries("old", at(1)).await.expect("dropped"), 2);
    assert_eq!(states(&store, "old").await[0], (DeliveryState::Dropped, Some("dropped by a person".to_owned())));
    assert_eq!(states(&store, "b").await[0].0, DeliveryState::Queued);
    assert_eq!(store.retry_deliveries(None, at(2)).await.expect("retry"), 0, "what was dropped stays so");
    let all = store.list_deliveries(&DeliveryFilter::default(), 3).await.expect("list");
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn what_a_destination_does_not_commit_to_keep_is_a_failed_delivery() {
    let (_folder, archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    let due = store.claim_due("a", 10, at(1)).await.expect("claim");
    for delivery in &due {
        // The index knows the class of what was sent.
        let identity =
            (dicom_dictionary_std::tags::SOP_INSTANCE_UID, dicom_core::VR::UI, delivery.sop_instance_uid.as_str());
        let object = slice(STUDY, delivery.series.series_instance_uid.as_str(), 1, &[identity]);
        archive.store(object).await.expect("store");
        let warned = Confirmation::remarkable("stored with warning 0xB007".to_owned());
        store.delivered(delivery, &warned, at(2)).await.expect("delivered");
    }
    let asked = store.uncommitted("a", at(0), 10).await.expect("uncommitted");
    assert_eq!(asked.len(), 2);
    let transaction_uid = uid("2.25.7");
    store.commitment_asked("a", &transaction_uid, &asked, at(3)).await.expect("asked");
    assert!(store.uncommitted("a", at(3), 10).await.expect("uncommitted").is_empty(), "the report is awaited");
    assert_eq!(store.uncommitted("a", at(4), 10).await.expect("uncommitted").len(), 2, "for so long");
    let [kept, lost] = [&asked[0], &asked[1]].map(|object| object.sop_instance_uid.clone());
    let report = CommitmentReport { transaction_uid, committed: vec![kept], failed: vec![(lost, 0x0112)] };
    assert!(store.commitment_reported(&report, at(5)).await.expect("reported"));
    let unknown = CommitmentReport { transaction_uid: uid("2.25.8"), ..report };
    assert!(!store.commitment_reported(&unknown, at(5)).await.expect("reported"));
    let listed = store.deliveries(&job.id).await.expect("deliveries");
    let of_a = |state| listed.iter().find(|view| view.destination == "a" && view.state == state).expect("one");
    let kept = of_a(DeliveryState::Delivered);
    assert_eq!((kept.committed_at, kept.remark.as_deref()), (Some(at(5)), Some("stored with warning 0xB007")));
    let failed = of_a(DeliveryState::Failed);
    assert!(failed.error.as_deref().is_some_and(|error| error.contains("0x0112")), "{failed:?}");
}

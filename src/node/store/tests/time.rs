//! What waits while the time of day is set.

use super::*;

const HOURS: SignedDuration = SignedDuration::from_hours(2);

/// A store with a finished job; its deliveries to "a" are due.
async fn with_deliveries() -> (tempfile::TempDir, Archive, Store) {
    let (folder, archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(store.now()).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], store.now()).await.expect("finish");
    (folder, archive, store)
}

/// How long until the next delivery to "a".
async fn wait(store: &Store) -> SignedDuration {
    store.next_delivery_due("a").await.expect("due").expect("one").duration_since(store.now())
}

#[tokio::test]
async fn a_clock_that_is_set_moves_due_times_along() {
    let (_folder, _archive, store) = with_deliveries().await;
    let refused = DeliveryFailure::Object("refused".to_owned());
    for delivery in store.claim_due("a", 10, store.now()).await.expect("claim") {
        store.delivery_failed(&delivery, &refused, store.now()).await.expect("failed");
    }
    let before = store.now();
    for time_of_day in [before - HOURS, before + HOURS] {
        store.follow(time_of_day).await.expect("followed");
        assert!((store.now().duration_since(time_of_day)).abs() < SignedDuration::from_secs(2));
        let wait = wait(&store).await;
        assert!(wait > SignedDuration::ZERO && wait <= SignedDuration::from_secs(5), "{wait}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_forward_ends_no_outage_and_no_lease() {
    let (_folder, archive, store) = with_deliveries().await;
    let series = SeriesId::new(uid(STUDY), uid("1.1.2"));
    archive.store(slice(STUDY, "1.1.2", 1, &[])).await.expect("store");
    store.decide(&series, 1, &Selection::Analyse(members(1..=1)), store.now()).await.expect("decide");
    let job = store.claim(store.now()).await.expect("claim").expect("due");
    let due = store.claim_due("a", 1, store.now()).await.expect("claim");
    store.follow(store.now() + HOURS * 2).await.expect("followed");
    let down = DeliveryFailure::Destination("no route".to_owned());
    let state = store.delivery_failed(&due[0], &down, store.now()).await.expect("failed");
    assert_eq!(state, DeliveryState::Retrying, "the destination is given up after two hours, not at once");
    assert_eq!(store.claim(store.now()).await.expect("claim"), None);
    let view = store.job(&job.id).await.expect("job").expect("known");
    assert_eq!((view.state, view.error), (JobState::Running, None), "the lease holds");
}

#[tokio::test]
async fn what_was_written_before_the_clock_was_set_back_is_due_at_the_next_start() {
    let (_folder, _archive, store) = with_deliveries().await;
    let ahead = store.now() + HOURS / 2;
    let down = DeliveryFailure::Destination("no route".to_owned());
    for delivery in store.claim_due("a", 10, ahead).await.expect("claim") {
        store.delivery_failed(&delivery, &down, ahead).await.expect("failed");
    }
    assert!(wait(&store).await > HOURS / 2);
    let store = restart(&store).await;
    assert_eq!(store.claim_due("a", 10, store.now()).await.expect("claim").len(), 2);
}

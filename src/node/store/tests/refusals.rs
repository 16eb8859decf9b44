//! What the rules do not allow, and rows that this program cannot have written, are errors in every build and change
//! nothing.

use super::*;
use crate::node::archive::testing::storage;

/// Writes into the tables past all rules.
async fn tamper(store: &Store, sql: &'static str) {
    let mut change = store.database.begin().await.expect("begin");
    let written = sqlx::query(sql).execute(&mut *change).await.expect("tamper");
    change.commit().await.expect("commit");
    assert!(written.rows_affected() > 0);
}

async fn analysed(store: &Store) -> crate::node::queue::Job {
    analyse(store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    job
}

#[tokio::test]
async fn a_job_cannot_skip_a_state() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    tamper(&store, "UPDATE jobs SET state = 'failed'").await;
    let error = store.finish(&job, &summary(false), &[], at(1)).await.expect_err("it is not running");
    assert_eq!(error.to_string(), format!("job {} cannot be recorded as analysed: it is failed", job.id));
    let series = state(&store).await;
    assert_eq!((series.state, series.results.len()), (SeriesProgress::Job(JobState::Failed), 0));
    store.retry(&job.id, at(2)).await.expect("a failed job may be queued");
}

#[tokio::test]
async fn a_delivery_cannot_skip_a_state() {
    let (_folder, _archive, store) = opened().await;
    analysed(&store).await;
    let due = store.claim_due("a", 1, at(1)).await.expect("claim");
    store.release_delivery(&due[0], at(2)).await.expect("release");
    let error = store.delivered(&due[0], &Confirmation::default(), at(3)).await.expect_err("nobody is sending it");
    assert!(matches!(error, StoreError::Delivery { .. }) && error.is_refusal(), "{error}");
    assert_eq!(store.counts().await.expect("counts").deliveries["a"][&DeliveryState::Queued], 2);
}

#[tokio::test]
async fn a_job_whose_end_is_refused_keeps_its_lease_and_can_be_recorded_as_failed() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    let rename = async |statement| {
        let mut change = store.database.begin().await.expect("begin");
        sqlx::query(statement).execute(&mut *change).await.expect("rename");
        change.commit().await.expect("commit");
    };
    rename("ALTER TABLE results RENAME TO away").await;
    let error = store.finish(&job, &summary(false), &[], at(1)).await.expect_err("no table");
    rename("ALTER TABLE away RENAME TO results").await;
    assert_eq!(store.attempt_failed(&job, &error.to_string(), at(1)).await.expect("failed"), JobState::Queued);
    assert_eq!(store.claim(at(9)).await.expect("claim").expect("due").attempts, 2, "at once, not when the lease ends");
}

#[tokio::test]
async fn only_the_holder_of_the_lease_ends_an_attempt() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    tamper(&store, "UPDATE jobs SET lease_run = 'somebody else'").await;
    let error = store.finish(&job, &summary(false), &[], at(1)).await.expect_err("void");
    assert!(matches!(error, StoreError::LeaseVoid(_)), "{error}");
}

#[tokio::test]
async fn an_unknown_state_of_a_job_is_an_error() {
    let (folder, _archive, store) = opened().await;
    let job = analysed(&store).await;
    tamper(&store, "UPDATE jobs SET state = 'paused'").await;
    let reader = StoreReader::open(&storage(folder.path())).await.expect("reader");
    let errors = [
        store.study(&uid(STUDY)).await.expect_err("study"),
        store.jobs(9).await.expect_err("jobs"),
        store.job(&job.id).await.expect_err("job"),
        store.counts().await.expect_err("counts"),
        store.retry(&job.id, at(2)).await.expect_err("retry"),
        reader.held_series(&uid(STUDY)).await.expect_err("holdings"),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Row { column: "state", .. }), "{error}");
        assert!(error.to_string().contains("`paused`"), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_state_of_a_delivery_is_an_error() {
    let (_folder, _archive, store) = opened().await;
    let job = analysed(&store).await;
    let due = store.claim_due("a", 1, at(1)).await.expect("claim");
    tamper(&store, "UPDATE deliveries SET state = 'lost'").await;
    let errors = [
        store.deliveries(&job.id).await.expect_err("deliveries"),
        store.counts().await.expect_err("counts"),
        store.delivered(&due[0], &Confirmation::default(), at(2)).await.expect_err("delivered"),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Row { column: "state", .. }), "{error}");
    }
}

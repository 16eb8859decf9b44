//! Opening: folders of earlier and later versions, and of another process.

use std::path::Path;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::engine::analyse::findings::Decision;
use crate::node::archive::testing::storage;

/// What the program wrote when its tables had version 3.
const VERSION_3: &str = include_str!("../../../../fixtures/store/index-0003.sql");
const ANALYSED: &str = "2.25.295189712360538800477508941068926452514";
const INTERRUPTED: &str = "2.25.289932440815809250966785350056047789058";

async fn connect(path: &Path) -> SqlitePool {
    // A dump lists rows before the rows that they refer to.
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    SqlitePool::connect_with(options).await.expect("connect")
}

/// A folder with the database of a dump.
async fn folder_of(dump: &'static str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    let database = connect(&folder.path().join("index.sqlite")).await;
    sqlx::raw_sql(dump).execute(&database).await.expect("dump");
    database.close().await;
    folder
}

async fn only_series(store: &Store, study: &str) -> SeriesView {
    let study = store.study(&uid(study)).await.expect("study").expect("known");
    study.series.into_iter().next().expect("series")
}

#[tokio::test]
async fn a_data_folder_of_an_earlier_version_opens_and_is_copied_first() {
    let folder = folder_of(VERSION_3).await;
    let store = Store::open(&storage(folder.path()), two_destinations()).await.expect("open");

    let analysed = only_series(&store, ANALYSED).await;
    assert_eq!(analysed.state, SeriesProgress::Job(JobState::Analysed));
    let summary = analysed.summary().expect("ended");
    assert_eq!((summary.decision(), analysed.results.len()), (Some(Decision::Present), 4));
    assert_eq!(summary.probability().map(Probability::value), Some(0.954_200_385_555_696_8));
    assert_eq!(summary.models().last().map(|model| model.package.name.as_str()), Some("embolism"));
    let shadow = analysed.shadow[0].summary.as_ref().expect("predicted");
    assert_eq!(shadow.decision(), Some(Decision::Absent));
    let states: Vec<_> = analysed.deliveries.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Failed; 4], "they were given up");
    let rejected = only_series(&store, "1.2.3.4.5").await;
    assert_eq!(rejected.state, SeriesProgress::Job(JobState::Rejected));
    assert_eq!(rejected.summary().expect("ended").reasons(), [Reason::WrongModality]);
    let interrupted = only_series(&store, INTERRUPTED).await;
    assert_eq!(interrupted.state, SeriesProgress::Job(JobState::Queued), "the node was killed");
    let job = store.claim(Timestamp::now()).await.expect("claim").expect("due");
    assert_eq!((job.series.study_instance_uid.as_str(), job.refused.len()), (INTERRUPTED, 0), "nobody noted refusals");
    assert_eq!(store.retry_deliveries(None, Timestamp::now()).await.expect("retry"), 4);
    assert_eq!(store.comparisons(9).await.expect("comparisons").len(), 1);

    for column in
        ["studies WHERE description_folded", "series WHERE description_folded", "series WHERE study_received_at"]
    {
        let statement = format!("SELECT COUNT(*) FROM {column} IS NULL");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(store.readers()).await;
        let missing: i64 = count.expect("count");
        assert_eq!(missing, 0, "{column}");
    }

    let copy = connect(&folder.path().join("index.sqlite.before-0013")).await;
    let version: i64 =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&copy).await.expect("version");
    let dead: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM deliveries WHERE state = 'dead-letter'")
        .fetch_one(&copy)
        .await
        .expect("deliveries");
    assert_eq!((version, dead), (3, 4), "the copy is as the folder was");
}

#[tokio::test]
async fn nothing_is_copied_where_the_tables_stay_as_they_are() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for _ in 0..2 {
        let store = Store::open(&storage(folder.path()), two_destinations()).await.expect("open");
        store.close().await;
    }
    let names = std::fs::read_dir(folder.path()).expect("list").map(|entry| entry.expect("entry").file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("before")));
}

#[tokio::test]
async fn tables_of_a_later_version_are_left_alone() {
    let folder = folder_of(VERSION_3).await;
    let database = connect(&folder.path().join("index.sqlite")).await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 77 WHERE version = 3").execute(&database).await.expect("later");
    database.close().await;
    let error = Store::open(&storage(folder.path()), two_destinations()).await.expect_err("a later version");
    assert!(matches!(error, StoreError::Version { found: 77, .. }), "{error}");
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_ends() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&storage(folder.path()), two_destinations()).await.expect("open");
    let second = Store::open(&storage(folder.path()), two_destinations()).await;
    assert!(matches!(second, Err(StoreError::InUse(_))));
    drop(store);
    assert!(Store::open(&storage(folder.path()), two_destinations()).await.is_ok());
}

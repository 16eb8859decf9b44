mod dispositions;
mod issues;
mod opening;
mod refusals;
mod refused_objects;
mod time;
mod versions;
mod visibility;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::config::{DestinationConfig, DicomDestination, Transport};
use crate::dicom::{AeTitle, Member, SeriesId};
use crate::engine::analyse::findings::Probability;
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference, Stage, testing};
use crate::engine::volume::{Reason, Rejection};
use crate::node::archive::Archive;
use crate::node::archive::testing::{archive, rules, slice, uid};
use crate::node::queue::{
    Confirmation, DeliveryFailure, DeliveryState, IllegalTransition, JobId, JobState, Rules, Selection,
};

const STUDY: &str = "1.1";
const SERIES: &str = "1.1.1";

fn series() -> SeriesId {
    SeriesId::new(uid(STUDY), uid(SERIES))
}

fn destination(name: &str, attempts: u32) -> DestinationConfig {
    let title = AeTitle::parse("PACS").expect("title");
    let transport = Transport::Dicom(DicomDestination::new("127.0.0.1:104".to_owned(), title));
    DestinationConfig { name: name.to_owned(), attempts, give_up_after_hours: 2, rejection_notes: false, transport }
}

fn two_destinations() -> Rules {
    rules(&[destination("a", 2), destination("b", 9)], false)
}

/// Another run of the node on the same folder.
async fn restart(store: &Store) -> Store {
    store.restarted(two_destinations()).await
}

async fn opened() -> (tempfile::TempDir, Archive, Store) {
    let (folder, archive) = archive().await;
    archive.store(slice(STUDY, SERIES, 1, &[])).await.expect("store");
    let store = archive.index().restarted(two_destinations()).await;
    (folder, archive, store)
}

fn members(numbers: std::ops::RangeInclusive<u16>) -> Vec<Member> {
    numbers.map(|number| (uid(&format!("{SERIES}.{number}")), format!("{number:064}"))).collect()
}

async fn analyse(store: &Store, numbers: std::ops::RangeInclusive<u16>, revision: i64) -> JobId {
    let selection = Selection::Analyse(members(numbers));
    let job = store.decide(&series(), revision, &selection, at(0)).await.expect("decide");
    job.expect("a job")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("time") + SignedDuration::from_secs(seconds)
}

fn summary(demonstration: bool) -> AnalysisSummary {
    let result = |kind, last: &str| ResultReference {
        kind,
        series_instance_uid: uid(&format!("2.25.{last}")),
        sop_instance_uid: uid(&format!("2.25.{last}.1")),
    };
    let analysed = testing::analysed(|summary| {
        summary.demonstration = demonstration;
        summary.results = vec![result(ResultKind::Sr, "1"), result(ResultKind::Seg, "2")];
    });
    let timings = [(Stage::Read, 7), (Stage::Lungs, 5)].map(|(stage, time)| (stage, Duration::from_millis(time)));
    AnalysisSummary { timings: timings.into_iter().collect(), ..analysed }
}

async fn state(store: &Store) -> SeriesView {
    let study = store.study(&uid(STUDY)).await.expect("study").expect("known");
    study.series.into_iter().next().expect("series")
}

#[tokio::test]
async fn the_same_instances_make_one_job_however_often_they_are_decided_on() {
    let (_folder, _archive, store) = opened().await;
    assert_eq!(state(&store).await.state, SeriesProgress::Receiving);
    let job = analyse(&store, 1..=3, 1).await;
    assert_eq!(analyse(&store, 1..=3, 1).await, job);
    assert_eq!(store.jobs(10).await.expect("jobs").len(), 1);
    assert_eq!(state(&store).await.state, SeriesProgress::Job(JobState::Queued));
    let claimed = store.claim(at(1)).await.expect("claim").expect("due");
    assert_eq!((claimed.id, claimed.instances.len(), claimed.attempts), (job.clone(), 3, 1));
    assert_eq!(store.claim(at(1)).await.expect("claim"), None);
    // A restart in the middle, and the series decided on once more.
    let store = restart(&store).await;
    assert_eq!(analyse(&store, 1..=3, 1).await, job);
    let again = store.claim(at(2)).await.expect("claim").expect("due");
    assert_eq!(again.created_at, at(0), "the time that results carry");
}

#[tokio::test]
async fn a_finished_job_has_its_results_and_is_delivered_to_every_destination_once() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(1)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(2)).await.expect("finish");
    store.finish(&job, &summary(false), &[], at(3)).await.expect("a repetition is harmless");
    let series = state(&restart(&store).await).await;
    assert_eq!(series.state, SeriesProgress::Job(JobState::Analysed));
    assert_eq!(series.summary().and_then(AnalysisSummary::probability).map(Probability::value), Some(0.25));
    assert_eq!(series.results.iter().map(|result| result.kind).collect::<Vec<_>>(), [ResultKind::Sr, ResultKind::Seg]);
    assert_eq!(series.deliveries.len(), 4);
    let json = serde_json::to_value(&series).expect("JSON");
    assert_eq!(json["state"], "analysed");
    assert_eq!(json["decision"], "absent");
    assert_eq!(json["timings_ms"]["read"], 7);
    assert_eq!(json["deliveries"][0]["state"], "queued");
    let error = store.attempt_failed(&job, "late", at(4)).await.expect_err("it is final");
    assert!(
        matches!(error, StoreError::Job { source: IllegalTransition { state: JobState::Analysed, .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_demonstration_package_made_is_delivered_only_by_permission() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(1)).await.expect("claim").expect("due");
    store.finish(&job, &summary(true), &[], at(2)).await.expect("finish");
    assert!(state(&store).await.deliveries.is_empty());
    let allowed = store.restarted(rules(&[destination("a", 2)], true)).await;
    analyse(&allowed, 1..=4, 2).await;
    let job = allowed.claim(at(3)).await.expect("claim").expect("due");
    allowed.finish(&job, &summary(true), &[], at(4)).await.expect("finish");
    assert_eq!(state(&allowed).await.deliveries.len(), 2);
}

#[tokio::test]
async fn attempts_are_counted_paused_and_end_in_failed() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(1)).await.expect("claim").expect("due");
    assert_eq!(store.attempt_failed(&job, "it crashed", at(2)).await.expect("failed"), JobState::Queued);
    assert_eq!(store.claim(at(3)).await.expect("claim"), None, "a pause comes first");
    assert_eq!(store.next_due().await.expect("due"), Some(at(4)));
    let job = store.claim(at(4)).await.expect("claim").expect("due");
    assert_eq!(store.attempt_failed(&job, "it crashed again", at(5)).await.expect("failed"), JobState::Failed);
    let series = state(&store).await;
    assert_eq!(series.state, SeriesProgress::Job(JobState::Failed));
    assert_eq!((series.attempts, series.error.as_deref()), (2, Some("it crashed again")));
    assert_eq!(store.claim(at(1000)).await.expect("claim"), None);
}

#[tokio::test]
async fn a_lease_of_another_run_is_void_and_the_end_of_the_node_costs_no_attempt() {
    let (_folder, _archive, first) = opened().await;
    analyse(&first, 1..=3, 1).await;
    let mut void = first.claim(at(1)).await.expect("claim").expect("due");
    let mut store = first;
    for _ in 0..5 {
        store = restart(&store).await;
        let error = store.finish(&void, &summary(false), &[], at(2)).await.expect_err("void lease");
        assert!(
            matches!(error, StoreError::Job { source: IllegalTransition { state: JobState::Queued, .. }, .. }),
            "{error}"
        );
        void = store.claim(at(2)).await.expect("claim").expect("due again");
    }
    assert_eq!(void.attempts, 6);
    assert_eq!(store.attempt_failed(&void, "it crashed", at(3)).await.expect("failed"), JobState::Queued);
    let job = store.claim(at(100)).await.expect("claim").expect("due");
    store.release(&job, at(101)).await.expect("release");
    store.release(&job, at(101)).await.expect("a repetition is harmless");
    let job = store.claim(at(102)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(103)).await.expect("finish");
}

#[tokio::test]
async fn a_lease_that_ran_out_is_a_failed_attempt() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    assert_eq!(store.claim(at(159)).await.expect("claim"), None);
    assert_eq!(store.claim(at(161)).await.expect("claim"), None, "requeued, and paused");
    assert_eq!(store.claim(at(163)).await.expect("claim").expect("due").id, job.id);
}

#[tokio::test]
async fn late_slices_make_a_new_version_and_drop_a_job_that_has_not_begun() {
    let (_folder, archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let second = analyse(&store, 1..=4, 2).await;
    assert_eq!(store.jobs(10).await.expect("jobs").len(), 1);
    let job = store.claim(at(1)).await.expect("claim").expect("due");
    assert_eq!(job.id, second);
    store.finish(&job, &summary(false), &[], at(2)).await.expect("finish");
    archive.store(slice(STUDY, SERIES, 2, &[])).await.expect("store");
    archive.store(slice(STUDY, SERIES, 3, &[])).await.expect("store");
    assert_eq!(state(&store).await.state, SeriesProgress::Receiving);
    analyse(&store, 1..=5, 3).await;
    assert_eq!(state(&store).await.state, SeriesProgress::Job(JobState::Queued));
    let mut versions: Vec<u32> = store.jobs(10).await.expect("jobs").iter().map(|job| job.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3], "the first never began");
}

#[tokio::test]
async fn an_outdated_job_does_not_run_again() {
    let (_folder, _archive, store) = opened().await;
    // It fails while more slices come: the next attempt is that of its successor.
    analyse(&store, 1..=3, 1).await;
    let first = store.claim(at(1)).await.expect("claim").expect("due");
    let second = analyse(&store, 1..=4, 2).await;
    assert_eq!(store.attempt_failed(&first, "it crashed", at(2)).await.expect("failed"), JobState::Queued);
    let job = store.claim(at(100)).await.expect("claim").expect("due");
    assert_eq!(job.id, second);
}

#[tokio::test]
async fn a_later_job_of_a_series_knows_the_report_it_replaces() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let first = store.claim(at(1)).await.expect("claim").expect("due");
    store.finish(&first, &summary(false), &[], at(2)).await.expect("finish");
    analyse(&store, 1..=4, 2).await;
    let second = store.claim(at(3)).await.expect("claim").expect("due");
    assert_eq!(second.predecessor.as_ref(), Some(&summary(false).results()[0]));
}

#[tokio::test]
async fn a_postponed_attempt_does_not_count() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    for round in 0..9 {
        let job = store.claim(at(1 + 60 * round)).await.expect("claim").expect("due");
        assert_eq!(job.attempts, 1);
        store.postpone(&job, "the archive is full", at(1 + 60 * round)).await.expect("postpone");
        assert_eq!(store.claim(at(60 * (round + 1))).await.expect("claim"), None, "a pause comes first");
    }
    assert_eq!(state(&store).await.error.as_deref(), Some("the archive is full"));
}

#[tokio::test]
async fn a_rejected_series_shows_its_reasons_and_an_ignored_one_nothing() {
    let (_folder, _archive, store) = opened().await;
    let why = Rejection { reason: Reason::WrongModality, explanation: "MR".to_owned() };
    let selection = Selection::Reject(members(1..=1), vec![why]);
    store.decide(&series(), 1, &selection, at(0)).await.expect("decide");
    let json = serde_json::to_value(state(&store).await).expect("JSON");
    assert_eq!((&json["state"], &json["reasons"][0]), (&"rejected".into(), &"wrong-modality".into()));
    assert_eq!(store.claim(at(1)).await.expect("claim"), None);

    let (_folder, _archive, store) = opened().await;
    store.decide(&series(), 1, &Selection::Ignore, at(0)).await.expect("decide");
    assert!(store.study(&uid(STUDY)).await.expect("study").expect("known").series.is_empty());
    assert!(store.study(&uid("9.9")).await.expect("study").is_none());
}

#[tokio::test]
async fn an_outage_of_a_destination_costs_no_attempt_until_patience_ends() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    let down = DeliveryFailure::Destination("no route".to_owned());
    let mut now = 1;
    for _ in 0..20 {
        let due = store.claim_due("a", 1, at(now)).await.expect("claim");
        assert_eq!(due[0].attempts, 1);
        assert_eq!(store.delivery_failed(&due[0], &down, at(now)).await.expect("failed"), DeliveryState::Retrying);
        now += 300;
    }
    // It fails after two hours; retried by hand, it has two hours again.
    let due = store.claim_due("a", 1, at(7300)).await.expect("claim");
    assert_eq!(store.delivery_failed(&due[0], &down, at(7300)).await.expect("failed"), DeliveryState::Failed);
    assert_eq!(store.retry_deliveries(None, at(7400)).await.expect("retry"), 1);
    let due = store.claim_due("a", 2, at(7400)).await.expect("claim");
    let again = due.iter().find(|one| one.pending_since == at(7400)).expect("the one to retry");
    assert_eq!(store.delivery_failed(again, &down, at(7500)).await.expect("failed"), DeliveryState::Retrying);
}

#[tokio::test]
async fn a_loop_that_ended_by_a_fault_leaves_nothing_on_its_way() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");
    assert_eq!(store.claim_due("a", 10, at(1)).await.expect("claim").len(), 2);
    assert_eq!(store.claim_due("b", 10, at(1)).await.expect("claim").len(), 2);
    store.requeue_abandoned_deliveries("a", at(2)).await.expect("requeue");
    assert_eq!(store.claim_due("a", 10, at(100)).await.expect("claim").len(), 2);
    assert!(store.claim_due("b", 10, at(100)).await.expect("claim").is_empty(), "on its way in another loop");
}

#[tokio::test]
async fn a_failed_job_is_queued_again_by_hand_and_no_other() {
    let (_folder, _archive, store) = opened().await;
    let id = analyse(&store, 1..=3, 1).await;
    assert!(matches!(store.retry(&id, at(0)).await, Err(StoreError::Job { .. })));
    assert!(matches!(store.retry(&JobId::from_text("none"), at(0)).await, Err(StoreError::Unknown(_))));
    for second in [1, 100] {
        let job = store.claim(at(second)).await.expect("claim").expect("due");
        store.attempt_failed(&job, "it crashed", at(second)).await.expect("failed");
    }
    assert_eq!(store.claim(at(1000)).await.expect("claim"), None);
    store.retry(&id, at(1000)).await.expect("retry");
    assert_eq!(store.claim(at(1000)).await.expect("claim").expect("due").attempts, 1);
}

#[tokio::test]
async fn deliveries_retry_with_pauses_and_end_as_failed() {
    let (_folder, _archive, store) = opened().await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    store.finish(&job, &summary(false), &[], at(0)).await.expect("finish");

    let due = store.claim_due("a", 10, at(1)).await.expect("claim");
    assert_eq!(due.iter().map(|one| one.kind.name()).collect::<Vec<_>>(), ["sr", "seg"]);
    assert!(store.claim_due("a", 10, at(1)).await.expect("claim").is_empty());
    store.delivered(&due[0], &Confirmation::default(), at(2)).await.expect("delivered");
    let refused = DeliveryFailure::Object("refused".to_owned());
    assert_eq!(store.delivery_failed(&due[1], &refused, at(2)).await.expect("failed"), DeliveryState::Retrying);
    assert_eq!(store.next_delivery_due("a").await.expect("due"), Some(at(7)));
    assert!(store.claim_due("a", 10, at(6)).await.expect("claim").is_empty());
    let again = store.claim_due("a", 10, at(7)).await.expect("claim");
    assert_eq!(again[0].attempts, 2);
    assert_eq!(store.delivery_failed(&again[0], &refused, at(8)).await.expect("failed"), DeliveryState::Failed);
    assert_eq!(store.next_delivery_due("a").await.expect("due"), None);
    assert_eq!(store.retry_deliveries(Some("a"), at(9)).await.expect("retry"), 1);

    // On its way when the node ends: sent again, and what was delivered is not.
    let moving = store.claim_due("a", 10, at(9)).await.expect("claim");
    let store = restart(&store).await;
    let released = store.claim_due("a", 10, at(10)).await.expect("claim");
    assert_eq!(released, moving);
    store.release_delivery(&released[0], at(11)).await.expect("released");
    let counts = store.counts().await.expect("counts");
    assert_eq!(counts.deliveries["a"][&DeliveryState::Delivered], 1);
    assert_eq!(counts.deliveries["a"][&DeliveryState::Queued], 1);
    assert_eq!(counts.deliveries["b"][&DeliveryState::Queued], 2);
    assert_eq!(counts.jobs[&JobState::Analysed], 1);
}

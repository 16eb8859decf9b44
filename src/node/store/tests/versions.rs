//! Versions of a series: which result counts, and what becomes of the others.

use super::*;
use crate::engine::analyse::findings::Decision;
use crate::engine::volume::{LeftOut, LeftOutKind};
use crate::node::store::SeriesView;

struct Node {
    _folder: tempfile::TempDir,
    archive: Archive,
    store: Store,
}

impl Node {
    async fn new() -> Self {
        let (folder, archive, store) = opened().await;
        Self { _folder: folder, archive, store }
    }

    /// The series has these slices now.
    async fn has(&self, numbers: std::ops::RangeInclusive<u16>) -> JobId {
        analyse(&self.store, numbers, 1).await
    }

    async fn claim(&self) -> crate::node::queue::Job {
        self.store.claim(at(1000)).await.expect("claim").expect("due")
    }

    /// The job ends in a report of this decision; `set` names its objects.
    async fn finds(&self, job: &crate::node::queue::Job, set: u16, decision: Decision) -> Option<ChangedDecision> {
        let mut own = slice(STUDY, &format!("2.25.{set}"), 1, &[]);
        own.origin = Origin::Analysis;
        let report = ResultReference {
            kind: ResultKind::Sr,
            series_instance_uid: uid(&format!("2.25.{set}")),
            sop_instance_uid: uid(&format!("2.25.{set}.1")),
        };
        let known = self.store.known_results(std::slice::from_ref(&report)).await.expect("known");
        let objects = if known.is_empty() { vec![self.archive.keep(own).await.expect("keep")] } else { Vec::new() };
        let mut summary = testing::analysed(|summary| {
            summary.decision = decision;
            summary.results = vec![report];
        });
        if !known.is_empty() {
            let localizer = LeftOut { kind: LeftOutKind::Localizer, images: 1, explanation: "instance 9".to_owned() };
            summary.left_out = vec![localizer];
        }
        self.store.finish(job, &summary, &objects, at(1001)).await.expect("finish")
    }

    async fn rejects(&self, job: &crate::node::queue::Job) {
        let why = Rejection { reason: Reason::MixedPatients, explanation: "1 image names another".to_owned() };
        self.store.finish(job, &testing::rejected(vec![why]), &[], at(1001)).await.expect("finish");
    }

    /// The first version of the series is analysed.
    async fn analysed(decision: Decision) -> Self {
        let node = Self::new().await;
        node.has(1..=3).await;
        node.finds(&node.claim().await, 1, decision).await;
        node
    }

    async fn view(&self) -> SeriesView {
        state(&self.store).await
    }

    /// SOP Instance UIDs of results that a search lists.
    async fn listed(&self) -> Vec<String> {
        let found = self.store.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
        let uids = found.into_iter().map(|instance| instance.sop_instance_uid.to_string());
        uids.filter(|uid| uid.starts_with("2.25")).collect()
    }

    /// What is due to destination `a`.
    async fn due(&self) -> Vec<String> {
        let due = self.store.claim_due("a", 99, at(2000)).await.expect("claim");
        for delivery in &due {
            self.store.release_delivery(delivery, at(2000)).await.expect("release");
        }
        due.into_iter().map(|delivery| delivery.sop_instance_uid.to_string()).collect()
    }
}

fn decision(series: &SeriesView) -> Option<Decision> {
    series.summary().and_then(AnalysisSummary::decision)
}

#[tokio::test]
async fn a_newer_analysed_version_replaces_the_results_of_the_earlier_one() {
    let node = Node::analysed(Decision::Present).await;
    let delivered = node.store.claim_due("b", 1, at(1002)).await.expect("claim");
    node.store.delivered(&delivered[0], &Confirmation::default(), at(1003)).await.expect("delivered");
    node.has(1..=4).await;
    let changed = node.finds(&node.claim().await, 2, Decision::Absent).await;
    assert_eq!(changed, Some(ChangedDecision { earlier: Decision::Present, newer: Decision::Absent }));
    assert_eq!(node.listed().await, ["2.25.2.1"]);
    let former = Scope::Instance(uid(STUDY), uid("2.25.1"), uid("2.25.1.1"));
    assert_eq!(node.store.instances(&former).await.expect("instances").len(), 1, "by its identifier");
    assert_eq!(node.due().await, ["2.25.2.1"]);
    let series = node.view().await;
    assert_eq!((series.version, series.result_version, decision(&series)), (Some(2), Some(2), Some(Decision::Absent)));
    let json = serde_json::to_value(&series).expect("JSON");
    assert_eq!((&json["later"], &json["earlier"][0]["decision"]), (&serde_json::Value::Null, &"present".into()));
    let states: Vec<_> = series.earlier[0].deliveries.iter().map(|one| (one.destination.as_str(), one.state)).collect();
    assert_eq!(states, [("a", DeliveryState::Dropped), ("b", DeliveryState::Delivered)]);
    assert_eq!(series.decided_otherwise().count(), 1);
}

#[tokio::test]
async fn what_was_on_its_way_when_it_was_replaced_is_not_tried_again() {
    let node = Node::analysed(Decision::Present).await;
    let moving = node.store.claim_due("a", 1, at(1002)).await.expect("claim");
    node.has(1..=4).await;
    node.finds(&node.claim().await, 2, Decision::Present).await;
    let refused = DeliveryFailure::Object("refused".to_owned());
    node.store.delivery_failed(&moving[0], &refused, at(1004)).await.expect("failed");
    assert_eq!(node.due().await, ["2.25.2.1"]);
    assert_eq!(node.view().await.decided_otherwise().count(), 0);
}

/// Tried on the running program: the finding was gone from dashboard and API, and still delivered.
#[tokio::test]
async fn one_stray_slice_does_not_hide_a_finding() {
    let node = Node::analysed(Decision::Present).await;
    node.has(1..=4).await;
    node.rejects(&node.claim().await).await;
    let series = node.view().await;
    assert_eq!((series.state, decision(&series)), (SeriesProgress::Job(JobState::Rejected), Some(Decision::Present)));
    assert_eq!((series.version, series.result_version, series.results.len()), (Some(2), Some(1), 1));
    let later = series.later.as_ref().expect("later images").to_string();
    assert_eq!(later, "Later images not analysed: mixed-patients: 1 image names another");
    let json = serde_json::to_value(&series).expect("JSON");
    assert_eq!((&json["state"], &json["reasons"][0]), (&"rejected".into(), &"mixed-patients".into()));
    assert_eq!((&json["decision"], &json["later"]["version"]), (&"present".into(), &2.into()));
    assert_eq!((node.listed().await, node.due().await), (vec!["2.25.1.1".to_owned()], vec!["2.25.1.1".to_owned()]));
}

#[tokio::test]
async fn a_version_that_waits_runs_or_has_failed_replaces_nothing() {
    let node = Node::analysed(Decision::Present).await;
    node.archive.store(slice(STUDY, SERIES, 4, &[])).await.expect("store");
    let mut told = Vec::new();
    let mut tell = async || {
        let series = node.view().await;
        assert_eq!((decision(&series), series.results.len()), (Some(Decision::Present), 1));
        told.push(series.later.expect("later images").explanation);
    };
    tell().await;
    node.store.decide(&series(), 2, &Selection::Analyse(members(1..=4)), at(0)).await.expect("decide");
    tell().await;
    for second in [1000, 2000] {
        let job = node.store.claim(at(second)).await.expect("claim").expect("due");
        tell().await;
        node.store.attempt_failed(&job, "it crashed", at(second)).await.expect("failed");
    }
    tell().await;
    assert_eq!(told, ["receiving", "queued", "running", "running", "failed: it crashed"]);
    assert_eq!(node.due().await, ["2.25.1.1"]);
}

/// The same images are analysed, and something was left out: the results are those that there are.
#[tokio::test]
async fn what_was_left_out_changes_notes_and_no_result() {
    let node = Node::analysed(Decision::Present).await;
    let delivered = node.store.claim_due("a", 1, at(1002)).await.expect("claim");
    node.store.delivered(&delivered[0], &Confirmation::default(), at(1003)).await.expect("delivered");
    let before = node.view().await;
    node.has(1..=4).await;
    assert_eq!(node.finds(&node.claim().await, 1, Decision::Present).await, None);
    let after = node.view().await;
    assert_eq!((&after.results, &after.deliveries), (&before.results, &before.deliveries));
    assert_eq!(after.summary().expect("a summary").left_out.len(), 1);
    assert!(after.earlier.is_empty() && after.later.is_none());
    assert_eq!((node.listed().await, node.due().await), (vec!["2.25.1.1".to_owned()], Vec::new()));
}

/// A stray slice was rejected: the series is what it was before.
#[tokio::test]
async fn a_series_that_is_what_it_was_before_has_the_result_that_it_had() {
    let node = Node::analysed(Decision::Present).await;
    let first = node.has(1..=3).await;
    node.has(1..=4).await;
    node.finds(&node.claim().await, 2, Decision::Absent).await;
    assert_eq!(node.has(1..=3).await, first);
    let series = node.view().await;
    assert_eq!((series.version, series.result_version, decision(&series)), (Some(3), Some(3), Some(Decision::Present)));
    assert_eq!((node.listed().await, node.due().await), (vec!["2.25.1.1".to_owned()], vec!["2.25.1.1".to_owned()]));
    assert_eq!(series.earlier[0].decision, Decision::Absent);
}

#[tokio::test]
async fn a_result_that_is_outdated_when_it_is_made_waits_for_the_newer_version() {
    let node = Node::new().await;
    node.has(1..=3).await;
    let first = node.claim().await;
    node.has(1..=4).await;
    node.finds(&first, 1, Decision::Present).await;
    assert!(node.due().await.is_empty());
    assert_eq!(decision(&node.view().await), Some(Decision::Present), "it is shown");
    node.rejects(&node.claim().await).await;
    assert_eq!(node.due().await, ["2.25.1.1"]);
    node.has(1..=5).await;
    node.finds(&node.claim().await, 3, Decision::Present).await;
    assert_eq!(node.due().await, ["2.25.3.1"]);
}

use super::*;
use crate::config::{Config, DestinationConfig, DicomDestination, Transport};
use crate::dicom::elements::{items, text, uid as uid_of};
use crate::dicom::{AeTitle, Member};
use crate::engine::pipeline::{ResultKind, ResultReference, testing};
use crate::engine::volume::{Reason, Rejection};
use crate::node::archive::testing::{archive, rules, slice, uid};
use crate::node::archive::{Level, Query};
use crate::node::queue::{Confirmation, Job, Selection};
use crate::node::store::SeriesView;
use dicom_dictionary_std::tags;

struct Node {
    _folder: tempfile::TempDir,
    store: Store,
    notices: Notices,
}

impl Node {
    /// A node with a destination that takes rejection notes.
    async fn new(not_analysed: bool) -> Self {
        let (folder, archive) = archive().await;
        let title = AeTitle::parse("PACS").expect("title");
        let destination = DestinationConfig {
            name: "pacs".to_owned(),
            attempts: 3,
            give_up_after_hours: 1,
            rejection_notes: true,
            transport: Transport::Dicom(DicomDestination::new("127.0.0.1:104".to_owned(), title)),
        };
        let store = archive.index().restarted(rules(&[destination], true)).await;
        let config = Config::load(None, std::iter::empty(), &[]).expect("settings");
        let settings = ReportConfig { not_analysed, ..config.report };
        let notices = Notices::new(archive, store.clone(), settings, config.limits);
        Self { _folder: folder, store, notices }
    }

    /// A series of study 1 has so many slices now; its job is claimed.
    async fn job(&self, series: &str, slices: u16) -> Job {
        let mut members: Vec<Member> = Vec::new();
        for number in 1..=slices {
            self.notices.archive.store(slice("1", series, number, &[])).await.expect("store");
            members.push((uid(&format!("{series}.{number}")), format!("{number:064}")));
        }
        let (series, now) = (SeriesId::new(uid("1"), uid(series)), Timestamp::now());
        self.store.decide(&series, i64::from(slices), &Selection::Analyse(members), now).await.expect("decide");
        self.store.claim(now).await.expect("claim").expect("due")
    }

    async fn reject(&self, job: &Job) {
        let why = Rejection { reason: Reason::MissingSlices, explanation: "3 of 120 slices are missing".to_owned() };
        self.store.finish(job, &testing::rejected(vec![why]), &[], Timestamp::now()).await.expect("finish");
    }

    /// The job ends in a report, which is delivered.
    async fn analyse(&self, job: &Job, report: &str) {
        let mut own = slice("1", report, 1, &[]);
        own.origin = Origin::Analysis;
        let unfiled = self.notices.archive.keep(own).await.expect("keep");
        let reference = ResultReference {
            kind: ResultKind::Sr,
            series_instance_uid: uid(report),
            sop_instance_uid: uid(&format!("{report}.1")),
        };
        let summary = testing::analysed(|summary| summary.results = vec![reference]);
        self.store.finish(job, &summary, &[unfiled], Timestamp::now()).await.expect("finish");
    }

    async fn deliver(&self) -> Vec<String> {
        let now = Timestamp::now();
        let due = self.store.claim_due("pacs", 99, now).await.expect("claim");
        for delivery in &due {
            self.store.delivered(delivery, &Confirmation::default(), now).await.expect("delivered");
        }
        due.iter().map(|delivery| delivery.kind.to_string()).collect()
    }

    async fn step(&self) {
        let mut told = BTreeSet::new();
        self.notices.step(&mut told).await.expect("step");
        assert!(told.is_empty(), "{told:?}");
    }

    async fn series(&self, series: &str) -> SeriesView {
        let study = self.store.study(&uid("1")).await.expect("study").expect("known");
        study.series.into_iter().find(|one| one.series_instance_uid == uid(series)).expect("series")
    }

    fn kinds(series: &SeriesView) -> Vec<String> {
        series.results.iter().map(|result| result.kind.to_string()).collect()
    }

    /// The header of a stored object.
    async fn object(&self, result: &ResultReference) -> DataSet {
        let scope = Scope::Instance(uid("1"), result.series_instance_uid.clone(), result.sop_instance_uid.clone());
        let stored = self.notices.archive.instances(&scope).await.expect("instances").remove(0);
        self.notices.header(stored).await.expect("header")
    }
}

#[tokio::test]
async fn an_exam_that_was_rejected_gets_one_page_and_a_later_result_replaces_it() {
    let node = Node::new(true).await;
    node.reject(&node.job("1.1", 3).await).await;
    node.step().await;
    node.step().await;
    let series = node.series("1.1").await;
    assert_eq!(Node::kinds(&series), ["notice"]);
    let page = node.object(&series.results[0]).await;
    assert_eq!(text(&page, tags::PATIENT_NAME).as_deref(), Some("Doe^Jane"));
    let told = text(&page, tags::DERIVATION_DESCRIPTION).expect("a description");
    assert_eq!(told, "No finding was made. missing-slices: 3 of 120 slices are missing");
    assert_eq!(node.deliver().await, ["notice"]);
    // The missing slices come.
    node.analyse(&node.job("1.1", 4).await, "2.25.1").await;
    node.step().await;
    assert_eq!(Node::kinds(&node.series("1.1").await), ["sr"]);
    let query = Query { matching: vec![(tags::MODALITY, "OT".to_owned())], ..Query::default() };
    assert!(node.store.find(Level::Series, &query).await.expect("search").is_empty(), "the page is listed no more");
}

#[tokio::test]
async fn a_study_of_which_something_was_analysed_gets_no_page_for_the_rest_of_it() {
    let node = Node::new(true).await;
    node.reject(&node.job("1.2", 2).await).await;
    let first = node.job("1.1", 3).await;
    node.step().await;
    assert!(node.series("1.2").await.results.is_empty(), "another series of the study is not done");
    node.reject(&first).await;
    node.step().await;
    assert!(node.series("1.2").await.results.is_empty(), "the largest series speaks for the study");
    assert_eq!(Node::kinds(&node.series("1.1").await), ["notice"]);
    node.analyse(&node.job("1.3", 1).await, "2.25.1").await;
    assert!(node.series("1.1").await.results.is_empty(), "the result of another series replaces it");
    // Later images of the series with the result: it is told that they were not analysed.
    node.reject(&node.job("1.3", 2).await).await;
    node.step().await;
    assert_eq!(Node::kinds(&node.series("1.3").await), ["sr", "notice"]);
}

#[tokio::test]
async fn an_exam_that_waits_too_long_is_told_as_overdue() {
    let node = Node::new(true).await;
    node.job("1.1", 3).await;
    let overdue = Some(SignedDuration::from_mins(30));
    let (now, later) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_mins(31));
    assert!(node.store.due_notices(overdue, now).await.expect("due").is_empty());
    assert!(node.store.due_notices(None, later).await.expect("due").is_empty());
    let due = node.store.due_notices(overdue, later).await.expect("due");
    assert_eq!(due[0].cause, report::NotAnalysed::Overdue(30));
    node.notices.tell_not_analysed(&due[0], later).await.expect("told");
    assert!(node.store.due_notices(overdue, later).await.expect("due").is_empty());
    assert_eq!(Node::kinds(&node.series("1.1").await), ["notice"]);
}

#[tokio::test]
async fn a_destination_that_has_both_results_is_told_that_the_old_one_was_replaced() {
    let node = Node::new(false).await;
    node.analyse(&node.job("1.1", 3).await, "2.25.1").await;
    assert_eq!(node.deliver().await, ["sr"]);
    node.analyse(&node.job("1.1", 4).await, "2.25.2").await;
    node.step().await;
    assert_eq!(node.series("1.1").await.earlier[0].results.len(), 1, "the destination has no newer one yet");
    assert_eq!(node.deliver().await, ["sr"]);
    node.step().await;
    node.step().await;
    let series = node.series("1.1").await;
    assert_eq!((Node::kinds(&series), series.earlier[0].results.len()), (vec!["sr".to_owned()], 2));
    let note = node.object(&series.earlier[0].results[1]).await;
    let title = items(&note, tags::CONCEPT_NAME_CODE_SEQUENCE);
    assert_eq!(text(&title[0], tags::CODE_VALUE).as_deref(), Some("113001"));
    let evidence = items(&note, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let of_series = items(&evidence[0], tags::REFERENCED_SERIES_SEQUENCE);
    let rejected = items(&of_series[0], tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(uid_of(&rejected[0], tags::REFERENCED_SOP_INSTANCE_UID), Some(uid("2.25.1.1")));
    assert_eq!(node.deliver().await, ["rejection-note"]);
    let query = Query { matching: vec![(tags::MODALITY, "KO".to_owned())], ..Query::default() };
    assert!(node.store.find(Level::Series, &query).await.expect("search").is_empty(), "no search lists it");
}

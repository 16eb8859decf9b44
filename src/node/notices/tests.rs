use super::*;
use crate::config::{Config, DestinationConfig, DicomDestination, Transport};
use crate::dicom::elements::{items, text, uid as uid_of};
use crate::dicom::{AeTitle, Member, RejectionReason};
use crate::engine::pipeline::{ResultKind, ResultReference, testing};
use crate::engine::volume::{Reason, Rejection};
use crate::node::archive::testing::{archive, rules, slice, uid};
use crate::node::archive::{Level, Query};
use crate::node::queue::{Confirmation, Job, Selection};
use crate::node::store::SeriesView;
use dicom_dictionary_std::tags;
use strum::VariantArray;

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
        self.analyse_of("P-1", job, report).await;
    }

    async fn analyse_of(&self, patient: &str, job: &Job, report: &str) {
        let mut own = slice("1", report, 1, &[(tags::PATIENT_ID, dicom_core::VR::LO, patient)]);
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
        self.notices.header(stored.path, stored.sop_instance_uid).await.expect("header")
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
    let job = node.job("1.1", 3).await;
    let overdue = Some(SignedDuration::from_mins(30));
    let (now, later) = (Timestamp::now(), Timestamp::now() + SignedDuration::from_mins(31));
    assert!(node.store.due_notices(overdue, now).await.expect("due").is_empty());
    assert!(node.store.due_notices(None, later).await.expect("due").is_empty());
    let due = node.store.due_notices(overdue, later).await.expect("due");
    assert_eq!(due[0].cause, report::NotAnalysed::Overdue(30));
    node.notices.tell_not_analysed(&due[0], later).await.expect("told");
    assert!(node.store.due_notices(overdue, later).await.expect("due").is_empty());
    assert_eq!(Node::kinds(&node.series("1.1").await), ["notice"]);
    // Its images are rejected during the analysis: what it finds is dropped, although a page of it was shown.
    reject_objects(&node, Scope::Instance(uid("1"), uid("1.1"), uid("1.1.2")), RejectionReason::PatientSafety).await;
    node.analyse(&job, "2.25.1").await;
    assert!(node.series("1.1").await.results.is_empty());
    assert!(
        node.store.claim(Timestamp::now()).await.expect("claim").is_none(),
        "its images are not those of the series"
    );
    assert!(node.store.is_idle(Timestamp::now()).await.expect("idle"));
}

/// The titles of the notes that are due, with how many results each names; they are recorded.
async fn told(node: &Node) -> Vec<(report::NoteCause, usize)> {
    let due = node.store.due_rejection_notes().await.expect("due");
    node.step().await;
    assert!(node.store.due_rejection_notes().await.expect("due").is_empty(), "once");
    due.into_iter().map(|note| (note.cause, note.rejected.len())).collect()
}

async fn reject_objects(node: &Node, scope: Scope, reason: RejectionReason) {
    node.notices.archive.reject(&scope, reason, "a person".to_owned()).await.expect("reject");
}

#[tokio::test]
async fn a_rejection_of_a_whole_study_withdraws_its_results_and_tells_the_destination() {
    for reason in RejectionReason::VARIANTS {
        let node = Node::new(false).await;
        node.analyse(&node.job("1.1", 3).await, "2.25.1").await;
        node.deliver().await;
        reject_objects(&node, Scope::Study(uid("1")), *reason).await;
        let own = Scope::Instance(uid("1"), uid("2.25.1"), uid("2.25.1.1"));
        assert!(node.notices.archive.instances(&own).await.expect("instances").is_empty(), "{reason}");
        let due = node.store.due_rejection_notes().await.expect("due").remove(0);
        let header = node.notices.header(node.notices.archive.path(due.source), uid("1")).await.expect("header");
        assert_eq!(text(&header, tags::PATIENT_ID).as_deref(), Some("P-1"));
        assert_eq!(told(&node).await, [(report::NoteCause::Rejected(*reason), 1)]);
        assert_eq!(node.deliver().await, ["rejection-note"]);
    }
}

#[tokio::test]
async fn a_result_is_told_as_withdrawn_although_no_other_follows() {
    let node = Node::new(true).await;
    node.analyse(&node.job("1.1", 3).await, "2.25.1").await;
    node.deliver().await;
    let image = Scope::Instance(uid("1"), uid("1.1"), uid("1.1.2"));
    reject_objects(&node, image, RejectionReason::PatientSafety).await;
    let series = node.series("1.1").await;
    assert!(series.summary().is_none() && series.results.is_empty() && series.deliveries.is_empty());
    assert_eq!(series.void.as_ref().expect("void").to_string(), "withdrawn: patient-safety");
    let json = serde_json::to_value(&series).expect("JSON");
    assert_eq!((&json["decision"], &json["void"]["state"]), (&serde_json::Value::Null, &"withdrawn".into()));
    assert!(node.store.jobs(9).await.expect("jobs")[0].summary.is_none(), "its job shows no decision");
    assert_eq!(told(&node).await, [(report::NoteCause::Rejected(RejectionReason::PatientSafety), 1)]);
    assert_eq!(node.deliver().await, ["rejection-note"]);
    // What is left is not usable: a page says so, and it speaks of no earlier result.
    let mut members: Vec<Member> = Vec::new();
    for number in [1, 3] {
        members.push((uid(&format!("1.1.{number}")), format!("{number:064}")));
    }
    let left = SeriesId::new(uid("1"), uid("1.1"));
    node.store.decide(&left, 9, &Selection::Analyse(members), Timestamp::now()).await.expect("decide");
    node.reject(&node.store.claim(Timestamp::now()).await.expect("claim").expect("due")).await;
    node.step().await;
    let series = node.series("1.1").await;
    assert_eq!(Node::kinds(&series), ["notice"]);
    let page = node.object(&series.results[0]).await;
    assert_eq!(text(&page, tags::SERIES_DESCRIPTION).as_deref(), Some("PE: not analysed"));
}

#[tokio::test]
async fn a_rejected_result_is_shown_as_rejected_and_brings_no_earlier_one_back() {
    let node = Node::new(false).await;
    node.analyse(&node.job("1.1", 3).await, "2.25.1").await;
    node.deliver().await;
    node.analyse(&node.job("1.1", 4).await, "2.25.2").await;
    reject_objects(&node, Scope::Series(uid("1"), uid("2.25.2")), RejectionReason::PatientSafety).await;
    let series = node.series("1.1").await;
    assert_eq!((series.summary().is_none(), series.results.len(), series.result_version), (true, 0, None));
    assert_eq!(series.void.as_ref().expect("void").to_string(), "rejected: patient-safety");
    let query = Query { matching: vec![(tags::SERIES_INSTANCE_UID, "2.25.1".to_owned())], ..Query::default() };
    assert!(node.store.find(Level::Series, &query).await.expect("search").is_empty(), "v1 stays replaced");
    assert!(node.deliver().await.is_empty(), "what is rejected is not sent");
    // The destination has the first one, and nothing follows.
    assert_eq!(told(&node).await, [(report::NoteCause::Replaced, 1)]);
    // The rejection is revoked.
    let record = node.store.records(&uid("1")).await.expect("records").remove(0);
    node.notices.archive.restore(&uid("1"), &record.id, "a person".to_owned()).await.expect("restore");
    let series = node.series("1.1").await;
    assert_eq!((series.result_version, series.void.is_none(), series.results.len()), (Some(2), true, 1));
    assert_eq!(node.deliver().await, ["rejection-note", "sr"]);
}

/// What a destination that honours notes has, by what was delivered to it: no object comes back once it was rejected.
#[derive(Default)]
struct Pacs {
    has: BTreeSet<String>,
    rejected: BTreeSet<String>,
}

impl Pacs {
    /// Delivers and tells until nothing is due any more.
    async fn receive(&mut self, node: &Node) {
        loop {
            node.step().await;
            let now = Timestamp::now();
            let due = node.store.claim_due("pacs", 99, now).await.expect("claim");
            for delivery in &due {
                node.store.delivered(delivery, &Confirmation::default(), now).await.expect("delivered");
                let reference = ResultReference {
                    kind: delivery.kind,
                    series_instance_uid: delivery.series.series_instance_uid.clone(),
                    sop_instance_uid: delivery.sop_instance_uid.clone(),
                };
                if delivery.kind == ResultKind::RejectionNote {
                    for named in named(&node.object(&reference).await) {
                        self.has.remove(&named);
                        self.rejected.insert(named);
                    }
                } else {
                    assert!(!self.rejected.contains(delivery.sop_instance_uid.as_str()), "it would be refused");
                    self.has.insert(delivery.sop_instance_uid.to_string());
                }
            }
            if due.is_empty() {
                return;
            }
        }
    }

    fn has(&self) -> Vec<&str> {
        self.has.iter().map(String::as_str).collect()
    }
}

/// What a note names.
fn named(note: &DataSet) -> Vec<String> {
    let study = &items(note, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)[0];
    let series = items(study, tags::REFERENCED_SERIES_SEQUENCE).iter();
    let objects = series.flat_map(|series| items(series, tags::REFERENCED_SOP_SEQUENCE));
    objects.filter_map(|item| text(item, tags::REFERENCED_SOP_INSTANCE_UID)).collect()
}

#[tokio::test]
async fn a_series_that_is_what_it_was_before_has_one_result_at_the_destination() {
    let (node, mut pacs) = (Node::new(false).await, Pacs::default());
    let first = node.job("1.1", 3).await;
    node.analyse(&first, "2.25.1").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.1.1"]);
    node.analyse(&node.job("1.1", 4).await, "2.25.2").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.2.1"]);
    // The late slice is rejected: the first result counts again, and the destination refuses its identifiers.
    let again = node.job("1.1", 3).await;
    assert_eq!((&again.id, again.issue), (&first.id, 1));
    assert_eq!(node.series("1.1").await.result_version, Some(2), "the earlier result stays until then");
    node.analyse(&again, "2.25.3").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.3.1"]);
    let series = node.series("1.1").await;
    assert_eq!((series.result_version, series.results[0].sop_instance_uid.as_str()), (Some(3), "2.25.3.1"));
    // And once more: each way has identifiers of its own.
    let fourth = node.job("1.1", 4).await;
    assert_eq!(fourth.issue, 2);
    node.analyse(&fourth, "2.25.4").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.4.1"]);
}

#[tokio::test]
async fn a_patient_that_is_corrected_and_corrected_back_has_one_result_at_the_destination() {
    let (node, mut pacs) = (Node::new(false).await, Pacs::default());
    let first = node.job("1.1", 3).await;
    node.analyse(&first, "2.25.1").await;
    pacs.receive(&node).await;
    let correct = async |patient: &str, digest: u16| {
        let mut members: Vec<Member> = Vec::new();
        for number in 1..=3 {
            let mut corrected = slice("1", "1.1", number, &[(tags::PATIENT_ID, dicom_core::VR::LO, patient)]);
            corrected.rights = crate::node::archive::Rights { may_correct: true, may_reject: false };
            node.notices.archive.store(corrected).await.expect("store");
            members.push((uid(&format!("1.1.{number}")), format!("{:064}", digest + number)));
        }
        let (series, now) = (SeriesId::new(uid("1"), uid("1.1")), Timestamp::now());
        node.store.decide(&series, 99, &Selection::Analyse(members), now).await.expect("decide");
        node.store.claim(now).await.expect("claim").expect("due")
    };
    let of_b = correct("P-2", 10).await;
    node.analyse_of("P-2", &of_b, "2.25.2").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.2.1"]);
    let of_a = correct("P-1", 0).await;
    assert_eq!((&of_a.id, of_a.issue), (&first.id, 1));
    assert!(node.series("1.1").await.results.is_empty(), "nothing of the other patient is shown");
    node.analyse(&of_a, "2.25.3").await;
    pacs.receive(&node).await;
    assert_eq!(pacs.has(), ["2.25.3.1"]);
}

#[tokio::test]
async fn a_page_speaks_of_an_earlier_result_only_while_that_stands() {
    let node = Node::new(true).await;
    node.analyse(&node.job("1.1", 3).await, "2.25.1").await;
    node.reject(&node.job("1.1", 4).await).await;
    node.step().await;
    let descriptions = async || {
        let series = node.series("1.1").await;
        let mut found = Vec::new();
        for result in series.results.iter().filter(|result| result.kind == ResultKind::Notice) {
            found.extend(text(&node.object(result).await, tags::SERIES_DESCRIPTION));
        }
        found
    };
    assert_eq!(descriptions().await, ["PE: later images not analysed"]);
    reject_objects(&node, Scope::Series(uid("1"), uid("2.25.1")), RejectionReason::PatientSafety).await;
    assert!(descriptions().await.is_empty());
    node.step().await;
    assert_eq!(descriptions().await, ["PE: not analysed"]);
    let record = node.store.records(&uid("1")).await.expect("records").remove(0);
    node.notices.archive.restore(&uid("1"), &record.id, "a person".to_owned()).await.expect("restore");
    node.step().await;
    assert_eq!(descriptions().await, ["PE: later images not analysed"]);
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

//! Deliveries from a queue with real jobs to a receiving node, to one that refuses, and to one that is not there.

use std::sync::Arc;

use super::*;
use crate::config::{AnalysisConfig, Config, Transport};
use crate::dicom::Uid;
use crate::engine::pipeline::{ResultKind, ResultReference, Status, Summary};
use crate::node::archive::Stored;
use crate::node::archive::testing::{archive, slice, uid};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::dimse::scp;
use crate::node::queue::{DeliveryView, JobId, Selection};

const STUDY: &str = "1.1";
const RESULTS: &str = "1.1.9";

struct Deaf;

impl StoreEvents for Deaf {
    fn begin(&self) -> Box<dyn Feed> {
        Box::new(Self)
    }
}

impl Feed for Deaf {
    fn stored(&mut self, _study: &Uid, _series: &Uid, _stored: Stored) {}
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("title")
}

fn destination(name: &str, address: &str, called: &str, attempts: u32) -> DestinationConfig {
    let transport = Transport::Dicom { address: address.to_owned(), ae_title: title(called) };
    DestinationConfig { name: name.to_owned(), attempts, transport }
}

/// A receiving node: its archive and its address.
async fn receiver() -> (tempfile::TempDir, Archive, String) {
    let (folder, received) = archive().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = Config::load(None, std::iter::empty(), &[]).expect("settings");
    let services = scp::Services {
        config: config.dicom,
        limits: config.limits,
        archive: received.clone(),
        events: Arc::new(Deaf),
    };
    tokio::spawn(scp::run(listener, services, Shutdown::new()));
    (folder, received, address)
}

/// An archive with an analysed series whose two results are owed to the destinations; the second result is lost.
async fn sender(destinations: &[DestinationConfig]) -> (tempfile::TempDir, Services, JobId) {
    let (folder, archive) = archive().await;
    archive.store(slice(STUDY, "1.1.1", 1, &[])).await.expect("store");
    archive.store(slice(STUDY, RESULTS, 1, &[])).await.expect("store");
    let analysis = AnalysisConfig { attempts: 1, timeout_seconds: 60, memory_limit_mib: 0, ignore_quality: false };
    let queue = Queue::open(&archive, &analysis, destinations, true).await.expect("queue");
    let selection = Selection::Analyse(vec![(uid("1.1.1.1"), "0".repeat(64))]);
    let now = Timestamp::now();
    queue.decide(&uid(STUDY), &uid("1.1.1"), 1, &selection, now).await.expect("decide");
    let job = queue.claim(now).await.expect("claim").expect("due");
    let result = |kind, number: u16| ResultReference {
        kind,
        series_instance_uid: uid(RESULTS),
        sop_instance_uid: uid(&format!("{RESULTS}.{number}")),
    };
    let summary = Summary {
        study_instance_uid: Some(uid(STUDY)),
        series_instance_uid: Some(uid("1.1.1")),
        status: Status::Analysed,
        rejections: Vec::new(),
        probability: None,
        decision: None,
        left_lung_ml: None,
        right_lung_ml: None,
        provider: None,
        models: Vec::new(),
        demonstration: false,
        timings_ms: Vec::new(),
        results: vec![result(ResultKind::Sr, 1), result(ResultKind::Seg, 2)],
    };
    queue.finish(&job, &summary, &[], now).await.expect("finish");
    let limits = Config::load(None, std::iter::empty(), &[]).expect("settings").limits;
    (folder, Services { calling: title("PE-NODE"), limits, archive, queue }, job.id)
}

/// Runs deliveries until every one of them has been tried.
async fn deliver(destinations: &[DestinationConfig], services: &Services, job: &JobId) -> Vec<DeliveryView> {
    let shutdown = Shutdown::new();
    let running = tokio::spawn(Deliveries::new(destinations, services).expect("couriers").run(shutdown.clone()));
    let mut changes = services.queue.changes();
    let views = loop {
        let views = services.queue.deliveries(job).await.expect("deliveries");
        if views.iter().all(|view| !matches!(view.state, DeliveryState::Queued | DeliveryState::Running)) {
            break views;
        }
        changes.changed().await.expect("the queue is open");
    };
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("in time").expect("no fault");
    views
}

#[tokio::test]
async fn results_arrive_and_destinations_that_fail_hold_up_nobody() {
    let (_received, received, address) = receiver().await;
    let destinations = [
        destination("pacs", &address, "PE-NODE", 3),
        destination("refuses", &address, "SOMEBODY-ELSE", 1),
        destination("gone", "127.0.0.1:1", "PACS", 3),
    ];
    let (_folder, services, job) = sender(&destinations).await;
    let views = deliver(&destinations, &services, &job).await;
    let state = |destination: &str, number: u16| {
        let instance = uid(&format!("{RESULTS}.{number}"));
        let view = views.iter().find(|view| view.destination == destination && view.sop_instance_uid == instance);
        view.map(|view| (view.state, view.error.clone().unwrap_or_default())).expect("a delivery")
    };
    assert_eq!(state("pacs", 1), (DeliveryState::Delivered, String::new()));
    let (lost, reason) = state("pacs", 2);
    assert_eq!(lost, DeliveryState::Retrying);
    assert!(reason.contains("no longer has"), "{reason}");
    let (refused, reason) = state("refuses", 1);
    assert_eq!(refused, DeliveryState::DeadLetter);
    assert!(reason.contains("called AE title not recognized"), "{reason}");
    assert_eq!(state("gone", 1).0, DeliveryState::Retrying);
    let arrived = received.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].sop_instance_uid, uid(&format!("{RESULTS}.1")));
}

//! Deliveries from a queue with real jobs to a receiving node, to one that refuses, and to one that is not there.

use super::*;
use crate::config::{Config, DicomDestination, Transport};
use crate::dicom::{RejectionReason, SeriesId};
use crate::engine::pipeline::{ResultKind, ResultReference, testing};
use crate::node::archive::testing::{archive, rules, slice, uid};
use crate::node::arrivals::Unheard;
use crate::node::dicomweb::client::testing::answering;
use crate::node::dimse::scp;
use crate::node::queue::{DeliveryOutcome, DeliveryState, JobId, Selection};
use crate::node::store::DeliveryView;

const STUDY: &str = "1.1";
const RESULTS: &str = "1.1.9";

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("title")
}

fn destination(name: &str, address: &str, called: &str, attempts: u32) -> DestinationConfig {
    let transport = Transport::Dicom(DicomDestination::new(address.to_owned(), title(called)));
    DestinationConfig { name: name.to_owned(), attempts, give_up_after_hours: 1, rejection_notes: false, transport }
}

/// A receiving node: its archive and its address.
async fn receiver() -> (tempfile::TempDir, Archive, String) {
    let (folder, received) = archive().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = Config::from_defaults(&[]).expect("settings");
    let services = scp::Services {
        config: config.dicom,
        destinations: Vec::new(),
        limits: config.limits,
        archive: received.clone(),
        events: Arc::new(Unheard),
    };
    tokio::spawn(scp::run(listener, services, Shutdown::new()));
    (folder, received, address)
}

/// An archive with an analysed series whose two results are to be delivered to the destinations; the second result is lost.
async fn sender(destinations: &[DestinationConfig]) -> (tempfile::TempDir, Services, JobId) {
    let (folder, archive) = archive().await;
    archive.store(slice(STUDY, "1.1.1", 1, &[])).await.expect("store");
    archive.store(slice(STUDY, RESULTS, 1, &[])).await.expect("store");
    let (services, job) = analysed(archive, destinations).await;
    (folder, services, job)
}

/// A finished job with two results, to be delivered to the destinations.
async fn analysed(archive: Archive, destinations: &[DestinationConfig]) -> (Services, JobId) {
    let store = archive.index().restarted(rules(destinations, true)).await;
    let selection = Selection::Analyse(vec![(uid("1.1.1.1"), "0".repeat(64))]);
    let now = Timestamp::now();
    store.decide(&SeriesId::new(uid(STUDY), uid("1.1.1")), 1, &selection, now).await.expect("decide");
    let job = store.claim(now).await.expect("claim").expect("due");
    let result = |kind, number: u16| ResultReference {
        kind,
        series_instance_uid: uid(RESULTS),
        sop_instance_uid: uid(&format!("{RESULTS}.{number}")),
    };
    let results = vec![result(ResultKind::Sr, 1), result(ResultKind::Seg, 2)];
    let summary = testing::analysed(|summary| summary.results = results);
    store.finish(&job, &summary, &[], now).await.expect("finish");
    let limits = Config::from_defaults(&[]).expect("settings").limits;
    (Services { calling: title("PE-NODE"), limits, archive, store }, job.id)
}

/// Runs deliveries until every one of them has been tried.
async fn deliver(destinations: &[DestinationConfig], services: &Services, job: &JobId) -> Vec<DeliveryView> {
    let shutdown = Shutdown::new();
    let running = tokio::spawn(Deliveries::new(destinations, services).expect("senders").run(shutdown.clone()));
    let mut changes = services.store.changes();
    let views = loop {
        let views = services.store.deliveries(job).await.expect("deliveries");
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
    assert_eq!(refused, DeliveryState::Retrying, "an association that is rejected says nothing of the object");
    assert!(reason.contains("called AE title not recognized"), "{reason}");
    assert_eq!(state("gone", 1).0, DeliveryState::Retrying);
    let arrived = received.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].sop_instance_uid, uid(&format!("{RESULTS}.1")));
}

/// What happens to a connection at which an object with the marker passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Cut,
    Stall,
}

/// A connection to a receiver that is cut whenever an object with the marker passes.
async fn cut_at(marker: &'static [u8], receiver: String) -> String {
    interrupted(marker, At::Cut, receiver).await
}

async fn interrupted(marker: &'static [u8], at: At, receiver: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let onward = tokio::net::TcpStream::connect(&receiver).await.expect("connect");
            let ((mut from, mut back), (mut answers, mut to)) = (stream.into_split(), onward.into_split());
            tokio::spawn(async move {
                let answering = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length) = from.read(&mut buffer).await {
                    let passed = &buffer[..length];
                    if length == 0 || passed.windows(marker.len()).any(|bytes| bytes == marker) {
                        if at == At::Stall {
                            std::future::pending::<()>().await;
                        }
                        break;
                    }
                    to.write_all(passed).await.expect("write");
                }
                answering.abort();
            });
        }
    });
    address
}

#[tokio::test]
async fn an_answer_is_recorded_before_the_next_object_goes() {
    let (_received, received, address) = receiver().await;
    let (_folder, archive) = archive().await;
    archive.store(slice(STUDY, "1.1.1", 1, &[])).await.expect("store");
    archive.store(slice(STUDY, RESULTS, 1, &[])).await.expect("store");
    let comment = (dicom_dictionary_std::tags::IMAGE_COMMENTS, dicom_core::VR::LT, "STALL-HERE");
    archive.store(slice(STUDY, RESULTS, 2, &[comment])).await.expect("store");
    let destinations = [destination("pacs", &interrupted(b"STALL-HERE", At::Stall, address).await, "PE-NODE", 3)];
    let (services, job) = analysed(archive, &destinations).await;
    let running = tokio::spawn(Deliveries::new(&destinations, &services).expect("senders").run(Shutdown::new()));
    let mut changes = services.store.changes();
    let first_is_delivered = async {
        loop {
            let views = services.store.deliveries(&job).await.expect("deliveries");
            if views[0].state == DeliveryState::Delivered {
                break;
            }
            changes.changed().await.expect("the queue is open");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), first_is_delivered).await.expect("while the second one is sent");
    // The node is killed; the next run sends what was not answered, and nothing else.
    running.abort();
    assert!(running.await.expect_err("ended").is_cancelled());
    let store = services.store.restarted(rules(&destinations, true)).await;
    let states: Vec<_> = store.deliveries(&job).await.expect("deliveries").iter().map(|view| view.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Queued]);
    assert_eq!(received.instances(&Scope::Study(uid(STUDY))).await.expect("instances").len(), 1);
}

/// A patient was corrected while a slow destination took the first result.
#[tokio::test]
async fn what_is_withdrawn_while_another_object_is_sent_does_not_go() {
    let (_received, received, address) = receiver().await;
    let stow = answering(move |_| (200, String::new())).await;
    let stow = DestinationConfig {
        transport: Transport::Stow { url: stow, authorization: String::new() },
        ..destination("stow", "", "X", 3)
    };
    for destination in [destination("pacs", &address, "PE-NODE", 3), stow] {
        let (_folder, archive) = archive().await;
        archive.store(slice(STUDY, "1.1.1", 1, &[])).await.expect("store");
        for number in 1..=2 {
            archive.store(slice(STUDY, RESULTS, number, &[])).await.expect("store");
        }
        let (services, _) = analysed(archive.clone(), std::slice::from_ref(&destination)).await;
        let store = &services.store;
        let due = store.claim_due(&destination.name, BATCH, store.now()).await.expect("claim");
        assert_eq!(due.len(), 2);
        let each = Deliveries::new(std::slice::from_ref(&destination), &services).expect("senders").loops.remove(0);
        let mut objects = Vec::new();
        let shutdown = Shutdown::new();
        let mut recorder = Recorder::new(store, &due, &shutdown);
        for (place, delivery) in due.iter().enumerate() {
            objects.push(each.find(delivery).await.expect("found"));
            recorder.sends(place);
        }
        archive
            .reject(&Scope::Series(uid(STUDY), uid(RESULTS)), RejectionReason::PatientSafety, "a person".to_owned())
            .await
            .expect("reject");
        each.sender.send(&objects, &mut recorder).await;
        recorder.release_rest().await;
        assert!(received.instances(&Scope::Study(uid(STUDY))).await.expect("instances").is_empty());
        assert!(store.claim_due(&destination.name, BATCH, store.now()).await.expect("claim").is_empty());
    }
}

/// Three objects of an archive; the second holds the marker.
async fn objects() -> (tempfile::TempDir, Vec<StoredInstance>) {
    let (folder, archive) = archive().await;
    for number in 1..=3 {
        let comment = if number == 2 { "CUT-HERE" } else { "fine" };
        let comment = (dicom_dictionary_std::tags::IMAGE_COMMENTS, dicom_core::VR::LT, comment);
        archive.store(slice(STUDY, RESULTS, number, &[comment])).await.expect("store");
    }
    let objects = archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
    (folder, objects)
}

impl answers::Answers for Vec<DeliveryOutcome> {
    async fn is_due(&mut self, _: usize) -> bool {
        true
    }

    async fn note(&mut self, place: usize, outcome: DeliveryOutcome) {
        assert_eq!(place, self.len(), "in order");
        self.push(outcome);
    }
}

/// Sends objects; one outcome each.
async fn outcomes_of(sender: Sender, objects: &[StoredInstance]) -> Vec<Result<(), DeliveryFailure>> {
    let mut outcomes: Vec<DeliveryOutcome> = Vec::new();
    sender.send(objects, &mut outcomes).await;
    outcomes.into_iter().map(|outcome| outcome.map(drop)).collect()
}

fn sender_to(address: &str) -> Sender {
    let limits = Config::from_defaults(&[]).expect("settings").limits;
    let transport = destination("pacs", address, "PE-NODE", 1).transport;
    Sender::new(&transport, &title("PE-NODE"), limits).expect("sender")
}

#[tokio::test]
async fn an_object_that_breaks_the_association_costs_its_neighbours_nothing() {
    let (_received, received, address) = receiver().await;
    let (_folder, objects) = objects().await;
    let outcomes = outcomes_of(sender_to(&cut_at(b"CUT-HERE", address).await), &objects).await;
    assert!(matches!(outcomes[..], [Ok(()), Err(DeliveryFailure::Object(_)), Ok(())]), "{outcomes:?}");
    assert_eq!(received.instances(&Scope::Study(uid(STUDY))).await.expect("instances").len(), 2);
}

#[tokio::test]
async fn a_peer_that_breaks_every_association_is_at_fault_itself() {
    let (_received, _archive, address) = receiver().await;
    let (_folder, objects) = objects().await;
    let outcomes = outcomes_of(sender_to(&cut_at(RESULTS.as_bytes(), address).await), &objects).await;
    let third = outcomes.last().expect("three outcomes");
    assert!(matches!(third, Err(DeliveryFailure::Destination(_))), "{outcomes:?}");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_sent_object_by_object() {
    let (_folder, objects) = objects().await;
    // Accepts one object per request, and never the second object.
    let url = answering(|body| {
        let parts = body.windows(4).filter(|bytes| bytes == b"DICM").count();
        let holds = |text: &str| body.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        if parts > 1 || holds("CUT-HERE") {
            return (413, String::new());
        }
        let number = if holds("1.1.9.1") { 1 } else { 3 };
        let stored = format!(
            r#"{{"00081199":{{"vr":"SQ","Value":[{{"00081155":{{"vr":"UI","Value":["{RESULTS}.{number}"]}}}}]}}}}"#
        );
        (200, stored)
    })
    .await;
    let limits = Config::from_defaults(&[]).expect("settings").limits;
    let transport = Transport::Stow { url, authorization: String::new() };
    let sender = Sender::new(&transport, &title("PE-NODE"), limits).expect("sender");
    let outcomes = outcomes_of(sender, &objects).await;
    assert!(matches!(outcomes[..], [Ok(()), Err(DeliveryFailure::Object(_)), Ok(())]), "{outcomes:?}");
}

#[tokio::test]
async fn a_service_that_cuts_off_every_request_is_at_fault_itself() {
    use DeliveryFailure::{Destination, Object};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_folder, objects) = objects().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await;
            let _ = stream.shutdown().await;
        }
    });
    let limits = Config::from_defaults(&[]).expect("settings").limits;
    let transport = Transport::Stow { url, authorization: String::new() };
    let sender = Sender::new(&transport, &title("PE-NODE"), limits).expect("sender");
    let outcomes = outcomes_of(sender, &objects).await;
    assert!(matches!(outcomes[..], [Err(Object(_)), Err(Destination(_)), Err(Destination(_))]), "{outcomes:?}");
}

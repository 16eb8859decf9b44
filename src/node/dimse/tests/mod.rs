//! Provider and user against each other over loopback, with a real archive.

mod asking;
mod committing;
mod conformance;
mod querying;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_ul::Pdu;
use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed, write_pdu};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Status;
use super::scp::{self, Services};
use super::scu::{self, Outgoing, Peer, SendOutcome, Source};
use crate::config::Config;
use crate::dicom::bounded::Limits;
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;
use crate::dicom::{AeTitle, SeriesId, Uid};
use crate::node::archive::testing::open;
use crate::node::archive::{Archive, Conflict, Scope, Stored};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::shutdown::Shutdown;
use crate::testing::test_data;

/// Writes down what associations bring.
#[derive(Default, Clone)]
struct Recorder(Arc<Mutex<Vec<String>>>);

struct RecorderFeed(Recorder);

impl StoreEvents for Recorder {
    fn begin(&self) -> Box<dyn Feed> {
        self.0.lock().expect("lock").push("begin".to_owned());
        Box::new(RecorderFeed(self.clone()))
    }
}

impl Feed for RecorderFeed {
    fn stored(&mut self, series: &SeriesId, stored: Stored) {
        self.0.0.lock().expect("lock").push(format!("{} {stored:?}", series.series_instance_uid));
    }
}

impl Drop for RecorderFeed {
    fn drop(&mut self) {
        self.0.0.lock().expect("lock").push("end".to_owned());
    }
}

struct Node {
    address: SocketAddr,
    archive: Archive,
    events: Recorder,
    limits: Limits,
    shutdown: Shutdown,
    served: JoinHandle<()>,
    folder: TempDir,
}

impl Node {
    async fn start(overrides: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = Config::from_defaults(overrides).expect("settings");
        config.storage.path = folder.path().join("archive");
        config.storage.minimum_free_mib = config.storage.minimum_free_mib.min(1);
        let archive = open(&config.storage).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let destinations = config.destinations;
        let (events, shutdown) = (Recorder::default(), Shutdown::new());
        let services = Services {
            config: config.dicom,
            destinations,
            limits: config.limits,
            archive: archive.clone(),
            events: Arc::new(events.clone()),
        };
        let served = tokio::spawn(scp::run(listener, services, shutdown.clone()));
        Self { address, archive, events, limits: config.limits, shutdown, served, folder }
    }

    fn peer(&self, called: &str) -> Peer {
        let title = |text| AeTitle::parse(text).expect("title");
        Peer {
            address: self.address.to_string(),
            called: title(called),
            calling: title("TEST-SCU"),
            timeout: Duration::from_secs(10),
            originator: None,
        }
    }

    async fn send(&self, objects: &[Outgoing]) -> Vec<SendOutcome> {
        scu::store(&self.peer("PE-NODE"), objects, &self.limits, |_, _| {}).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn stored(&self, study: &str) -> usize {
        self.archive.instances(&Scope::Study(Uid::parse(study).expect("uid"))).await.expect("instances").len()
    }
}

const STUDY: &str = "1.2.826.0.1";
const SERIES: &str = "1.2.826.0.1.1";

fn slice(number: u16) -> InMemDicomObject {
    let texts = [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
        (tags::SOP_INSTANCE_UID, VR::UI, format!("{SERIES}.{number}")),
        (tags::STUDY_INSTANCE_UID, VR::UI, STUDY.to_owned()),
        (tags::SERIES_INSTANCE_UID, VR::UI, SERIES.to_owned()),
        (tags::MODALITY, VR::CS, "CT".to_owned()),
        (tags::PATIENT_ID, VR::LO, "P-1".to_owned()),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
    ];
    let mut data_set = InMemDicomObject::from_element_iter(
        texts.into_iter().map(|(tag, vr, text)| DataElement::new(tag, vr, PrimitiveValue::from(text))),
    );
    let shorts = [
        (tags::ROWS, 64),
        (tags::COLUMNS, 64),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    for (tag, value) in shorts {
        data_set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16)));
    }
    let pixels: Vec<u16> = (0..64 * 64).collect();
    data_set.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
    data_set
}

fn write(data_set: InMemDicomObject, transfer_syntax: &str, path: &Path) -> Outgoing {
    let uid = |tag| crate::dicom::elements::uid(&data_set, tag).expect("uid");
    let (sop_class_uid, sop_instance_uid) = (uid(tags::SOP_CLASS_UID), uid(tags::SOP_INSTANCE_UID));
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
    data_set.with_meta(meta).expect("meta").write_to_file(path).expect("write");
    let source = Source::File(path.to_owned());
    Outgoing { source, sop_class_uid, sop_instance_uid, transfer_syntax_uid: transfer_syntax.to_owned() }
}

fn file_of(object: &Outgoing) -> &Path {
    let Source::File(path) = &object.source else { panic!("an object in memory") };
    path
}

#[tokio::test]
async fn echo_is_answered_and_a_wrong_called_title_is_not() {
    let node = Node::start(&[]).await;
    scu::echo(&node.peer("PE-NODE")).await.expect("echo");
    let refused = scu::echo(&node.peer("OTHER")).await.expect_err("refusal").to_string();
    assert!(refused.contains("called AE title not recognized"), "{refused}");
}

#[tokio::test]
async fn objects_are_durable_when_acknowledged_and_assembly_hears_of_them() {
    let node = Node::start(&[]).await;
    let mut objects = Vec::new();
    let syntaxes = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ];
    for (number, syntax) in (1..).zip(syntaxes) {
        let object = write(slice(number), syntax, &node.file(&number.to_string()));
        assert_eq!(Outgoing::identify(file_of(&object), &node.limits).expect("identified"), object);
        objects.push(object);
    }
    assert_eq!(node.send(&objects).await, vec![SendOutcome::Stored(Status::SUCCESS); 4]);
    let stored = node.archive.instances(&Scope::Study(Uid::parse(STUDY).expect("uid"))).await.expect("instances");
    let kept: Vec<&str> = stored.iter().map(|instance| instance.transfer_syntax_uid.as_str()).collect();
    assert_eq!(kept, syntaxes, "each is stored in the transfer syntax it was sent in");
    assert_eq!(node.send(&objects[..1]).await, [SendOutcome::Stored(Status::SUCCESS)], "sending again is harmless");
    let heard = || node.events.0.lock().expect("lock").clone();
    while heard().iter().filter(|event| *event == "end").count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let new = format!("{SERIES} New");
    let already = format!("{SERIES} Already");
    assert_eq!(heard(), ["begin", &new, &new, &new, &new, "end", "begin", &already, "end"]);
}

#[tokio::test]
async fn another_patient_under_a_known_identifier_is_a_failure_that_the_sender_sees() {
    let node = Node::start(&[]).await;
    let first = write(slice(1), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("first"));
    let mut changed = slice(1);
    changed.put(DataElement::new(tags::PATIENT_ID, VR::LO, "P-2"));
    let second = write(changed, uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("second"));
    let outcomes = node.send(&[first, second]).await;
    let failure = SendOutcome::Refused(Status::IDENTIFIER_TAKEN, Conflict::Held.to_string());
    assert_eq!(outcomes, [SendOutcome::Stored(Status::SUCCESS), failure]);
}

#[tokio::test]
async fn a_bad_object_costs_its_own_status_and_the_association_goes_on() {
    let node = Node::start(&["limits.object_mib=1"]).await;
    let good = write(slice(1), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("good"));
    // Cut, garbled, of another class than announced, without a study, and larger than allowed.
    let whole = write(slice(2), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("cut"));
    let bytes = std::fs::read(file_of(&whole)).expect("read");
    std::fs::write(file_of(&whole), &bytes[..bytes.len() - 100]).expect("write");
    let garbled = write(slice(3), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("garbled"));
    let mut bytes = std::fs::read(file_of(&garbled)).expect("read");
    let data_set = bytes.len() - crate::dicom::bounded::split(&bytes).expect("split").data_set.len();
    bytes[data_set..data_set + 300].fill(0xA5);
    std::fs::write(file_of(&garbled), bytes).expect("write");
    let mut other_class = write(slice(4), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("class"));
    other_class.sop_class_uid = Uid::parse(uids::MR_IMAGE_STORAGE).expect("uid");
    let mut no_study = slice(5);
    no_study.remove_element(tags::STUDY_INSTANCE_UID);
    let no_study = write(no_study, uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("study"));
    let mut large = slice(6);
    large.put(DataElement::new(tags::ICC_PROFILE, VR::OB, PrimitiveValue::U8(vec![0; 2 << 20].into())));
    let large = write(large, uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("large"));
    let last = write(slice(7), uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.file("last"));
    // The sender's own limits are wider: those of the receiver are tested here.
    let generous = Limits { object_mib: 64, ..node.limits };
    let objects = [good, whole, garbled, other_class, no_study, large, last];
    let outcomes = scu::store(&node.peer("PE-NODE"), &objects, &generous, |_, _| {}).await;
    let statuses: Vec<u16> = outcomes
        .iter()
        .map(|outcome| match outcome {
            SendOutcome::Stored(status) | SendOutcome::Refused(status, _) => status.0,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(statuses, [0, 0xC000, 0xC000, 0xA900, 0xA900, 0xA700, 0]);
    assert_eq!(node.stored(STUDY).await, 2);
    assert_eq!(node.events.0.lock().expect("lock").iter().filter(|event| *event == "begin").count(), 1);
}

#[tokio::test]
async fn hostile_files_made_for_tests_are_refused_over_the_network() {
    let node = Node::start(&[]).await;
    for name in ["hostile/bomb.dcm", "hostile/deep.dcm"] {
        let Some(path) = test_data(name) else { return };
        let object = Outgoing::identify(&path, &node.limits).expect("file meta information");
        let outcomes = node.send(&[object]).await;
        assert!(matches!(outcomes[..], [SendOutcome::Refused(Status::CANNOT_UNDERSTAND, _)]), "{name}: {outcomes:?}");
    }
    scu::echo(&node.peer("PE-NODE")).await.expect("the node still answers");
}

#[tokio::test]
async fn one_association_too_many_is_rejected_for_the_moment() {
    let node = Node::start(&["dicom.maximum_associations=1"]).await;
    // A connection takes a place as soon as it is accepted.
    let silent = TcpStream::connect(node.address).await.expect("connect");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = scu::echo(&node.peer("PE-NODE")).await.expect_err("refusal").to_string();
    assert!(refused.contains("local limit exceeded"), "{refused}");
    drop(silent);
    while scu::echo(&node.peer("PE-NODE")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every address of 127.0.0.0/8 is the machine itself on Linux only.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stranger_takes_no_place_and_is_told_so() {
    let peers = "dicom.peers=[{ ae_title = \"*\", network = \"127.0.0.1\" }]";
    let node = Node::start(&["dicom.maximum_associations=1", peers]).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.2:0".parse().expect("address")).expect("bind");
    let stranger = socket.connect(node.address).await.expect("connect");
    tokio::time::sleep(Duration::from_millis(50)).await;
    scu::echo(&node.peer("PE-NODE")).await.expect("the only place is free");
    drop(stranger);
    let other = Node::start(&["dicom.peers=[{ ae_title = \"*\", network = \"10.0.0.0/8\" }]"]).await;
    let refused = scu::echo(&other.peer("PE-NODE")).await.expect_err("refusal").to_string();
    assert!(refused.contains("calling AE title not recognized"), "{refused}");
}

#[tokio::test]
async fn a_caller_that_says_nothing_frees_its_place_soon() {
    let node = Node::start(&["dicom.idle_timeout_seconds=3600"]).await;
    let mut silent = TcpStream::connect(node.address).await.expect("connect");
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), silent.read_to_end(&mut answer)).await;
    ended.expect("in time").expect("end");
    assert_eq!(answer.first(), Some(&0x07), "an abort");
}

#[tokio::test]
async fn a_pdu_longer_than_announced_and_a_silent_peer_are_cut_off() {
    let node = Node::start(&["dicom.idle_timeout_seconds=1"]).await;
    let mut stream = TcpStream::connect(node.address).await.expect("connect");
    stream.write_all(&[0x01, 0, 0x7F, 0xFF, 0xFF, 0xFF]).await.expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("end");
    assert_eq!(answer.first(), Some(&0x07), "an abort");
    let mut silent = TcpStream::connect(node.address).await.expect("connect");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.expect("end");
    assert_eq!(answer.first(), Some(&0x07), "an abort");
}

#[tokio::test]
async fn a_slow_line_is_not_a_silent_one() {
    let node = Node::start(&["dicom.idle_timeout_seconds=1"]).await;
    let class = Uid::parse(uids::CT_IMAGE_STORAGE).expect("uid");
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "TEST-SCU".to_owned(),
        called_ae_title: "PE-NODE".to_owned(),
        application_context_name: uids::DICOM_APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: vec![PresentationContextProposed {
            id: 1,
            abstract_syntax: class.to_string(),
            transfer_syntaxes: vec![uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
        }],
        user_variables: Vec::new(),
    };
    let mut stream = TcpStream::connect(node.address).await.expect("connect");
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRQ(request)).expect("written");
    stream.write_all(&bytes).await.expect("sent");
    let mut answer = vec![0; 6];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer[0], 0x02, "an acceptance");
    let mut rest = vec![0; usize::from(answer[5]) + (usize::from(answer[4]) << 8)];
    stream.read_exact(&mut rest).await.expect("an answer");
    // A release request takes 1.4 s, longer than the idle timeout.
    for byte in [[0x05, 0], [0, 0], [0, 4], [0, 0], [0, 0]] {
        stream.write_all(&byte).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer[0], 0x06, "the release is agreed to");
}

#[tokio::test]
async fn random_bytes_never_take_the_provider_down() {
    use rand::{Rng, SeedableRng};
    let node = Node::start(&["dicom.idle_timeout_seconds=1"]).await;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for kind in [1_u8, 2, 3, 4, 5, 7, 9] {
        for length in [0_u8, 1, 10, 70, 200] {
            let mut body = vec![0; usize::from(length)];
            random.fill_bytes(&mut body);
            let mut stream = TcpStream::connect(node.address).await.expect("connect");
            stream.write_all(&[kind, 0, 0, 0, 0, length]).await.expect("write");
            stream.write_all(&body).await.ok();
        }
    }
    scu::echo(&node.peer("PE-NODE")).await.expect("echo");
}

#[tokio::test]
async fn the_provider_drains_when_it_is_told_to_stop() {
    let node = Node::start(&[]).await;
    let idle = TcpStream::connect(node.address).await.expect("connect");
    scu::echo(&node.peer("PE-NODE")).await.expect("echo");
    drop(idle);
    node.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), node.served).await.expect("in time").expect("no fault");
    assert!(TcpStream::connect(node.address).await.is_err());
}

#[tokio::test]
async fn what_a_peer_does_not_accept_is_decompressed() {
    let Some(root) = test_data("cornerstone_ct_transfer_syntaxes") else { return };
    // JPEG Extended is not offered by this node, so its sender must fall back, and cannot: 12 bits do not decode.
    let extended = root.join("CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm");
    let node = Node::start(&[]).await;
    let object = Outgoing::identify(&extended, &node.limits).expect("identified");
    assert!(matches!(node.send(&[object]).await[..], [SendOutcome::Unsendable(_)]));
    for (name, syntax) in [("RLELosslessTransferSyntax", uids::RLE_LOSSLESS), ("JPEGLSLossless", uids::JPEGLS_LOSSLESS)]
    {
        let entry = std::fs::read_dir(&root).expect("folder").map(|entry| entry.expect("entry").path());
        let path = entry.into_iter().find(|path| path.to_string_lossy().contains(name)).expect("file");
        let object = Outgoing::identify(&path, &node.limits).expect("identified");
        assert_eq!(object.transfer_syntax_uid, syntax);
        let bytes = scu::encode(&object, uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.limits).expect("decoded");
        let decoded =
            crate::dicom::bounded::data_set(&bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, &node.limits).expect("parsed");
        let plain = root.join("CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm");
        let plain = crate::dicom::bounded::open(&plain, &node.limits).expect("plain");
        let pixels = |data_set: &InMemDicomObject| {
            data_set.element(tags::PIXEL_DATA).expect("pixels").to_multi_int::<u16>().expect("words")
        };
        assert_eq!(pixels(&decoded), pixels(&plain));
    }
}

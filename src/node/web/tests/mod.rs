//! The HTTP interface over a real archive, through real connections.

mod addresses;
mod lists;
mod node;
mod pictures;
mod representations;
mod retrieving;
mod searching;
mod storing;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::watch;

use super::{DestinationEntry, Services, Viewer, router};
use crate::config::{Config, DestinationKind, StorageConfig};
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::testing;
use crate::node::archive::{Archive, Stored};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::http;
use crate::node::models::ModelEntry;
use crate::node::queue::Rules;
use crate::node::shutdown::Shutdown;
use crate::node::store::Store;
use crate::node::worker::Analysis;
use crate::node::worker::shadow::ShadowStatus;

/// What was heard: series of stored objects, and the end of a request as an empty text.
type Heard = Arc<Mutex<Vec<String>>>;

struct Listener(Heard);

struct Listening(Heard);

impl StoreEvents for Listener {
    fn begin(&self) -> Box<dyn Feed> {
        Box::new(Listening(Arc::clone(&self.0)))
    }
}

impl Feed for Listening {
    fn stored(&mut self, series: &SeriesId, _: Stored) {
        self.0.lock().expect("lock").push(series.series_instance_uid.to_string());
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.lock().expect("lock").push(String::new());
    }
}

/// A node with only its HTTP interface, which ends with the test.
struct Node {
    client: Client,
    address: SocketAddr,
    archive: Archive,
    store: Store,
    heard: Heard,
    analysis: watch::Sender<Analysis>,
    models: watch::Sender<Vec<ModelEntry>>,
    shadow: watch::Sender<Option<ShadowStatus>>,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn open() -> Self {
        Self::with(&[]).await
    }

    /// With settings that differ from the defaults.
    async fn with(overrides: &[&str]) -> Self {
        let config = Config::from_defaults(overrides).expect("settings");
        let folder = tempfile::tempdir().expect("temporary folder");
        let storage = StorageConfig { path: folder.path().to_owned(), ..config.storage.clone() };
        let rules = Rules::new(&config.analysis, &config.destinations, false);
        let store = Store::open(&storage, rules).await.expect("store");
        let archive = Archive::open(&storage, config.limits, store.clone()).await.expect("archive");
        let heard = Heard::default();
        let packages = testing::packages(["lungs", "1.0.0"], ["embolism", "1.0.0"]);
        let (analysis, state) = watch::channel(Analysis { ready: None, packages, refused: None });
        let (models, packages) = watch::channel(Vec::new());
        let (shadow, shadow_status) = watch::channel(None);
        let services = Services {
            config: config.http.clone(),
            limits: config.limits,
            archive: archive.clone(),
            store: store.clone(),
            events: Arc::new(Listener(Arc::clone(&heard))),
            analysis: state,
            models: packages,
            shadow: shadow_status,
            destinations: vec![DestinationEntry {
                name: "pacs".to_owned(),
                kind: DestinationKind::Dicom,
                address: "pacs.example:104".to_owned(),
                attempts: 10,
            }],
            viewer: Viewer::open(&config.viewer.directory).expect("viewer"),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let shutdown = Shutdown::new();
        tokio::spawn(http::serve(listener, router(services).expect("router"), shutdown.clone()));
        let client = http::client::builder().build().expect("client");
        Self { client, address, archive, store, heard, analysis, models, shadow, shutdown, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Sends parts by STOW-RS as DCMTK and others write them.
    fn stow(&self, path: &str, files: &[&[u8]]) -> RequestBuilder {
        self.client
            .post(self.url(path))
            .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XyZ")
            .body(multipart(files))
    }

    /// Stores objects, all of which must be accepted.
    async fn keep(&self, objects: &[InMemDicomObject]) {
        let files: Vec<Vec<u8>> = objects.iter().map(|object| file(object, uids::EXPLICIT_VR_LITTLE_ENDIAN)).collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let answer = self.stow("/dicomweb/studies", &files).send().await.expect("answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn multipart(files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--XyZ\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

async fn json(request: RequestBuilder) -> serde_json::Value {
    let answer: Response = request.send().await.expect("answer");
    let status = answer.status();
    let text = answer.text().await.expect("text");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The contents of a multipart answer.
async fn parts(answer: Response) -> Vec<Vec<u8>> {
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
    let boundary = content_type.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("boundary");
    let body = answer.bytes().await.expect("body").to_vec();
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut rest = &body[delimiter.len() + 2..];
    while let Some(headers) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let content = &rest[headers + 4..];
        let end = format!("\r\n{delimiter}");
        let length = content.windows(end.len()).position(|bytes| bytes == end.as_bytes()).expect("end of part");
        parts.push(content[..length].to_vec());
        rest = &content[length + end.len()..];
    }
    // Without any part, the first delimiter is the last one.
    assert!(rest == b"--\r\n" || (parts.is_empty() && rest == b"\r\n"), "{rest:?}");
    parts
}

/// A DICOM file of a data set.
fn file(object: &InMemDicomObject, transfer_syntax_uid: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    complete(object, transfer_syntax_uid).write_all(&mut bytes).expect("write");
    bytes
}

fn complete(object: &InMemDicomObject, transfer_syntax_uid: &str) -> FileDicomObject<InMemDicomObject> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax_uid);
    object.clone().with_meta(meta).expect("file meta information")
}

/// The columns and rows of test images.
const COLUMNS: u16 = 6;
const ROWS: u16 = 5;

/// The stored values of a slice.
fn samples(number: u16) -> Vec<u16> {
    (0..COLUMNS * ROWS).map(|index| index * 37 + number * 100).collect()
}

/// A CT slice, with a patient whose name must stay inside DICOM.
fn slice(study: &str, series: &str, number: u16) -> InMemDicomObject {
    let text = |tag, vr, text: &str| DataElement::new(tag, vr, text);
    let short = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, &format!("{series}.{number}")),
        text(tags::STUDY_INSTANCE_UID, VR::UI, study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, series),
        text(tags::STUDY_DATE, VR::DA, "20240131"),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::PATIENT_NAME, VR::PN, "Secret^Name"),
        text(tags::PATIENT_ID, VR::LO, "SECRET-ID"),
        text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string()),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0\\0\\{number}.50")),
        text(tags::WINDOW_CENTER, VR::DS, "500"),
        text(tags::WINDOW_WIDTH, VR::DS, "1000"),
        text(tags::RESCALE_INTERCEPT, VR::DS, "0"),
        text(tags::RESCALE_SLOPE, VR::DS, "1"),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        short(tags::SAMPLES_PER_PIXEL, 1),
        short(tags::ROWS, ROWS),
        short(tags::COLUMNS, COLUMNS),
        short(tags::BITS_ALLOCATED, 16),
        short(tags::BITS_STORED, 16),
        short(tags::HIGH_BIT, 15),
        short(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples(number).into())),
    ])
}

/// The samples as they are encoded.
fn encoded(number: u16) -> Vec<u8> {
    samples(number).iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

//! Storing at another DICOMweb service: the sending side of STOW-RS
//! ([PS3.18 10.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.html)).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Response, StatusCode, redirect};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::causes::with_causes;
use crate::dicom::Uid;
use crate::node::http;

/// Bytes of a file read at once.
const READ_BYTES: usize = 256 << 10;
/// The longest answer that is read. One about 10,000 instances has some 3 MB.
const MAXIMUM_ANSWER_BYTES: usize = 16 << 20;
/// Time for an answer, beyond that for a transfer at [`SLOWEST_BYTES_PER_SECOND`].
const PATIENCE: Duration = Duration::from_mins(1);
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// How long the body waits after the headers. A service that refuses a request by its headers (no such address, too
/// large, not authorised) answers in this time. With a body under way, the connection would break and hide the answer.
const HEAD_START: Duration = Duration::from_millis(250);

const PART_HEAD: &str = "\r\nContent-Type: application/dicom\r\n\r\n";

/// Why nothing is known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The setting cannot be sent as a header.
    #[error("authorization holds characters that an HTTP header may not")]
    Authorization,
    /// A file cannot be read.
    #[error("reading an object to send: {0}")]
    Object(io::Error),
    /// The request did not end in an answer.
    #[error("STOW-RS at {url}: {reason}")]
    Request {
        /// Where it went.
        url: String,
        /// What went wrong, all causes.
        reason: String,
    },
    /// The connection broke while the request was being sent; whatever was answered is lost.
    #[error("STOW-RS at {url}: cut off while sending: {reason}")]
    CutOff {
        /// Where it went.
        url: String,
        /// What went wrong, all causes.
        reason: String,
    },
    /// The service refused the request as a whole.
    #[error("STOW-RS at {url} was answered with {status}")]
    Status {
        /// Where it went.
        url: String,
        /// The answer.
        status: StatusCode,
    },
}

impl ClientError {
    /// True if the objects may be the cause: the service may accept a request with other objects.
    pub fn is_about_the_objects(&self) -> bool {
        let about = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        match self {
            Self::Object(_) | Self::CutOff { .. } => true,
            Self::Status { status, .. } => about.contains(status),
            Self::Authorization | Self::Request { .. } => false,
        }
    }
}

/// What a service said of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Stored: the Referenced SOP Sequence (0008,1199) lists it, with a Warning Reason (0008,1196) where there is one.
    Stored(Option<u16>),
    /// Not stored, with the Failure Reason (0008,1197) where one was given.
    Refused(Option<u16>),
    /// The answer does not name it. It may be there or not.
    NotNamed,
}

/// A DICOMweb service to store at.
#[derive(Debug, Clone)]
pub struct StowClient {
    http: reqwest::Client,
    url: String,
    authorization: Option<HeaderValue>,
}

impl StowClient {
    /// A service by its base; `/studies` is appended. `authorization` is the value of the Authorization header, or empty.
    pub fn new(base: &str, authorization: &str) -> Result<Self, ClientError> {
        let url = format!("{}/studies", base.trim_end_matches('/'));
        let authorization = if authorization.is_empty() {
            None
        } else {
            let mut value = HeaderValue::from_str(authorization).map_err(|_| ClientError::Authorization)?;
            value.set_sensitive(true);
            Some(value)
        };
        let http = http::client::builder()
            .connect_timeout(Duration::from_secs(10))
            // A redirected body would have to be sent again, and its authorization to somebody else.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("pe-node/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(&url, &error))?;
        Ok(Self { http, url, authorization })
    }

    /// Stores DICOM files in one request, streamed from disk; one verdict an instance, in order.
    pub async fn store(&self, files: &[PathBuf], instances: &[Uid]) -> Result<Vec<Verdict>, ClientError> {
        let boundary = format!("pe-node-{}", Uid::random());
        let length = body_length(files, &boundary).await.map_err(ClientError::Object)?;
        let mut request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, format!("multipart/related; type=\"application/dicom\"; boundary=\"{boundary}\""))
            .header(CONTENT_LENGTH, length)
            .header(ACCEPT, "application/dicom+json")
            .timeout(PATIENCE + Duration::from_secs(length / SLOWEST_BYTES_PER_SECOND))
            .body(Body::wrap_stream(body(files.to_vec(), boundary)));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| unanswered(&self.url, &error))?;
        let status = response.status();
        let answer = match status {
            // 202: some failed or were changed; 409: none was stored. Both name what failed.
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::CONFLICT => self.read(response).await?,
            _ => return Err(ClientError::Status { url: self.url.clone(), status }),
        };
        let answer = StoreResponse::read(&answer).ok_or_else(|| ClientError::Request {
            url: self.url.clone(),
            reason: format!("the answer ({status}) is not DICOM JSON; is there a proxy or a login page in between?"),
        })?;
        let none_stored = status == StatusCode::CONFLICT;
        Ok(instances.iter().map(|instance| answer.verdict(instance, none_stored)).collect())
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&self.url, &error))? {
            if answer.len() + chunk.len() > MAXIMUM_ANSWER_BYTES {
                let reason = format!("the answer is longer than {MAXIMUM_ANSWER_BYTES} bytes");
                return Err(ClientError::Request { url: self.url.clone(), reason });
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

/// A request that got no answer: cut off in the middle, unless nobody was there or nothing came in time.
fn unanswered(url: &str, error: &reqwest::Error) -> ClientError {
    if error.is_connect() || error.is_timeout() {
        return failed(url, error);
    }
    ClientError::CutOff { url: url.to_owned(), reason: with_causes(error) }
}

fn failed(url: &str, error: &dyn std::error::Error) -> ClientError {
    ClientError::Request { url: url.to_owned(), reason: with_causes(error) }
}

/// The body's length: some services and proxies accept no chunked requests.
async fn body_length(files: &[PathBuf], boundary: &str) -> io::Result<u64> {
    let around = (2 + boundary.len() + PART_HEAD.len() + 2) as u64;
    let mut length = (2 + boundary.len() + 4) as u64;
    for file in files {
        length += around + tokio::fs::metadata(file).await?.len();
    }
    Ok(length)
}

/// The multipart body (RFC 2387), one part a file.
fn body(files: Vec<PathBuf>, boundary: String) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let text = |text: String| stream::once(async move { Ok(Bytes::from(text)) });
    let end = text(format!("--{boundary}--\r\n"));
    let parts = stream::iter(files).flat_map(move |file| {
        let content =
            stream::once(File::open(file)).map_ok(|file| ReaderStream::with_capacity(file, READ_BYTES)).try_flatten();
        // Boxed because the future that opens a file must be pinned.
        text(format!("--{boundary}{PART_HEAD}")).chain(content).chain(text("\r\n".to_owned())).boxed()
    });
    let ahead = stream::once(tokio::time::sleep(HEAD_START)).filter_map(async |()| None);
    ahead.chain(parts.chain(end))
}

/// What a Store Instances response says
/// ([PS3.18 10.5.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.3.html)).
#[derive(Debug, PartialEq, Eq)]
struct StoreResponse {
    /// Referenced SOP Sequence (0008,1199).
    stored: BTreeMap<Uid, Option<u16>>,
    /// Failed SOP Sequence (0008,1198). Items without an instance are left out.
    failed: BTreeMap<Uid, Option<u16>>,
}

impl StoreResponse {
    /// Reads DICOM JSON; `None` if it is not that.
    fn read(answer: &[u8]) -> Option<Self> {
        let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
        // Some services wrap the data set into an array.
        let data_set = answer.get(0).unwrap_or(&answer).as_object()?;
        let items = |tag: &str| {
            data_set.get(tag).and_then(|element| element["Value"].as_array()).map(Vec::as_slice).unwrap_or_default()
        };
        let instance = |item: &serde_json::Value| Uid::parse(item["00081155"]["Value"][0].as_str()?).ok();
        let code = |item: &serde_json::Value, tag: &str| {
            item[tag]["Value"][0].as_u64().and_then(|code| u16::try_from(code).ok())
        };
        let named = |sequence: &str, reason: &str| {
            items(sequence).iter().filter_map(|item| Some((instance(item)?, code(item, reason)))).collect()
        };
        Some(Self { stored: named("00081199", "00081196"), failed: named("00081198", "00081197") })
    }

    fn verdict(&self, instance: &Uid, none_stored: bool) -> Verdict {
        match self.failed.get(instance) {
            Some(reason) => Verdict::Refused(*reason),
            None if none_stored => Verdict::Refused(None),
            None => self.stored.get(instance).map_or(Verdict::NotNamed, |warning| Verdict::Stored(*warning)),
        }
    }
}

#[cfg(test)]
pub(in crate::node) mod testing {
    use axum::body::Bytes;
    use axum::http::StatusCode;

    /// The base URL of a service that answers each body with the status and text of `answer`.
    pub(in crate::node) async fn answering(
        answer: impl Fn(Bytes) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> String {
        let router = axum::Router::new().fallback(move |body: Bytes| async move {
            let (status, text) = answer(body);
            (StatusCode::from_u16(status).expect("status"), text)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dicom::bounded::Limits;
    use crate::node::archive::testing::{archive, slice, uid};
    use crate::node::archive::{Archive, Scope, StoredInstance};
    use crate::node::arrivals::Unheard;

    /// This node's own STOW-RS, on a free port.
    async fn service() -> (tempfile::TempDir, Archive, String) {
        let (folder, archive) = archive().await;
        let limits = Limits { object_mib: 16, depth: 8, elements: 1000, pixels: 1 << 20 };
        let router = axum::Router::new()
            .nest("/dicomweb", super::super::router(archive.clone(), limits, Arc::new(Unheard), 4))
            .into_make_service_with_connect_info::<std::net::SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/dicomweb/", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (folder, archive, url)
    }

    /// An archive with three slices to send.
    async fn source() -> (tempfile::TempDir, Vec<StoredInstance>) {
        let (folder, archive) = archive().await;
        for number in 1..=3 {
            archive.store(slice("1.1", "1.1.1", number, &[])).await.expect("store");
        }
        let stored = archive.instances(&Scope::Study(uid("1.1"))).await.expect("instances");
        (folder, stored)
    }

    async fn send(client: &StowClient, instances: &[StoredInstance]) -> Result<Vec<Verdict>, ClientError> {
        let files: Vec<PathBuf> = instances.iter().map(|instance| instance.path.clone()).collect();
        let uids: Vec<Uid> = instances.iter().map(|instance| instance.sop_instance_uid.clone()).collect();
        client.store(&files, &uids).await
    }

    #[tokio::test]
    async fn files_arrive_as_they_are() {
        let (_source, instances) = source().await;
        let (_folder, archive, url) = service().await;
        let client = StowClient::new(&url, "").expect("client");
        assert_eq!(send(&client, &instances).await.expect("stored"), [Verdict::Stored(None); 3]);
        let arrived = archive.instances(&Scope::Study(uid("1.1"))).await.expect("instances");
        let digests = |list: &[StoredInstance]| list.iter().map(|one| one.sha256.clone()).collect::<Vec<_>>();
        assert_eq!(digests(&arrived), digests(&instances));
    }

    #[tokio::test]
    async fn what_the_service_refuses_is_named() {
        let (source, mut instances) = source().await;
        let (_folder, _archive, url) = service().await;
        let broken = source.path().join("broken.dcm");
        let bytes = std::fs::read(&instances[1].path).expect("read");
        std::fs::write(&broken, &bytes[..bytes.len() - 3]).expect("write");
        instances[1].path = broken;
        let client = StowClient::new(&url, "Bearer secret").expect("client");
        let some = send(&client, &instances).await.expect("an answer");
        assert!(matches!(some[..], [Verdict::Stored(None), Verdict::Refused(_), Verdict::Stored(None)]), "{some:?}");
        let none = send(&client, &instances[1..2]).await.expect("an answer");
        assert!(matches!(none[..], [Verdict::Refused(_)]), "{none:?}");
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_or_refuses_the_request_is_an_error() {
        let (_source, instances) = source().await;
        let (_folder, _archive, url) = service().await;
        let wrong_path = StowClient::new(&url.replace("dicomweb", "nowhere"), "").expect("client");
        let refused = send(&wrong_path, &instances).await.expect_err("nothing is there");
        assert!(matches!(refused, ClientError::Status { .. }), "{refused}");
        let nobody = StowClient::new("http://127.0.0.1:1/dicomweb", "").expect("client");
        assert!(matches!(send(&nobody, &instances).await, Err(ClientError::Request { .. })));
        assert!(matches!(StowClient::new(&url, "line\nbreak"), Err(ClientError::Authorization)));
    }

    async fn answering(status: u16, answer: &'static str) -> StowClient {
        let url = super::testing::answering(move |_| (status, answer.to_owned())).await;
        StowClient::new(&url, "").expect("client")
    }

    #[tokio::test]
    async fn only_what_the_answer_names_as_stored_is_stored() {
        let (_source, instances) = source().await;
        let partial = r#"{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.1.1.1"]}}]},
            "00081198":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[42752]}}]}}"#;
        let verdicts = send(&answering(202, partial).await, &instances).await.expect("an answer");
        assert_eq!(verdicts, [Verdict::Stored(None), Verdict::NotNamed, Verdict::NotNamed]);
        let verdicts = send(&answering(409, "{}").await, &instances).await.expect("an answer");
        assert_eq!(verdicts, [Verdict::Refused(None); 3]);
        for no_answer in ["", "<html>Please log in</html>", "[]", "7"] {
            let error = send(&answering(200, no_answer).await, &instances).await.expect_err("not DICOM JSON");
            assert!(error.to_string().contains("not DICOM JSON") && !error.is_about_the_objects(), "{error}");
        }
        let error = send(&answering(413, "").await, &instances).await.expect_err("too large");
        assert!(error.is_about_the_objects());
    }

    #[test]
    fn answers_of_every_form_are_understood() {
        let sequence = r#"{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2.3"]},
            "00081197":{"vr":"US","Value":[49152]}}]}}"#;
        let expected =
            StoreResponse { stored: BTreeMap::new(), failed: BTreeMap::from([(uid("1.2.3"), Some(0xC000))]) };
        assert_eq!(StoreResponse::read(sequence.as_bytes()).as_ref(), Some(&expected));
        assert_eq!(StoreResponse::read(format!("[{sequence}]").as_bytes()), Some(expected));
        for nothing in ["", "[]", "<NativeDicomModel/>"] {
            assert_eq!(StoreResponse::read(nothing.as_bytes()), None);
        }
    }
}

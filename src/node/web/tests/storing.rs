use std::time::Duration;

use futures_util::stream;

use super::*;
use crate::node::dicomweb::multipart::MAXIMUM_PARTS;

const STUDIES: &str = "/dicomweb/studies";

async fn status_and_json(request: RequestBuilder) -> (u16, serde_json::Value) {
    let answer = request.send().await.expect("answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("text");
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
}

fn good(number: u16) -> Vec<u8> {
    file(&slice("1.2.3", "1.2.3.4", number), uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

#[tokio::test]
async fn what_is_stored_is_acknowledged_and_assembly_hears_of_it() {
    let node = Node::open().await;
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&good(1), &good(2)])).await;
    assert_eq!(status, 200);
    assert_eq!(answer["00081199"]["Value"].as_array().map(Vec::len), Some(2));
    assert!(answer.get("00081198").is_none());
    assert_eq!(answer["00081190"]["Value"][0], node.url("/dicomweb/studies/1.2.3"));
    assert_eq!(*node.heard.lock().expect("lock"), ["1.2.3.4", "1.2.3.4", ""]);
    // Storing it again changes nothing.
    assert_eq!(status_and_json(node.stow(STUDIES, &[&good(1)])).await.0, 200);
}

#[tokio::test]
async fn good_parts_are_kept_beside_bad_ones() {
    let node = Node::open().await;
    let whole = good(2);
    let truncated = &whole[..whole.len() - 10];
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&good(1), truncated, b"not DICOM"])).await;
    assert_eq!(status, 202);
    assert_eq!(answer["00081199"]["Value"].as_array().map(Vec::len), Some(1));
    let failed = answer["00081198"]["Value"].as_array().expect("failures");
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0]["00081155"]["Value"][0], "1.2.3.4.2");
    assert_eq!(failed[0]["00081197"]["Value"][0], 0xC000);
}

#[tokio::test]
async fn another_study_under_a_known_identifier_is_a_failure_and_is_held() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let mut other = slice("1.2.3", "1.2.3.4", 1);
    other.put(DataElement::new(tags::STUDY_DESCRIPTION, VR::LO, "other"));
    let other = file(&other, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&other])).await;
    assert_eq!((status, &answer["00081198"]["Value"][0]["00081197"]["Value"][0]), (409, &0xC100.into()));
}

#[tokio::test]
async fn nothing_stored_is_a_conflict_with_its_reason() {
    let node = Node::open().await;
    let (status, answer) = status_and_json(node.stow("/dicomweb/studies/9.9", &[&good(1)])).await;
    assert_eq!((status, &answer["00081198"]["Value"][0]["00081197"]["Value"][0]), (409, &0xC409.into()));
    let contradiction = {
        let mut object = complete(&slice("1.2.3", "1.2.3.4", 1), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        object.update_meta(|meta| meta.media_storage_sop_instance_uid = "1.2.3.99".to_owned());
        let mut bytes = Vec::new();
        object.write_all(&mut bytes).expect("write");
        bytes
    };
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&contradiction])).await;
    assert_eq!((status, &answer["00081198"]["Value"][0]["00081197"]["Value"][0]), (409, &0xA900.into()));
}

#[tokio::test]
async fn bad_syntax_and_foreign_content_are_refused() {
    let node = Node::open().await;
    let post = |content_type: &str, body: &[u8]| {
        node.client.post(node.url(STUDIES)).header("Content-Type", content_type).body(body.to_vec())
    };
    let multipart_body = multipart(&[&good(1)]);
    for (content_type, body, expected) in [
        ("multipart/related; type=\"application/dicom\"", &multipart_body[..], 400),
        ("multipart/related; type=application/dicom; boundary=XyZ", b"--XyZ--", 400),
        ("multipart/related; type=application/dicom; boundary=XyZ", b"", 400),
        ("multipart/related; type=application/dicom; boundary=XyZ", &multipart_body[..200], 400),
        ("multipart/related; type=\"application/dicom+json\"; boundary=XyZ", &multipart_body[..], 415),
        ("application/json", b"{}", 415),
    ] {
        let (status, answer) = status_and_json(post(content_type, body)).await;
        assert_eq!(status, expected, "{content_type}: {answer}");
        assert!(answer["advice"].is_string());
    }
    let compressed = node.stow(STUDIES, &[&good(1)]).header("Content-Encoding", "gzip");
    assert_eq!(status_and_json(compressed).await.0, 415);
    let xml = node.stow(STUDIES, &[&good(1)]).header("Accept", "application/dicom+xml");
    assert_eq!(status_and_json(xml).await.0, 406);
}

#[tokio::test]
async fn what_arrived_before_a_request_was_cut_off_is_kept_and_acknowledged() {
    let node = Node::open().await;
    let mut body = multipart(&[&good(1), &good(2)]);
    body.truncate(body.len() - 100);
    let request = node
        .client
        .post(node.url(STUDIES))
        .header("Content-Type", "multipart/related; type=application/dicom; boundary=XyZ")
        .body(body);
    let (status, answer) = status_and_json(request).await;
    assert_eq!(status, 202);
    assert_eq!(answer["00081199"]["Value"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["00081198"]["Value"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_part_beyond_the_limit_costs_only_itself() {
    let node = Node::with(&["limits.object_mib=1"]).await;
    let large = vec![0_u8; (1 << 20) + 1];
    assert_eq!(status_and_json(node.stow(STUDIES, &[&large, &good(1)])).await.0, 202);
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&large])).await;
    assert_eq!((status, &answer["00081198"]["Value"][0]["00081197"]["Value"][0]), (413, &0xA700.into()));
}

#[tokio::test]
async fn a_full_archive_says_so() {
    let node = Node::with(&["storage.minimum_free_mib=1000000000"]).await;
    let (status, answer) = status_and_json(node.stow(STUDIES, &[&good(1)])).await;
    assert_eq!((status, &answer["00081198"]["Value"][0]["00081197"]["Value"][0]), (507, &0xA700.into()));
    let readiness = node.get("/readyz").send().await.expect("answer");
    assert_eq!(readiness.status(), 503);
}

#[tokio::test]
async fn one_upload_too_many_is_asked_to_come_back() {
    let node = Node::with(&["http.maximum_uploads=1"]).await;
    let body = reqwest::Body::wrap_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let slow = node
        .client
        .post(node.url(STUDIES))
        .header("Content-Type", "multipart/related; type=application/dicom; boundary=XyZ")
        .body(body)
        .send();
    let slow = tokio::spawn(slow);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = node.stow(STUDIES, &[&good(1)]).send().await.expect("answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    slow.abort();
    // A client that goes away frees its place.
    for _ in 0..50 {
        if node.stow(STUDIES, &[&good(1)]).send().await.expect("answer").status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the place was never free again");
}

#[tokio::test]
async fn more_parts_than_are_accepted_are_refused_together() {
    let node = Node::open().await;
    let object = good(1);
    let mut files: Vec<&[u8]> = vec![&object];
    files.resize(MAXIMUM_PARTS + 2000, b"");
    let (status, answer) = status_and_json(node.stow(STUDIES, &files)).await;
    assert_eq!(status, 202);
    assert_eq!(answer["00081199"]["Value"].as_array().map(Vec::len), Some(1), "what was stored is acknowledged");
    let failed = answer["00081198"]["Value"].as_array().expect("failures");
    assert_eq!(failed.len(), MAXIMUM_PARTS, "each part but the first, and one refusal for the rest");
    assert_eq!(failed.last().expect("a refusal")["00081197"]["Value"][0], 0xA700);
    let (status, answer) = status_and_json(node.stow(STUDIES, &files[1..])).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("20000 parts")), "{answer}");
}

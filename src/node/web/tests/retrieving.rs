use dicom_core::value::DataSetSequence;
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::entries::JPEG_LS_LOSSLESS_IMAGE_COMPRESSION;

use super::*;
use crate::dicom::bounded;
use crate::node::archive::Scope;

const SERIES: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4";
const INSTANCE: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.1";

fn data_set(bytes: &[u8]) -> Vec<u8> {
    bounded::split(bytes).expect("DICOM").data_set.to_vec()
}

/// A slice compressed without loss.
pub(super) fn compressed() -> Vec<u8> {
    let mut object = complete(&slice("1.2.3", "1.2.3.4", 1), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.transcode(&JPEG_LS_LOSSLESS_IMAGE_COMPRESSION.erased()).expect("compress");
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).expect("write");
    bytes
}

#[tokio::test]
async fn objects_come_back_as_they_were_sent_at_every_level() {
    let node = Node::open().await;
    let files = [1, 2].map(|number| file(&slice("1.2.3", "1.2.3.4", number), uids::IMPLICIT_VR_LITTLE_ENDIAN));
    let sent: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(node.stow("/dicomweb/studies", &sent).send().await.expect("answer").status(), 200);
    let any = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
    for (path, expected) in [("/dicomweb/studies/1.2.3", 2), (SERIES, 2), (INSTANCE, 1)] {
        let back = parts(node.get(path).header("Accept", any).send().await.expect("answer")).await;
        assert_eq!(back.len(), expected);
        for (back, sent) in back.iter().zip(&files) {
            assert_eq!(data_set(back), data_set(sent));
        }
    }
    // Without a transfer syntax, explicit VR little endian is meant.
    let explicit = node.get(INSTANCE).header("Accept", "multipart/related; type=application/dicom");
    let [back] = &parts(explicit.send().await.expect("answer")).await[..] else { panic!("one part") };
    assert_eq!(bounded::split(back).expect("DICOM").transfer_syntax_uid, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let single = node.get(INSTANCE).header("Accept", "application/dicom; transfer-syntax=*").send().await;
    assert_eq!(data_set(&single.expect("answer").bytes().await.expect("body")), data_set(&files[0]));
}

#[tokio::test]
async fn a_media_type_that_is_not_offered_is_refused_before_anything_is_sent() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    for (path, accept) in [
        (INSTANCE, "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.90"),
        (INSTANCE, "image/jpeg"),
        (&format!("{INSTANCE}/metadata"), "text/plain"),
        (&format!("{INSTANCE}/frames/1"), "multipart/related; type=image/jpeg"),
        (&format!("{INSTANCE}/rendered"), "image/gif"),
    ] {
        let answer = node.get(path).header("Accept", accept).send().await.expect("answer");
        assert_eq!(answer.status(), 406, "{path} as {accept}");
    }
    for path in
        [format!("{INSTANCE}/frames/2"), format!("{INSTANCE}9/metadata"), format!("{INSTANCE}/bulkdata/00280010/9")]
    {
        assert_eq!(node.get(&path).send().await.expect("answer").status(), 404, "{path}");
    }
    let answer = node.get(&format!("{INSTANCE}/frames/0")).send().await.expect("answer");
    assert_eq!(answer.status(), 400);
    assert_eq!(node.get("/dicomweb/studies/..%2F..%2Fetc/metadata").send().await.expect("answer").status(), 400);
}

#[tokio::test]
async fn frames_are_the_samples_of_the_image() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let viewer = "multipart/related; type=application/octet-stream; transfer-syntax=*";
    let answer = node.get(&format!("{INSTANCE}/frames/1")).header("Accept", viewer).send().await.expect("answer");
    assert_eq!(parts(answer).await, [encoded(1)]);
}

#[tokio::test]
async fn compressed_images_are_decoded_or_sent_as_they_are() {
    let node = Node::open().await;
    let sent = compressed();
    assert_eq!(node.stow("/dicomweb/studies", &[&sent]).send().await.expect("answer").status(), 200);
    let frame = format!("{INSTANCE}/frames/1");
    let decoded = node.get(&frame).header("Accept", "multipart/related; type=\"application/octet-stream\"");
    assert_eq!(parts(decoded.send().await.expect("answer")).await, [encoded(1)]);
    for as_stored in
        ["multipart/related; type=\"image/jls\"", "multipart/related; type=application/octet-stream; transfer-syntax=*"]
    {
        let answer = node.get(&frame).header("Accept", as_stored).send().await.expect("answer");
        let body = answer.bytes().await.expect("body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("transfer-syntax=1.2.840.10008.1.2.4.80"), "{as_stored}");
        assert!(body.windows(3).any(|bytes| bytes == [0xFF, 0xD8, 0xFF]), "{as_stored}");
    }
    let explicit = node.get(INSTANCE).header("Accept", "multipart/related; type=\"application/dicom\"");
    let [back] = &parts(explicit.send().await.expect("answer")).await[..] else { panic!("one part") };
    let parsed = dicom_object::from_reader(&back[..]).expect("DICOM");
    assert_eq!(parsed.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes"), encoded(1));
    let bulk = node.get(&format!("{INSTANCE}/bulkdata/7FE00010")).send().await.expect("answer");
    assert_eq!(bulk.bytes().await.expect("body"), encoded(1));
}

#[tokio::test]
async fn metadata_refers_to_pixels_and_holds_the_rest() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1), slice("1.2.3", "1.2.3.4", 2)]).await;
    for (path, expected) in [("/dicomweb/studies/1.2.3", 2), (SERIES, 2), (INSTANCE, 1)] {
        let metadata = json(node.get(&format!("{path}/metadata"))).await;
        assert_eq!(metadata.as_array().map(Vec::len), Some(expected));
        assert_eq!(metadata[0]["00280010"]["Value"], serde_json::json!([ROWS]));
        assert_eq!(metadata[0]["00200032"]["Value"], serde_json::json!([0.0, 0.0, 1.5]));
        let reference = metadata[0]["7FE00010"]["BulkDataURI"].as_str().expect("reference").to_owned();
        let bulk = node.client.get(&reference).send().await.expect("answer");
        assert_eq!(bulk.bytes().await.expect("body"), encoded(1));
        let range = node.client.get(&reference).header("Range", "bytes=2-5").send().await.expect("answer");
        assert_eq!(range.status(), 206);
        assert_eq!(range.headers()["content-range"], "bytes 2-5/60");
        assert_eq!(range.bytes().await.expect("body"), encoded(1)[2..6]);
        let outside = node.client.get(&reference).header("Range", "bytes=60-").send().await.expect("answer");
        assert_eq!(outside.status(), 416);
    }
}

#[tokio::test]
async fn a_report_is_read_from_its_metadata_alone() {
    let node = Node::open().await;
    let graphic: Vec<f32> = (0..2000_u16).map(f32::from).collect();
    let region = InMemDicomObject::from_element_iter([DataElement::new(
        tags::GRAPHIC_DATA,
        VR::FL,
        PrimitiveValue::F32(graphic.into()),
    )]);
    let mut report = slice("1.2.3", "1.2.3.4", 1);
    report.remove_element(tags::PIXEL_DATA);
    report.remove_element(tags::ROWS);
    report.put(DataElement::new(tags::CONTENT_SEQUENCE, VR::SQ, DataSetSequence::from(vec![region])));
    node.keep(&[report]).await;
    let metadata = json(node.get(&format!("{INSTANCE}/metadata"))).await;
    let data = &metadata[0]["0040A730"]["Value"][0]["00700022"]["Value"];
    assert_eq!(data.as_array().map(Vec::len), Some(2000));
    assert!(metadata[0].get("7FE00010").is_none());
    assert_eq!(node.get(&format!("{INSTANCE}/rendered")).send().await.expect("answer").status(), 404);
}

/// Sequences in sequences, each of undefined length, without an end.
fn nested(depth: usize) -> Vec<u8> {
    b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".repeat(depth)
}

/// A slice with a private sequence of unknown representation and undefined length (PS3.5 6.2.2) before its patient.
fn with_unknown_sequence() -> Vec<u8> {
    let mut bytes = file(&slice("1.2.3", "1.2.3.4", 1), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let patient = bytes.windows(6).position(|window| window == b"\x10\0\x10\0PN").expect("a patient");
    let unknown = b"\x09\0\x10\0LO\x02\0X \x09\0\x01\x10UN\0\0\xFF\xFF\xFF\xFF\
        \xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x08\0\x60\0\x02\0\0\0CT\
        \xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
    bytes.splice(patient..patient, unknown.iter().copied());
    bytes
}

#[tokio::test]
async fn what_follows_pixel_data_and_what_no_parser_knows_do_no_harm() {
    let plain = |syntax| file(&slice("1.2.3", "1.2.3.4", 1), syntax);
    let deep = [plain(uids::EXPLICIT_VR_LITTLE_ENDIAN), nested(200_000)].concat();
    let padded = [plain(uids::IMPLICIT_VR_LITTLE_ENDIAN), vec![0; 101]].concat();
    for (sent, private) in [(deep, false), (padded, false), (with_unknown_sequence(), true)] {
        let node = Node::open().await;
        assert_eq!(node.stow("/dicomweb/studies", &[&sent]).send().await.expect("answer").status(), 200);
        let metadata = json(node.get(&format!("{INSTANCE}/metadata"))).await;
        assert_eq!(metadata[0]["00100020"]["Value"], serde_json::json!(["SECRET-ID"]));
        assert!(metadata[0]["7FE00010"]["BulkDataURI"].is_string());
        let sequence = serde_json::json!({ "vr": "SQ", "Value": [{ "00080060": { "vr": "CS", "Value": ["CT"] } }] });
        assert_eq!(metadata[0].get("00091001"), private.then_some(&sequence));
        let frame = node.get(&format!("{INSTANCE}/frames/1")).send().await.expect("answer");
        assert_eq!(parts(frame).await, [encoded(1)]);
        let bulk = node.get(&format!("{INSTANCE}/bulkdata/7FE00010")).send().await.expect("answer");
        assert_eq!(bulk.bytes().await.expect("body"), encoded(1));
        assert_eq!(node.get(&format!("{INSTANCE}/rendered")).send().await.expect("answer").status(), 200);
        let object = node.get(INSTANCE).header("Accept", "application/dicom").send().await.expect("answer");
        assert_eq!(object.status(), 200);
        assert!(object.bytes().await.expect("the whole body").len() > encoded(1).len());
    }
}

#[tokio::test]
async fn an_archived_object_that_cannot_be_read_is_a_problem() {
    let node = Node::open().await;
    let sent = file(&slice("1.2.3", "1.2.3.4", 1), uids::IMPLICIT_VR_LITTLE_ENDIAN);
    assert_eq!(node.stow("/dicomweb/studies", &[&sent]).send().await.expect("answer").status(), 200);
    let scope = Scope::Study(Uid::parse("1.2.3").expect("uid"));
    let stored = node.archive.instances(&scope).await.expect("instances");
    std::fs::write(&stored[0].path, &sent[..sent.len() - 10]).expect("damage");
    for path in ["/metadata", "/frames/1", "/rendered", "/bulkdata/7FE00010", ""] {
        let request = node.get(&format!("{INSTANCE}{path}"));
        let request = if path.is_empty() { request.header("Accept", "application/dicom") } else { request };
        let answer = request.send().await.expect("answer");
        assert_eq!(answer.status(), 500, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn metadata_refers_to_the_kind_of_pixel_data_there_is() {
    let node = Node::open().await;
    let mut floating = slice("1.2.3", "1.2.3.4", 1);
    floating.remove_element(tags::PIXEL_DATA);
    let values: Vec<f32> = (0..COLUMNS * ROWS).map(f32::from).collect();
    floating.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, PrimitiveValue::F32(values.into())));
    let mut without = slice("1.2.3", "1.2.3.4", 2);
    without.remove_element(tags::PIXEL_DATA);
    node.keep(&[floating, without]).await;
    let metadata = json(node.get(&format!("{SERIES}/metadata"))).await;
    assert_eq!(metadata[0]["7FE00008"]["vr"], "OF");
    let reference = metadata[0]["7FE00008"]["BulkDataURI"].as_str().expect("reference").to_owned();
    let bulk = node.client.get(&reference).send().await.expect("answer");
    assert_eq!(bulk.bytes().await.expect("body").len(), usize::from(COLUMNS * ROWS) * 4);
    assert!(metadata[0].get("7FE00010").is_none() && metadata[1].get("7FE00010").is_none());
}

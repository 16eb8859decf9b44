//! The form of what is retrieved: single and in parts, changed and unchanged, bulk data and frames.

use dicom_core::value::PixelFragmentSequence;
use reqwest::header::HeaderMap;

use super::*;
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;

const STUDY: &str = "/dicomweb/studies/1.2.3";
const SERIES: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4";
const INSTANCE: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.1";

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text").to_owned()
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    for path in
        ["", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010", "/bulkdata", "/pixeldata"]
    {
        let url = format!("{INSTANCE}{path}");
        let first = node.get(&url).send().await.expect("answer");
        assert_eq!(first.status(), 200, "{path}");
        let (etag, modified) = (text(first.headers(), "etag"), text(first.headers(), "last-modified"));
        assert!(first.headers().get_all("vary").iter().any(|value| value == "accept"), "{path}");
        for (name, value, status) in [
            ("If-None-Match", etag.as_str(), 304),
            ("If-None-Match", "\"other\"", 200),
            ("If-Modified-Since", modified.as_str(), 304),
            ("If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT", 200),
            ("If-Modified-Since", "yesterday", 200),
        ] {
            let again = node.get(&url).header(name, value).send().await.expect("answer");
            assert_eq!(again.status(), status, "{path} with {name}: {value}");
            assert_eq!(text(again.headers(), "etag"), etag);
        }
    }
    // Another form is another answer, and so is a series that has grown.
    let etag = async |path: &str, accept: &str| {
        let answer = node.get(path).header("Accept", accept).send().await.expect("answer");
        text(answer.headers(), "etag")
    };
    let rendered = format!("{INSTANCE}/rendered");
    assert_ne!(etag(&rendered, "image/png").await, etag(&rendered, "image/jpeg").await);
    let before = etag(&format!("{SERIES}/metadata"), "*/*").await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 2)]).await;
    assert_ne!(etag(&format!("{SERIES}/metadata"), "*/*").await, before);
}

#[tokio::test]
async fn a_single_part_is_given_where_it_is_asked_for() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let frame = format!("{INSTANCE}/frames/1");
    let get = async |path: &str, accept: &str| node.get(path).header("Accept", accept).send().await.expect("answer");
    let single = get(&frame, "application/octet-stream").await;
    assert!(text(single.headers(), "content-type").starts_with("application/octet-stream"));
    assert_eq!(text(single.headers(), "content-length"), encoded(1).len().to_string());
    assert_eq!(single.bytes().await.expect("body"), encoded(1));
    // The query parameter comes before the header (PS3.18 8.3.3.1).
    let by_query =
        get(&format!("{frame}?accept=application/octet-stream"), "multipart/related; type=\"image/jls\"").await;
    assert_eq!(by_query.bytes().await.expect("body"), encoded(1));
    assert_eq!(parts(get(&frame, "*/*").await).await, [encoded(1)]);
    let object = get(INSTANCE, "application/dicom; transfer-syntax=*").await;
    let length: usize = text(object.headers(), "content-length").parse().expect("a length");
    assert_eq!(object.bytes().await.expect("body").len(), length);
    let whole = get(SERIES, "multipart/related; type=\"application/dicom\"; transfer-syntax=*").await;
    let length: usize = text(whole.headers(), "content-length").parse().expect("a length");
    assert_eq!(whole.bytes().await.expect("body").len(), length);
    let head = node.client.head(node.url(SERIES)).send().await.expect("answer");
    assert_eq!(text(head.headers(), "content-length").parse::<usize>().expect("a length"), length);
    let many = vec!["1"; 4000].join(",");
    for (list, status) in [("1,1", 400), ("1,2", 404), (many.as_str(), 400)] {
        assert_eq!(get(&format!("{INSTANCE}/frames/{list}"), "*/*").await.status(), status);
    }
}

/// Three frames of single bits, which begin in the middle of bytes.
fn bits() -> InMemDicomObject {
    let mut object = slice("1.2.3", "1.2.3.5", 1);
    for (tag, value) in [
        (tags::ROWS, 1_u16),
        (tags::COLUMNS, 5),
        (tags::BITS_ALLOCATED, 1),
        (tags::BITS_STORED, 1),
        (tags::HIGH_BIT, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "3"));
    let packed = vec![0b1001_0101, 0b0111_1101];
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(packed.into())));
    object
}

#[tokio::test]
async fn frames_of_every_encoding_are_read_by_their_places() {
    let node = Node::open().await;
    let big_endian = file(&slice("1.2.3", "1.2.3.4", 1), EXPLICIT_VR_BIG_ENDIAN);
    let deflated = file(&slice("1.2.3", "1.2.3.4", 2), uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
    let packed = file(&bits(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let answer = node.stow("/dicomweb/studies", &[&big_endian, &deflated, &packed]).send().await.expect("answer");
    assert_eq!(answer.status(), 200);
    for number in [1, 2] {
        let instance = format!("{SERIES}/instances/1.2.3.4.{number}");
        assert_eq!(
            parts(node.get(&format!("{instance}/frames/1")).send().await.expect("answer")).await,
            [encoded(number)]
        );
        let range = node.get(&format!("{instance}/bulkdata/7FE00010")).header("Range", "bytes=2-5").send().await;
        assert_eq!(range.expect("answer").bytes().await.expect("body"), encoded(number)[2..6]);
    }
    let frames = node.get("/dicomweb/studies/1.2.3/series/1.2.3.5/instances/1.2.3.5.1/frames/1,2,3").send().await;
    let frames = parts(frames.expect("answer")).await;
    assert_eq!(frames[1..], [vec![0b0_1100], vec![0b1_1111]]);
    assert_eq!(frames[0][0] & 0b1_1111, 0b1_0101);
}

#[tokio::test]
async fn bulk_data_and_pixel_data_of_all_levels_are_parts() {
    let node = Node::open().await;
    let mut document = slice("1.2.3", "1.2.3.4", 2);
    document.put(DataElement::new(tags::ENCAPSULATED_DOCUMENT, VR::OB, PrimitiveValue::from(vec![7_u8; 4096])));
    node.keep(&[slice("1.2.3", "1.2.3.4", 1), document]).await;
    for (path, expected) in [
        (format!("{STUDY}/pixeldata"), vec![encoded(1), encoded(2)]),
        (format!("{SERIES}/pixeldata"), vec![encoded(1), encoded(2)]),
        (format!("{INSTANCE}/pixeldata"), vec![encoded(1)]),
        (format!("{STUDY}/bulkdata"), vec![encoded(1), vec![7; 4096], encoded(2)]),
        (format!("{INSTANCE}/bulkdata"), vec![encoded(1)]),
    ] {
        assert_eq!(parts(node.get(&path).send().await.expect("answer")).await, expected, "{path}");
    }
    // Each part is where metadata says that it is.
    let metadata = json(node.get(&format!("{SERIES}/metadata"))).await;
    let body = node.get(&format!("{SERIES}/bulkdata")).send().await.expect("answer").bytes().await.expect("body");
    let body = String::from_utf8_lossy(&body).into_owned();
    for reference in [&metadata[0]["7FE00010"], &metadata[1]["7FE00010"], &metadata[1]["00420011"]] {
        let location = format!("Content-Location: {}\r\n", reference["BulkDataURI"].as_str().expect("reference"));
        assert!(body.contains(&location), "{location}");
    }
    let single = node.get(&format!("{STUDY}/pixeldata")).header("Accept", "application/octet-stream").send().await;
    assert_eq!(single.expect("answer").status(), 406);
}

#[tokio::test]
async fn compressed_pixel_data_is_decoded_or_given_frame_by_frame() {
    let node = Node::open().await;
    let sent = super::retrieving::compressed();
    assert_eq!(node.stow("/dicomweb/studies", &[&sent]).send().await.expect("answer").status(), 200);
    let path = format!("{INSTANCE}/pixeldata");
    assert_eq!(parts(node.get(&path).send().await.expect("answer")).await, [encoded(1)]);
    let stored =
        node.get(&path).header("Accept", "multipart/related; type=application/octet-stream; transfer-syntax=*");
    let stored = parts(stored.send().await.expect("answer")).await;
    assert_eq!(stored[0][..3], [0xFF, 0xD8, 0xFF]);
    let other = node.get(INSTANCE).header("Accept", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90");
    let other = other.send().await.expect("answer");
    assert_eq!(other.status(), 406);
    assert!(other.text().await.expect("text").contains("transfer-syntax=*"));
}

/// The values `61 * index % 4096` of 8 x 8 pixels as high-throughput JPEG 2000 without loss, encoded by OpenJPH 0.26.3.
const HIGH_THROUGHPUT: &str = "\
    ff4fff5100294000000000080000000800000000000000000000000800000008000000000000000000010f0101ff50000800 \
    020000000aff52000c00020001000504044001ff5c00132088909090909090909090909090888888ff64001700014f70656e \
    4a50482056657220302e32362e332eff90000a00000000005a0001ff93c0002635f6050774000000c00013400013002afe02 \
    07740064f103877400c000134000138010100182740092288900c35400c0002a20001560388ee3aa70827500ce3b77eefcc0 \
    4201ecb600ffd9";

#[tokio::test]
async fn high_throughput_jpeg_2000_is_accepted_and_decoded() {
    let digits: Vec<u8> = HIGH_THROUGHPUT.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    let mut stream: Vec<u8> = digits.chunks(2).map(byte).collect();
    stream.push(0);
    let mut object = slice("1.2.3", "1.2.3.4", 1);
    for tag in [tags::ROWS, tags::COLUMNS] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(8_u16)));
    }
    let fragments = PixelFragmentSequence::new(vec![0], vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    let node = Node::open().await;
    let sent = file(&object, uids::HTJ2K_LOSSLESS);
    assert_eq!(node.stow("/dicomweb/studies", &[&sent]).send().await.expect("answer").status(), 200);
    let values: Vec<u8> = (0..64_u16).flat_map(|index| (index * 61 % 4096).to_le_bytes()).collect();
    assert_eq!(parts(node.get(&format!("{INSTANCE}/frames/1")).send().await.expect("answer")).await, [values]);
    let own = node.get(&format!("{INSTANCE}/frames/1")).header("Accept", "image/jphc").send().await.expect("answer");
    assert_eq!(text(own.headers(), "content-type"), "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201");
}

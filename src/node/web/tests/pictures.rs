//! Rendered images, thumbnails and WADO-URI.

use dicom_core::value::DataSetSequence;
use image::{GrayImage, ImageFormat};

use super::*;

const SERIES: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4";
const INSTANCE: &str = "/dicomweb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.1";

#[tokio::test]
async fn pictures_are_windowed_as_the_object_says_or_as_asked() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let picture = async |query: &str| {
        let answer =
            node.get(&format!("{INSTANCE}/{query}")).header("Accept", "image/png").send().await.expect("answer");
        assert_eq!(answer.status(), 200, "{query}");
        image::load_from_memory(&answer.bytes().await.expect("body")).expect("PNG").to_luma8()
    };
    let own = picture("rendered").await;
    assert_eq!(own.dimensions(), (u32::from(COLUMNS), u32::from(ROWS)));
    // Stored values go from 100 to 1173; the window from 0 to 1000.
    assert!((24..=27).contains(&own.get_pixel(0, 0)[0]) && own.get_pixel(5, 4)[0] == 255);
    let dark = picture("frames/1/rendered?window=5000,1000,linear").await;
    assert!(dark.pixels().all(|pixel| pixel[0] == 0));
    assert_eq!(picture("rendered?frame=1&viewport=12,12").await.dimensions(), (12, 10));
    let thumbnail = node.get(&format!("{SERIES}/thumbnail")).send().await.expect("answer");
    assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
    let wrong = node.get(&format!("{INSTANCE}/rendered?window=1")).send().await.expect("answer");
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn pictures_come_as_png_or_as_jpeg() {
    let node = Node::open().await;
    let mut colours = slice("1.2.3", "1.2.3.4", 2);
    colours.put(DataElement::new(tags::SAMPLES_PER_PIXEL, VR::US, PrimitiveValue::from(3_u16)));
    colours.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"));
    for tag in [tags::BITS_ALLOCATED, tags::BITS_STORED] {
        colours.put(DataElement::new(tag, VR::US, PrimitiveValue::from(8_u16)));
    }
    colours.put(DataElement::new(tags::HIGH_BIT, VR::US, PrimitiveValue::from(7_u16)));
    let red: Vec<u8> = [200, 0, 0].repeat(usize::from(COLUMNS * ROWS));
    colours.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(red.into())));
    node.keep(&[slice("1.2.3", "1.2.3.4", 1), colours]).await;
    let dimensions = (u32::from(COLUMNS), u32::from(ROWS));
    for (path, accept, expected) in [
        ("/rendered", "image/jpeg", "image/jpeg"),
        ("/rendered", "image/png;q=0.5, image/jpeg", "image/jpeg"),
        ("/frames/1/rendered", "image/jpeg;q=0.5, image/png", "image/png"),
        ("/rendered?accept=image/jpeg&quality=50", "*/*", "image/jpeg"),
        ("/thumbnail", "image/jpeg", "image/jpeg"),
        ("/rendered", "image/*", "image/jpeg"),
        ("/rendered", "*/*", "image/jpeg"),
    ] {
        for instance in [INSTANCE, "/dicomweb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.2"] {
            let answer = node.get(&format!("{instance}{path}")).header("Accept", accept).send().await.expect("answer");
            assert_eq!(answer.status(), 200, "{path} as {accept}");
            assert_eq!(answer.headers()["content-type"], expected, "{path} as {accept}");
            let varies = answer.headers().get_all("vary").iter().any(|value| value == "accept");
            assert!(varies, "a cache must tell the two forms apart");
            let format = image::ImageFormat::from_mime_type(expected).expect("known");
            let picture = image::load_from_memory_with_format(&answer.bytes().await.expect("body"), format);
            let picture = picture.expect("a picture");
            assert!(path == "/thumbnail" || (picture.width(), picture.height()) == dimensions);
            let [red, green, _] = picture.to_rgb8().get_pixel(0, 0).0;
            assert!(if instance == INSTANCE { red == green } else { red > 150 && green < 60 }, "{path} as {accept}");
        }
    }
}

/// An image of several frames, each of one stored value.
fn multi_frame(values: &[u16]) -> InMemDicomObject {
    let mut object = slice("1.2.3", "1.2.3.5", 1);
    let samples: Vec<u16> = values.iter().flat_map(|value| vec![*value; usize::from(COLUMNS * ROWS)]).collect();
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, values.len().to_string().as_str()));
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples.into())));
    object
}

fn grey(bytes: &[u8], format: ImageFormat) -> GrayImage {
    image::load_from_memory_with_format(bytes, format).expect("a picture").to_luma8()
}

#[tokio::test]
async fn several_pictures_are_parts_of_one_answer() {
    let node = Node::open().await;
    let mut report = slice("1.2.3", "1.2.3.6", 1);
    report.remove_element(tags::PIXEL_DATA);
    node.keep(&[slice("1.2.3", "1.2.3.4", 1), slice("1.2.3", "1.2.3.4", 2), multi_frame(&[0, 500, 1000]), report])
        .await;
    let several = "/dicomweb/studies/1.2.3/series/1.2.3.5/instances/1.2.3.5.1";
    for (path, accept, expected) in [
        ("/dicomweb/studies/1.2.3/rendered", "*/*", 5),
        (&format!("{SERIES}/rendered"), "*/*", 2),
        (&format!("{SERIES}/rendered"), "multipart/related; type=\"image/jpeg\"", 2),
        (&format!("{several}/rendered"), "multipart/related; type=\"image/jpeg\"", 3),
        (&format!("{several}/frames/3,1/rendered"), "*/*", 2),
    ] {
        let answer = node.get(path).header("Accept", accept).send().await.expect("answer");
        let content_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert!(content_type.starts_with("multipart/related; type=\"image/jpeg\""), "{path}: {content_type}");
        let pictures: Vec<GrayImage> = parts(answer).await.iter().map(|part| grey(part, ImageFormat::Jpeg)).collect();
        assert_eq!(pictures.len(), expected, "{path} as {accept}");
        if path.contains("3,1") {
            assert!(pictures[0].get_pixel(0, 0)[0] > 250 && pictures[1].get_pixel(0, 0)[0] < 5);
        }
    }
    // One of several frames is the middle one, where one picture is asked for.
    let middle = node.get(&format!("{several}/rendered")).header("Accept", "image/png").send().await.expect("answer");
    assert!((120..=135).contains(&grey(&middle.bytes().await.expect("body"), ImageFormat::Png).get_pixel(0, 0)[0]));
    for path in [format!("{several}/frames/1,2/rendered"), format!("{SERIES}/rendered")] {
        let single = node.get(&path).header("Accept", "image/jpeg").send().await.expect("answer");
        assert_eq!(single.status(), 406, "{path}");
    }
    for (path, status) in [("frames/1,4/rendered", 404), ("frames/1,1/rendered", 400)] {
        let answer = node.get(&format!("{several}/{path}")).send().await.expect("answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    // The picture of a study is one of its images, never of the report.
    let thumbnail = node.get("/dicomweb/studies/1.2.3/thumbnail").send().await.expect("answer");
    assert_eq!(thumbnail.status(), 200);
    assert_eq!(node.get("/dicomweb/studies/1.2.3/series/1.2.3.6/rendered").send().await.expect("answer").status(), 404);
}

#[tokio::test]
async fn windows_and_viewports_are_those_of_the_standard() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let picture = async |query: &str| {
        let answer = node.get(&format!("{INSTANCE}/rendered?accept=image/png&{query}")).send().await.expect("answer");
        assert_eq!(answer.status(), 200, "{query}");
        grey(&answer.bytes().await.expect("body"), ImageFormat::Png)
    };
    // The first stored value is 100.
    assert_eq!(picture("window=100,200,sigmoid").await.get_pixel(0, 0)[0], 128);
    assert_eq!(picture("window=100,200,linear-exact").await.get_pixel(0, 0)[0], 128);
    assert_eq!(picture("window=300,200,sigmoid").await.get_pixel(0, 0)[0], 5);
    let whole = picture("window=600,1200,linear").await;
    let flipped = picture("window=600,1200,linear&viewport=6,5,0,0,-6,5").await;
    assert_eq!(flipped.get_pixel(0, 0), whole.get_pixel(5, 0));
    let upside_down = picture("window=600,1200,linear&viewport=6,5,,,,-5").await;
    assert_eq!(upside_down.get_pixel(0, 0), whole.get_pixel(0, 4));
    let part = picture("window=600,1200,linear&viewport=2,2,4,3,2,2").await;
    assert_eq!((part.dimensions(), part.get_pixel(0, 0)), ((2, 2), whole.get_pixel(4, 3)));
    for wrong in ["window=1", "window=1,2,cubic", "viewport=1", "viewport=6,5,9,9,1,1"] {
        let answer = node.get(&format!("{INSTANCE}/rendered?{wrong}")).send().await.expect("answer");
        assert_eq!(answer.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn older_viewers_ask_by_wado_uri() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1), multi_frame(&[0, 500, 1000])]).await;
    let ask = async |query: &str| {
        let query = format!("/dicomweb/wado?requestType=WADO&studyUID=1.2.3&{query}");
        let answer = node.get(&query).send().await.expect("answer");
        let content_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), content_type, answer.bytes().await.expect("body"))
    };
    let single = "seriesUID=1.2.3.4&objectUID=1.2.3.4.1";
    let several = "seriesUID=1.2.3.5&objectUID=1.2.3.5.1";
    let (status, content_type, picture) = ask(single).await;
    assert_eq!((status, content_type.as_str()), (200, "image/jpeg"));
    assert_eq!(grey(&picture, ImageFormat::Jpeg).dimensions(), (u32::from(COLUMNS), u32::from(ROWS)));
    let (_, content_type, object) = ask(&format!("{single}&contentType=application%2Fdicom&transferSyntax=*")).await;
    assert_eq!(content_type, "application/dicom");
    let object = dicom_object::from_reader(&object[..]).expect("DICOM");
    assert_eq!(object.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes"), encoded(1));
    assert_eq!(ask(several).await.1, "application/dicom", "the default of several frames");
    let (_, content_type, last) = ask(&format!("{several}&frameNumber=3&contentType=image/png")).await;
    assert_eq!((content_type.as_str(), grey(&last, ImageFormat::Png).get_pixel(0, 0)[0]), ("image/png", 255));
    let query =
        format!("{single}&contentType=image/png&windowCenter=5000&windowWidth=10&rows=10&columns=6&region=0.5,0,1,1");
    let dark = grey(&ask(&query).await.2, ImageFormat::Png);
    assert_eq!(dark.dimensions(), (6, 10));
    assert!(dark.pixels().all(|pixel| pixel[0] == 0));
    for (query, status, named) in [
        (format!("{single}&anonymize=yes"), 400, "anonymize"),
        (format!("{single}&windowCenter=40"), 400, "windowWidth"),
        (format!("{single}&frameNumber=2"), 404, "frame 2"),
        (format!("{single}&contentType=image/gif"), 406, "image/jpeg"),
        ("seriesUID=1.2.3.4".to_owned(), 400, "objectUID"),
        ("seriesUID=1.2.3.4&objectUID=1.2.3.4.9".to_owned(), 404, "1.2.3.4.9"),
    ] {
        let (answered, _, text) = ask(&query).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(answered, status, "{query}: {text}");
        assert!(text.contains(named), "{query}: {text}");
    }
    assert_eq!(node.get("/dicomweb/wado?requestType=QIDO").send().await.expect("answer").status(), 400);
}

#[tokio::test]
async fn frames_of_enhanced_images_have_windows_of_their_own() {
    let sequence = |tag, item: InMemDicomObject| DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]));
    let group = |center: &str| {
        InMemDicomObject::from_element_iter([sequence(
            tags::FRAME_VOILUT_SEQUENCE,
            InMemDicomObject::from_element_iter([
                DataElement::new(tags::WINDOW_CENTER, VR::DS, center),
                DataElement::new(tags::WINDOW_WIDTH, VR::DS, "1000"),
            ]),
        )])
    };
    let mut object = multi_frame(&[500, 500]);
    object.remove_element(tags::WINDOW_CENTER);
    object.remove_element(tags::WINDOW_WIDTH);
    let groups = DataSetSequence::from(vec![group("500"), group("5000")]);
    object.put(DataElement::new(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, VR::SQ, groups));
    let node = Node::open().await;
    node.keep(&[object]).await;
    let rendered = "/dicomweb/studies/1.2.3/series/1.2.3.5/instances/1.2.3.5.1/frames/1,2/rendered";
    let accept = "multipart/related; type=\"image/png\"";
    let pictures = parts(node.get(rendered).header("Accept", accept).send().await.expect("answer")).await;
    let first: Vec<u8> = pictures.iter().map(|part| grey(part, ImageFormat::Png).get_pixel(0, 0)[0]).collect();
    assert_eq!(first, [128, 0]);
}

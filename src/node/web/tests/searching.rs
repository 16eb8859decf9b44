use dicom_core::value::DataSetSequence;

use super::*;

async fn filled() -> Node {
    let node = Node::open().await;
    node.keep(&[
        slice("1.2.3", "1.2.3.4", 1),
        slice("1.2.3", "1.2.3.4", 2),
        slice("1.2.3", "1.2.3.5", 1),
        slice("1.9", "1.9.1", 1),
    ])
    .await;
    node
}

async fn count(node: &Node, path: &str) -> usize {
    json(node.get(path)).await.as_array().map(Vec::len).expect("array")
}

#[tokio::test]
async fn every_path_of_the_standard_finds_what_is_below_it() {
    let node = filled().await;
    for (path, expected) in [
        ("/studies", 2),
        ("/series", 3),
        ("/instances", 4),
        ("/studies/1.2.3/series", 2),
        ("/studies/1.2.3/instances", 3),
        ("/studies/1.2.3/series/1.2.3.4/instances", 2),
        ("/studies?StudyInstanceUID=1.9", 1),
        ("/studies?0020000D=1.9&includefield=all", 1),
        ("/studies?PatientName=Sec*&StudyDate=20240101-20241231", 2),
        ("/instances?limit=1&offset=3", 1),
        ("/studies?StudyInstanceUID=1.2.999", 0),
        (
            "/studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030\
             &StudyInstanceUID=1.2.3",
            1,
        ),
        ("/studies/1.2.3/series?includefield=00080021,00080031,0008103E,00200011", 2),
    ] {
        assert_eq!(count(&node, &format!("/dicomweb{path}")).await, expected, "{path}");
    }
}

#[tokio::test]
async fn matches_say_where_they_are_retrieved_from() {
    let node = filled().await;
    let answer = json(node.get("/dicomweb/studies/1.2.3/series/1.2.3.4/instances?InstanceNumber=2")).await;
    let url = node.url("/dicomweb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.2");
    assert_eq!(answer[0]["00081190"]["Value"][0], url.as_str());
    assert_eq!(answer[0]["00200013"]["Value"][0], 2);
    assert_eq!(node.client.get(url).send().await.expect("answer").status(), 200);
}

/// The Warning headers of an answer.
fn warnings(answer: &Response) -> Vec<String> {
    let texts = answer.headers().get_all("warning").iter();
    texts.map(|warning| warning.to_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn mistakes_are_errors_and_what_is_not_done_is_a_warning() {
    let node = filled().await;
    for mistake in ["Patient=x", "PatientId=x", "StudyDate=garbage", "StudyInstanceUID=1.2.*", "limit=many"] {
        let answer = node.get(&format!("/dicomweb/studies?{mistake}")).send().await.expect("answer");
        assert_eq!(answer.status(), 400, "{mistake}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    for (harmless, found, said) in [
        ("fuzzymatching=true&PatientID=X", 0, vec!["Fuzzy matching is not offered"]),
        ("orderby=-StudyDate&_=17", 2, vec!["parameter orderby is not", "parameter _ is not"]),
        ("includefield=Foo,PatientAge", 2, vec!["includefield Foo is not"]),
        ("NumberOfStudyRelatedInstances=148", 2, vec!["NumberOfStudyRelatedInstances is not matched"]),
        ("limit=1", 1, vec!["more results"]),
        ("limit=1&offset=1", 1, vec![]),
        ("emptyvaluematching=false&accept=application/json", 2, vec![]),
    ] {
        let answer = node.get(&format!("/dicomweb/studies?{harmless}")).send().await.expect("answer");
        assert_eq!(answer.status(), 200, "{harmless}");
        assert_eq!(answer.headers()["content-type"], "application/dicom+json");
        let warnings = warnings(&answer);
        let all_said = warnings
            .iter()
            .zip(&said)
            .all(|(warning, said)| warning.starts_with("299 pe-node \"") && warning.contains(said));
        assert!(warnings.len() == said.len() && all_said, "{harmless}: {warnings:?}");
        assert_eq!(answer.json::<Vec<serde_json::Value>>().await.expect("JSON").len(), found, "{harmless}");
    }
}

#[tokio::test]
async fn the_study_received_last_comes_first_and_pages_do_not_overlap() {
    let node = Node::open().await;
    for number in 1..=5 {
        node.keep(&[slice(&format!("1.{number}"), &format!("1.{number}.1"), 1)]).await;
        // A late object of an early study does not move it.
        node.keep(&[slice("1.1", &format!("1.1.{}", number + 1), 1)]).await;
    }
    let mut pages = Vec::new();
    for offset in [0, 2, 4] {
        let answer = json(node.get(&format!("/dicomweb/studies?limit=2&offset={offset}"))).await;
        let uids = answer.as_array().expect("array").iter().map(|study| study["0020000D"]["Value"][0].clone());
        pages.extend(uids);
    }
    assert_eq!(pages, ["1.5", "1.4", "1.3", "1.2", "1.1"]);
    let series = json(node.get("/dicomweb/series?Modality=ct&limit=1")).await;
    assert_eq!(series[0]["0020000D"]["Value"][0], "1.5");
    let instances = json(node.get("/dicomweb/instances?limit=1&SOPClassUID=1.2.840.10008.5.1.4.1.1.2")).await;
    assert_eq!(instances[0]["0020000D"]["Value"][0], "1.5");
}

#[tokio::test]
async fn keys_inside_sequences_match_within_one_item() {
    let node = Node::open().await;
    for (study, first, second) in [("1.1", "77", "SCT"), ("1.2", "78", "SCT")] {
        let code = |value: &str, scheme: &str| {
            InMemDicomObject::from_element_iter([
                DataElement::new(tags::CODE_VALUE, VR::SH, value),
                DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme),
            ])
        };
        let mut object = slice(study, &format!("{study}.1"), 1);
        let items = vec![code(first, second), code("79", "99X")];
        object.put(DataElement::new(tags::PROCEDURE_CODE_SEQUENCE, VR::SQ, DataSetSequence::from(items)));
        node.keep(&[object]).await;
    }
    for (keys, expected) in [
        ("ProcedureCodeSequence.CodeValue=77", 1),
        ("ProcedureCodeSequence.CodeValue=7*", 2),
        ("00081032.00080100=78&00081032.00080102=SCT", 1),
        ("00081032.00080100=79&00081032.00080102=SCT", 0),
    ] {
        assert_eq!(count(&node, &format!("/dicomweb/studies?{keys}")).await, expected, "{keys}");
    }
}

#[tokio::test]
async fn superfluous_slashes_do_no_harm() {
    let node = filled().await;
    for path in ["/dicomweb/studies/", "/dicomweb//studies", "//dicomweb/studies/1.9//series/", "/api/v1/studies/"] {
        assert_eq!(node.get(path).send().await.expect("answer").status(), 200, "{path}");
    }
}

#[tokio::test]
async fn attributes_come_as_xml_where_that_is_asked_for() {
    let node = filled().await;
    for (path, objects) in [
        ("/studies", 2),
        ("/studies/1.2.3/series", 2),
        ("/instances?StudyInstanceUID=1.2.999", 0),
        ("/studies/1.2.3/metadata", 3),
        ("/studies/1.2.3/series/1.2.3.4/metadata", 2),
        ("/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.1/metadata", 1),
    ] {
        let request = node.get(&format!("/dicomweb{path}"));
        let accept = "multipart/related; type=\"application/dicom+xml\"";
        let answer = request.header("Accept", accept).send().await.expect("answer");
        let parts = parts(answer).await;
        assert_eq!(parts.len(), objects, "{path}");
        for part in parts {
            let text = String::from_utf8(part).expect("UTF-8");
            assert!(text.starts_with("<?xml version=\"1.0\"") && text.ends_with("</NativeDicomModel>\n"), "{text}");
            let name = "<FamilyName>Secret</FamilyName><GivenName>Name</GivenName>";
            assert!(path.contains("metadata") == text.contains("<BulkData uri=") && text.contains(name), "{text}");
        }
    }
    let answer = node.get("/dicomweb/studies").header("Accept", "text/html").send().await.expect("answer");
    assert_eq!(answer.status(), 406);
}

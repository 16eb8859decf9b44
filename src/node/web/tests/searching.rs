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

#[tokio::test]
async fn unknown_parameters_are_errors_and_fuzzy_matching_a_warning() {
    let node = filled().await;
    let answer = node.get("/dicomweb/studies?Patient=x").send().await.expect("answer");
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let answer = node.get("/dicomweb/studies?fuzzymatching=true&PatientID=X").send().await.expect("answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["warning"].to_str().expect("text").starts_with("299 "));
    assert_eq!(answer.headers()["content-type"], "application/dicom+json");
    let answer = node.get("/dicomweb/studies").header("Accept", "application/dicom+xml").send().await.expect("answer");
    assert_eq!(answer.status(), 406);
}

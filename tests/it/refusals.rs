//! Objects that a running node refuses: the series says when they came and why they are missing.

use std::fs;

use crate::node::{Node, Packages, path_of, phantoms};

/// Sends files by STOW-RS, in one request; the answer's status.
async fn stow(node: &Node, files: &[Vec<u8>]) -> u16 {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--cut\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--cut--\r\n");
    let request = node.client.post(format!("{}/dicomweb/studies", node.http));
    let content_type = "multipart/related; type=\"application/dicom\"; boundary=cut";
    request.header("content-type", content_type).body(body).send().await.expect("answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_that_were_refused_are_missing_with_the_time_of_their_arrival_and_the_cause() {
    let packages = Packages::new();
    let study = phantoms(packages.folder.path(), 1).remove(0);
    let series = fs::read_dir(&study).expect("study").flatten().next().expect("a series").path();
    let mut paths: Vec<_> = fs::read_dir(series).expect("series").flatten().map(|entry| entry.path()).collect();
    paths.sort_by_cached_key(|path| {
        let object = dicom_object::open_file(path).expect("an image");
        object.element_by_name("InstanceNumber").expect("number").to_int::<i32>().expect("a number")
    });
    let mut files: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("read")).collect();
    // The pixels of three slices within the stack are cut off.
    for file in &mut files[10..13] {
        file.truncate(file.len() - 1000);
    }
    let node = Node::start(&packages);
    assert_eq!(stow(&node, &files).await, 202);
    let answer = node.until(&path_of(&study), |study| study["series"][0]["state"] == "rejected").await;
    let rejection = &answer["series"][0]["rejections"][0];
    assert_eq!(rejection["reason"], "missing-slices");
    let explanation = rejection["explanation"].as_str().expect("a sentence");
    for part in [
        format!("3 of {} slices are missing", files.len()),
        "3 images of this series: refused on arrival, at 20".to_owned(),
    ] {
        assert!(explanation.contains(&part), "{explanation}");
    }
    assert!(explanation.ends_with("UTC: damaged, not complete or beyond the limits"), "{explanation}");

    // What comes whole later makes the series whole.
    let whole: Vec<Vec<u8>> = paths[10..13].iter().map(|path| fs::read(path).expect("read")).collect();
    assert_eq!(stow(&node, &whole).await, 200);
    let analysed = node.analysed(&study).await;
    assert!(!analysed.to_string().contains("refused on arrival"), "{analysed}");
}

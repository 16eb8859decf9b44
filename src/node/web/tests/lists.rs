//! Lists of the API, part by part.

use super::*;
use crate::node::queue::Selection;

/// A node with five studies, the first two of which have a job.
async fn filled() -> Node {
    let node = Node::open().await;
    for number in 1..=5 {
        let (study, series) = (format!("1.{number}"), format!("1.{number}.1"));
        node.keep(&[slice(&study, &series, 1)]).await;
        if number > 2 {
            continue;
        }
        let [study, series] = [study, series].map(|text| Uid::parse(&text).expect("uid"));
        let series = SeriesId::new(study, series);
        let members = node.store.members(&series).await.expect("members");
        let members = members.into_iter().map(|one| (one.sop_instance_uid, one.sha256)).collect();
        let now = jiff::Timestamp::from_second(1_700_000_000 + number).expect("time");
        node.store.decide(&series, 1, &Selection::Analyse(members), now).await.expect("decide");
    }
    node
}

/// The entries of an answer by one of their fields, and the link to the next part.
async fn part(request: RequestBuilder, field: &str) -> (Vec<String>, Option<String>) {
    let answer = request.send().await.expect("answer");
    let link = answer.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
    let next = link.map(|link| {
        link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link").to_owned()
    });
    let entries: Vec<serde_json::Value> = answer.json().await.expect("JSON");
    let text = |entry: &serde_json::Value| entry[field].as_str().expect("text").to_owned();
    (entries.iter().map(text).collect(), next)
}

#[tokio::test]
async fn links_lead_through_a_list_though_it_grows() {
    let node = filled().await;
    let (mut all, mut next) = part(node.get("/api/v1/studies?limit=2"), "study_instance_uid").await;
    node.keep(&[slice("1.6", "1.6.1", 1)]).await;
    while let Some(url) = next {
        let (entries, after) = part(node.client.get(url), "study_instance_uid").await;
        all.extend(entries);
        next = after;
    }
    assert_eq!(all, ["1.5", "1.4", "1.3", "1.2", "1.1"]);
    let (skipped, _) = part(node.get("/api/v1/studies?limit=2&offset=3"), "study_instance_uid").await;
    assert_eq!(skipped, ["1.3", "1.2"]);
    let (first, next) = part(node.get("/api/v1/jobs?limit=1&state=queued"), "series_instance_uid").await;
    let (second, end) = part(node.client.get(next.expect("another")), "series_instance_uid").await;
    assert_eq!((first, second, end), (vec!["1.2.1".to_owned()], vec!["1.1.1".to_owned()], None));
}

#[tokio::test]
async fn lists_are_narrowed_to_a_state() {
    let node = filled().await;
    for (path, expected) in [
        ("studies?state=receiving", 3),
        ("studies?state=queued", 2),
        ("studies?state=analysed", 0),
        ("jobs?state=queued", 2),
        ("jobs?state=failed", 0),
    ] {
        let answer = json(node.get(&format!("/api/v1/{path}"))).await;
        assert_eq!(answer.as_array().map(Vec::len), Some(expected), "{path}");
    }
}

#[tokio::test]
async fn what_a_list_cannot_do_is_refused() {
    let node = Node::open().await;
    for parameters in
        ["limit=0", "limit=1001", "limit=x", "offset=-1", "cursor=x", "cursor=1-a&offset=1", "state=done", "patient=x"]
    {
        for list in ["studies", "jobs"] {
            let answer = node.get(&format!("/api/v1/{list}?{parameters}")).send().await.expect("answer");
            assert_eq!(answer.status(), 400, "{list}?{parameters}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    assert_eq!(node.get("/api/v1/jobs?state=receiving").send().await.expect("answer").status(), 400);
    assert_eq!(node.get("/api/v1/shadow?limit=100001").send().await.expect("answer").status(), 400);
}

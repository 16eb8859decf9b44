use super::*;
use crate::dicom::SeriesId;
use crate::engine::analyse::findings::{Decision, Probability};
use crate::engine::models::Provider;
use crate::engine::models::activation::ShadowModel;
use crate::engine::models::manifest::Kind;
use crate::engine::pipeline::{
    AnalysisSummary, Ending, EnhancementSummary, ResultKind, ResultReference, Stage, testing,
};
use crate::engine::volume::{LeftOut, LeftOutKind, Reason, Rejection};
use crate::node::http;
use crate::node::queue::Selection;
use crate::node::worker::protocol::Ready;

#[tokio::test]
async fn the_node_is_alive_before_it_is_ready_and_says_what_is_missing() {
    let node = Node::open().await;
    assert_eq!(node.get("/healthz").send().await.expect("answer").status(), 200);
    let answer = node.get("/readyz").send().await.expect("answer");
    assert_eq!(answer.status(), 503);
    let readiness: serde_json::Value = answer.json().await.expect("JSON");
    let waiting: Vec<_> =
        readiness["checks"].as_array().expect("checks").iter().filter(|check| check["ready"] == false).collect();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["name"], "analysis");
    let provider = Provider("CPUExecutionProvider".to_owned());
    let ready = Some(Ready { provider, models: testing::packages(["lungs", "1.0.0"], ["embolism", "1.0.0"]) });
    node.analysis.send_modify(|analysis| analysis.ready = ready);
    assert_eq!(json(node.get("/readyz")).await["ready"], true);
}

#[tokio::test]
async fn the_api_lists_what_there_is() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let study = json(node.get("/api/v1/studies/1.2.3")).await;
    assert_eq!(study["study_instance_uid"], "1.2.3");
    let series = &study["series"][0];
    assert_eq!(series["series_instance_uid"], "1.2.3.4");
    assert_eq!(series["state"], "receiving");
    for (key, empty) in [
        ("reasons", serde_json::json!([])),
        ("probability", serde_json::Value::Null),
        ("decision", serde_json::Value::Null),
        ("provider", serde_json::Value::Null),
        ("models", serde_json::json!([])),
        ("timings_ms", serde_json::json!({})),
        ("results", serde_json::json!([])),
        ("deliveries", serde_json::json!([])),
    ] {
        assert_eq!(series[key], empty, "{key}");
    }
    assert_eq!(json(node.get("/api/v1/studies")).await.as_array().map(Vec::len), Some(1));
    assert_eq!(json(node.get("/api/v1/jobs")).await, serde_json::json!([]));
    assert_eq!(json(node.get("/api/v1/models")).await["models"], serde_json::json!([]));
    assert_eq!(json(node.get("/api/v1/destinations")).await[0]["name"], "pacs");
    assert_eq!(node.get("/api/v1/studies/9.9").send().await.expect("answer").status(), 404);
    assert_eq!(node.get("/api/v1/studies/no-uid").send().await.expect("answer").status(), 400);
    assert_eq!(node.get("/api/v1/jobs/none").send().await.expect("answer").status(), 404);
    assert_eq!(node.store.counts().await.expect("counts").studies, 1);
    assert!(node.archive.free_bytes().await.expect("space") > 0);
}

#[tokio::test]
async fn packages_are_listed_with_their_part_and_with_the_reason_for_a_refusal() {
    let node = Node::open().await;
    let entry = |version: &str| ModelEntry {
        name: "embolism".to_owned(),
        version: version.to_owned(),
        kind: Some("embolism-classifier".to_owned()),
        intended_use: None,
        sha256: None,
        error: None,
    };
    node.models.send_replace(vec![entry("1.0.0"), entry("2.0.0"), entry("3.0.0")]);
    let since = jiff::Timestamp::UNIX_EPOCH;
    node.shadow.send_replace(Some(ShadowStatus {
        package: "embolism/2.0.0".parse().expect("a package"),
        since,
        error: None,
    }));
    node.analysis.send_modify(|analysis| {
        analysis.packages = testing::packages(["lungs", "1.0.0"], ["embolism", "1.0.0"]);
        analysis.refused = Some("embolism/3: its tensors do not fit".to_owned());
    });
    let answer = json(node.get("/api/v1/models")).await;
    let part = |index: usize| (answer["models"][index]["active"].clone(), answer["models"][index]["shadow"].clone());
    assert_eq!(
        [0, 1, 2].map(part),
        [(true.into(), false.into()), (false.into(), true.into()), (false.into(), false.into())]
    );
    assert_eq!(answer["refused"], "embolism/3: its tensors do not fit");
    assert_eq!(answer["shadow"]["package"], "embolism/2.0.0");
    let readiness: serde_json::Value = node.get("/readyz").send().await.expect("answer").json().await.expect("JSON");
    let warning = readiness["checks"][2]["warning"].as_str().expect("warning").to_owned();
    assert!(
        warning.contains("lungs/1.0.0 and embolism/1.0.0 stay active") && warning.contains("do not fit"),
        "{warning}"
    );
    assert!(node.get("/").send().await.expect("answer").text().await.expect("text").contains("do not fit"));
    let metrics = node.get("/metrics").send().await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("pe_node_models_refused 1"), "{metrics}");
}

/// What lungs and embolism of some versions find in a series.
fn said(probability: f64, decision: Decision, [lungs, embolism]: [&str; 2]) -> AnalysisSummary {
    let analysed = testing::analysed(|summary| {
        summary.probability = Probability::new(probability).expect("a probability");
        summary.decision = decision;
        summary.models = testing::packages(["lungs", lungs], ["embolism", embolism]);
    });
    let timings = [(Stage::Embolism, std::time::Duration::from_millis(1500))];
    let left_out = vec![LeftOut { kind: LeftOutKind::OtherStack, images: 37, explanation: "acquisition 2".to_owned() }];
    let enhancement = EnhancementSummary { trunk_hu: Some(329.4), aorta_hu: Some(258.6), ratio: Some(1.274) };
    AnalysisSummary { timings: timings.into_iter().collect(), left_out, enhancement, ..analysed }
}

#[tokio::test]
async fn a_shadow_models_results_are_shown_apart_and_listed_for_comparison() {
    let node = Node::open().await;
    let empty = node.get("/api/v1/shadow?format=csv").send().await.expect("answer").text().await.expect("text");
    assert!(empty.starts_with("study_instance_uid,") && empty.lines().count() == 1, "{empty}");
    let shadow_model = ShadowModel {
        package: "embolism/2.0.0".parse().expect("a package"),
        kind: Kind::EmbolismClassifier,
        sha256: "embolism 2.0.0".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
    };
    for (study, outcome) in [
        ("1.2.3", Ok(said(0.75, Decision::Present, ["1.0.0", "2.0.0"]))),
        ("1.2.4", Err("no such tensor".to_owned())),
        // Other lungs were promoted before the shadow model saw it.
        ("1.2.5", Ok(said(0.25, Decision::Absent, ["2.0.0", "2.0.0"]))),
    ] {
        let series = format!("{study}.4");
        node.keep(&[slice(study, &series, 1)]).await;
        let [study, series] = [study, &series].map(|text| Uid::parse(text).expect("uid"));
        let series = SeriesId::new(study, series);
        let members = node.store.members(&series).await.expect("members");
        let members = members.into_iter().map(|one| (one.sop_instance_uid, one.sha256)).collect();
        let now = jiff::Timestamp::now();
        node.store.decide(&series, 1, &Selection::Analyse(members), now).await.expect("decide");
        let job = node.store.claim(now).await.expect("claim").expect("due");
        node.store.finish(&job, &said(0.25, Decision::Absent, ["1.0.0", "1.0.0"]), &[], now).await.expect("finish");
        let case = node.store.next_shadow_case(&shadow_model).await.expect("case").expect("one");
        node.store.record_shadow(&case, &shadow_model, &outcome, now).await.expect("record");
        node.store.record_shadow(&case, &shadow_model, &Err("again".to_owned()), now).await.expect("a repetition");
    }
    assert_eq!(node.store.next_shadow_case(&shadow_model).await.expect("case"), None);

    let series = json(node.get("/api/v1/studies/1.2.3")).await["series"][0].clone();
    assert_eq!((&series["probability"], &series["decision"]), (&0.25.into(), &"absent".into()));
    assert_eq!((&series["left_out"][0]["kind"], &series["left_out"][0]["images"]), (&"other-stack".into(), &37.into()));
    let shadow = &series["shadow"][0];
    assert_eq!((&shadow["probability"], &shadow["decision"]), (&0.75.into(), &"present".into()));
    assert_eq!((&shadow["package"], &shadow["timings_ms"]["embolism"]), (&"embolism/2.0.0".into(), &1500.into()));
    let page = node.get("/").send().await.expect("answer").text().await.expect("text");
    for shown in [
        "Embolism absent, 25.0 %",
        "Embolism present, 75.0 %",
        "(differs)",
        "never sent",
        "no such tensor",
        "37 images left out",
        "<dt>Pulmonary trunk</dt><dd>329 HU</dd>",
        "<dt>Aorta</dt><dd>259 HU</dd>",
        "<dt>Trunk to aorta</dt><dd>1.27</dd>",
    ] {
        assert!(page.contains(shown), "{shown} is missing in {page}");
    }
    let listed = json(node.get("/api/v1/shadow")).await;
    let agreement = &listed["agreement"][0];
    let counts = ["series", "failed", "comparable", "agree", "both_probabilities"].map(|name| agreement[name].clone());
    assert_eq!(counts, [3, 1, 1, 0, 1].map(serde_json::Value::from), "other lungs say nothing about the shadow model");
    assert_eq!(agreement["mean_absolute_difference"], 0.5);
    let answer = node.get("/api/v1/shadow?format=csv").send().await.expect("answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[0].starts_with("study_instance_uid,series_instance_uid,recorded_at,active_models"), "{text}");
    let row = rows.iter().find(|row| row.starts_with("1.2.3,")).expect("a row");
    assert!(row.contains(",lungs/1.0.0 embolism/1.0.0,analysed,0.25,absent,embolism/2.0.0,"), "{row}");
    assert!(row.contains(",lungs/1.0.0 embolism/2.0.0,analysed,0.75,present,true,false,1.5,1.5,"), "{row}");
    let row = rows.iter().find(|row| row.starts_with("1.2.5,")).expect("a row");
    assert!(row.contains(",lungs/2.0.0 embolism/2.0.0,analysed,0.25,absent,false,false,1.5,1.5,"), "{row}");
    assert_eq!(node.store.counts().await.expect("counts").instances, 3, "no object was made");
}

#[tokio::test]
async fn what_has_failed_is_tried_again_by_hand_and_not_by_a_page_of_another_origin() {
    let node = Node::open().await;
    let post =
        |path: &str| node.client.post(node.url(path)).header("content-type", "application/x-www-form-urlencoded");
    let answer: serde_json::Value = post("/api/v1/deliveries/retry")
        .body("destination=pacs")
        .send()
        .await
        .expect("answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(answer["queued"], 0);
    let foreign = post("/api/v1/deliveries/retry").header("sec-fetch-site", "cross-site").send().await.expect("answer");
    assert_eq!(foreign.status(), 403);
    assert_eq!(post("/api/v1/jobs/none/retry").send().await.expect("answer").status(), 404);
    for (path, form, status) in [
        ("retry", "destination=nowhere", 404),
        ("drop", "destination=nowhere", 404),
        ("drop", "destination=pacs", 200),
        ("redirect", "from=pacs&to=pacs", 400),
        ("redirect", "from=pacs&to=nowhere", 404),
    ] {
        let answer = post(&format!("/api/v1/deliveries/{path}")).body(form).send().await.expect("answer");
        assert_eq!(answer.status(), status, "{path} {form}");
    }
    let proxied = post("/api/v1/deliveries/drop").header("x-forwarded-for", "10.0.0.7").body("destination=pacs");
    assert_eq!(proxied.send().await.expect("answer").status(), 403);
    assert_eq!(json(node.get("/api/v1/deliveries?state=failed")).await, serde_json::json!([]));
    assert_eq!(node.get("/api/v1/deliveries?state=lost").send().await.expect("answer").status(), 400);
}

#[tokio::test]
async fn metrics_count_what_arrived_and_what_is_stored() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let text = node.get("/metrics").send().await.expect("answer").text().await.expect("text");
    for line in [
        "pe_node_archived{kind=\"study\"} 1",
        "pe_node_series_receiving 1",
        "pe_node_jobs{state=\"queued\"} 0",
        "pe_node_queue_depth 0",
        "pe_node_free_bytes ",
        "pe_node_instances_received_total{",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let both = |line: &str| line.contains("interface=\"stow\"") && line.contains("door=\"stow\"");
    assert!(text.lines().any(both), "the label's former name is given beside the new one in\n{text}");
    let help = "# HELP pe_node_free_bytes Free space where the archive lies, in bytes";
    assert!(text.contains(help), "{help} is missing in\n{text}");
}

#[tokio::test]
async fn the_dashboard_shows_studies_without_names() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let answer = node.get("/").send().await.expect("answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'nonce-"));
    let page = answer.text().await.expect("text");
    for shown in ["Research use only", "Not ready", "Receiving", "1.2.3", "2024-01-31", "In progress (1)"] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    assert!(!page.contains("Secret") && !page.contains("SECRET"));
}

/// A series with this many slices is decided on, and its job is claimed.
async fn job(node: &Node, slices: u16) -> crate::node::queue::Job {
    for number in 1..=slices {
        node.keep(&[slice("1.2.3", "1.2.3.4", number)]).await;
    }
    let uid = |text| Uid::parse(text).expect("uid");
    let series = SeriesId::new(uid("1.2.3"), uid("1.2.3.4"));
    let members = node.store.members(&series).await.expect("members");
    let members = members.into_iter().map(|one| (one.sop_instance_uid, one.sha256)).collect();
    let now = jiff::Timestamp::now();
    node.store.decide(&series, i64::from(slices), &Selection::Analyse(members), now).await.expect("decide");
    node.store.claim(now).await.expect("claim").expect("due")
}

#[tokio::test]
async fn a_finding_stays_on_the_dashboard_when_later_images_are_not_analysed_or_decided_otherwise() {
    let node = Node::open().await;
    let report = |last: &str| ResultReference {
        kind: ResultKind::Sr,
        series_instance_uid: Uid::parse(&format!("2.25.{last}")).expect("uid"),
        sop_instance_uid: Uid::parse(&format!("2.25.{last}.1")).expect("uid"),
    };
    let found = |probability, decision, last| {
        let mut summary = said(probability, decision, ["1.0.0", "1.0.0"]);
        if let Ending::Analysed(analysed) = &mut summary.ending {
            analysed.results = vec![report(last)];
        }
        summary
    };
    let page = async || node.get("/").send().await.expect("answer").text().await.expect("text");
    let end = async |slices, summary: AnalysisSummary| {
        let job = job(&node, slices).await;
        node.store.finish(&job, &summary, &[], jiff::Timestamp::now()).await.expect("finish");
    };
    end(1, found(0.9, Decision::Present, "1")).await;
    let stray = Rejection::new(Reason::MixedPatients, "instance 2 names another");
    end(2, testing::rejected(vec![stray])).await;
    let rejected = page().await;
    for shown in [
        "Embolism present, 90.0 %",
        "Later images not analysed: mixed-patients: instance 2 names another",
        "Embolism present or undetermined (1)",
    ] {
        assert!(rejected.contains(shown), "{shown} is missing in {rejected}");
    }
    end(3, found(0.1, Decision::Absent, "2")).await;
    let changed = page().await;
    for shown in [
        "Embolism absent, 10.0 %",
        "Version 1 was decided otherwise: <b>▲ Embolism present, 90.0 %",
        "undetermined (1)",
    ] {
        assert!(changed.contains(shown), "{shown} is missing in {changed}");
    }
    assert!(!changed.contains("Later images"));
}

#[tokio::test]
async fn a_viewer_is_served_with_its_own_settings_and_its_addresses_lead_to_its_page() {
    let folder = tempfile::tempdir().expect("folder");
    let script = "app.bundle.0f6159c501addfe9.js";
    for (name, text) in [("index.html", "<script src=\"/app.js\">"), (script, "r.p=\"/\""), ("app-config.js", "other")]
    {
        std::fs::write(folder.path().join(name), text).expect("file");
    }
    let node = Node::with(&[&format!("viewer.directory={:?}", folder.path())]).await;
    let get = |path: &'static str| node.get(path).send();
    let page = get("/viewer?StudyInstanceUIDs=1.2.3").await.expect("answer");
    assert_eq!(page.url().path(), "/viewer/viewer");
    assert_eq!(page.url().query(), Some("StudyInstanceUIDs=1.2.3"));
    assert_eq!(
        (page.headers()["content-type"].as_bytes(), page.headers()["cache-control"].as_bytes()),
        (&b"text/html"[..], &b"public, no-cache"[..])
    );
    assert!(page.headers()["content-security-policy"].to_str().expect("text").contains("worker-src"));
    assert_eq!(page.text().await.expect("text"), "<script src=\"/viewer/app.js\">");
    for list in ["/viewer", "/viewer/"] {
        let page = get(list).await.expect("no circle of redirections");
        assert_eq!(page.text().await.expect("text"), "<script src=\"/viewer/app.js\">", "{list}");
    }
    let settings = get("/viewer/app-config.js").await.expect("answer").text().await.expect("text");
    assert!(settings.contains("const VIEWER = '/viewer'"), "{settings}");
    let bundle = get("/viewer/app.bundle.0f6159c501addfe9.js").await.expect("answer");
    assert!(bundle.headers()["cache-control"].to_str().expect("text").contains("immutable"));
    let tag = bundle.headers()["etag"].clone();
    assert_eq!(bundle.text().await.expect("text"), "r.p=\"/viewer/\"");
    let again = node.get("/viewer/app.bundle.0f6159c501addfe9.js").header("If-None-Match", tag).send().await;
    assert_eq!(again.expect("answer").status(), 304);
    assert_eq!(get("/viewer/missing.js").await.expect("answer").status(), 404);
    assert_eq!(get("/viewer/..%2Findex.html").await.expect("answer").status(), 404);
    assert_eq!(Node::open().await.get("/viewer/").send().await.expect("answer").status(), 404, "off by default");
}

#[tokio::test]
async fn every_answer_is_secured_and_errors_say_what_to_do() {
    let node = Node::open().await;
    let answer = node.get("/nowhere").send().await.expect("answer");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let answer = node.client.delete(node.url("/dicomweb/studies")).send().await.expect("answer");
    assert_eq!(answer.status(), 405);
    assert!(answer.headers().contains_key("allow"));
    assert!(answer.json::<serde_json::Value>().await.expect("JSON")["advice"].is_string());
}

#[tokio::test]
async fn viewers_from_allowed_origins_may_ask() {
    let node = Node::with(&["http.allowed_origins=[\"https://viewer.example\"]"]).await;
    let preflight = |origin: &'static str| {
        let request = node.client.request(reqwest::Method::OPTIONS, node.url("/dicomweb/studies"));
        request.header("Origin", origin).header("Access-Control-Request-Method", "GET").send()
    };
    let allowed = preflight("https://viewer.example").await.expect("answer");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://viewer.example");
    let denied = preflight("https://other.example").await.expect("answer");
    assert!(!denied.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_stopped_node_finishes_what_it_began() {
    let node = Node::open().await;
    node.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let running =
        node.stow("/dicomweb/studies", &[&file(&slice("1.2.3", "1.2.3.4", 2), uids::EXPLICIT_VR_LITTLE_ENDIAN)]);
    let running = tokio::spawn(running.send());
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    node.shutdown.cancel();
    assert_eq!(running.await.expect("task").expect("answer").status(), 200);
    for _ in 0..100 {
        if http::client::builder().build().expect("client").get(node.url("/healthz")).send().await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the listener is still open");
}

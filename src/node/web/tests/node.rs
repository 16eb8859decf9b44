use super::*;
use crate::engine::models::Provider;

#[tokio::test]
async fn the_node_is_alive_before_it_is_ready_and_says_what_is_missing() {
    let door = Door::open().await;
    assert_eq!(door.get("/healthz").send().await.expect("answer").status(), 200);
    let answer = door.get("/readyz").send().await.expect("answer");
    assert_eq!(answer.status(), 503);
    let readiness: serde_json::Value = answer.json().await.expect("JSON");
    let waiting: Vec<_> =
        readiness["checks"].as_array().expect("checks").iter().filter(|check| check["ready"] == false).collect();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["name"], "analysis");
    let provider = Provider("CPUExecutionProvider".to_owned());
    door.analysis.send_replace(Some(Ready { provider, models: Vec::new() }));
    assert_eq!(json(door.get("/readyz")).await["ready"], true);
}

#[tokio::test]
async fn the_api_lists_what_there_is() {
    let door = Door::open().await;
    door.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let study = json(door.get("/api/v1/studies/1.2.3")).await;
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
    assert_eq!(json(door.get("/api/v1/studies")).await.as_array().map(Vec::len), Some(1));
    assert_eq!(json(door.get("/api/v1/jobs")).await, serde_json::json!([]));
    assert_eq!(json(door.get("/api/v1/models")).await["models"], serde_json::json!([]));
    assert_eq!(json(door.get("/api/v1/destinations")).await[0]["name"], "pacs");
    assert_eq!(door.get("/api/v1/studies/9.9").send().await.expect("answer").status(), 404);
    assert_eq!(door.get("/api/v1/studies/nonsense").send().await.expect("answer").status(), 400);
    assert_eq!(door.get("/api/v1/jobs/none").send().await.expect("answer").status(), 404);
    assert_eq!(door.queue.counts().await.expect("counts").studies, 1);
    assert!(door.archive.free_bytes().await.expect("space") > 0);
}

#[tokio::test]
async fn what_was_given_up_is_tried_again_by_hand_and_not_by_the_page_of_another() {
    let door = Door::open().await;
    let post =
        |path: &str| door.client.post(door.url(path)).header("content-type", "application/x-www-form-urlencoded");
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
}

#[tokio::test]
async fn metrics_count_what_came_and_what_stands() {
    let door = Door::open().await;
    door.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let text = door.get("/metrics").send().await.expect("answer").text().await.expect("text");
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
}

#[tokio::test]
async fn the_dashboard_shows_studies_without_names() {
    let door = Door::open().await;
    door.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let answer = door.get("/").send().await.expect("answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'nonce-"));
    let page = answer.text().await.expect("text");
    for shown in ["Research use only", "Not ready", "Receiving", "1.2.3", "2024-01-31", "In progress (1)"] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    assert!(!page.contains("Secret") && !page.contains("SECRET"));
}

#[tokio::test]
async fn every_answer_is_secured_and_errors_say_what_to_do() {
    let door = Door::open().await;
    let answer = door.get("/nowhere").send().await.expect("answer");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let answer = door.client.delete(door.url("/dicomweb/studies")).send().await.expect("answer");
    assert_eq!(answer.status(), 405);
    assert!(answer.headers().contains_key("allow"));
    assert!(answer.json::<serde_json::Value>().await.expect("JSON")["advice"].is_string());
}

#[tokio::test]
async fn viewers_from_allowed_origins_may_ask() {
    let door = Door::with(&["http.allowed_origins=[\"https://viewer.example\"]"]).await;
    let preflight = |origin: &'static str| {
        let request = door.client.request(reqwest::Method::OPTIONS, door.url("/dicomweb/studies"));
        request.header("Origin", origin).header("Access-Control-Request-Method", "GET").send()
    };
    let allowed = preflight("https://viewer.example").await.expect("answer");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://viewer.example");
    let denied = preflight("https://elsewhere.example").await.expect("answer");
    assert!(!denied.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_stopped_node_finishes_what_it_began() {
    let door = Door::open().await;
    door.keep(&[slice("1.2.3", "1.2.3.4", 1)]).await;
    let running =
        door.stow("/dicomweb/studies", &[&file(&slice("1.2.3", "1.2.3.4", 2), uids::EXPLICIT_VR_LITTLE_ENDIAN)]);
    let running = tokio::spawn(running.send());
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    door.shutdown.cancel();
    assert_eq!(running.await.expect("task").expect("answer").status(), 200);
    for _ in 0..100 {
        if Client::new().get(door.url("/healthz")).send().await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the listener is still open");
}

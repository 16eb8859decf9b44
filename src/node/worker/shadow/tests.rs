use super::*;
use crate::engine::analyse::findings::Decision;
use crate::engine::models::activation::ShadowModel;
use crate::engine::models::manifest::Kind;
use crate::engine::pipeline::testing::analysed;
use crate::node::archive::{Level, Query};
use crate::node::queue::JobState;
use crate::node::store::SeriesProgress;
use crate::node::worker::tests::{Node, WELL_DONE, packages, script};

/// The shadow model's process is ready.
const READY: &str = r#"read -r setup; echo "$setup" > "$FOLDER/setup"; echo '{"reply":"ready","provider":"script","models":'"$MODELS"'}'"#;

/// A node whose only series the active models are done with, and a shadow model whose process is the script. `$SEEN` is
/// an answer without objects.
async fn with_shadow(on_start: &str) -> (Node, Shadow) {
    let node = Box::pin(Node::new(&script(WELL_DONE))).await;
    let shadow_model = ShadowModel {
        package: "new/2.0.0".parse().expect("a package"),
        kind: Kind::EmbolismClassifier,
        sha256: "aa".to_owned(),
        since: Timestamp::UNIX_EPOCH,
    };
    let lineup = Lineup { packages: packages("old"), shadow: Some(shadow_model) };
    node.wanted.send_replace(Wanted { lineup, problem: None });
    node.worker().await.expect("worker").step(&Shutdown::new()).await.expect("step");
    assert_eq!(node.series().await.state, SeriesProgress::Job(JobState::Analysed));
    let seen = Reply::Done { summary: Box::new(analysed(|_| ())), files: Vec::new() };
    let prelude = [("SEEN", serde_json::to_string(&seen)), ("MODELS", serde_json::to_string(&packages("new")))]
        .map(|(name, value)| format!("{name}='{}'\n", value.expect("JSON")))
        .concat();
    let prelude = format!("FOLDER={}\n{prelude}", node.folder.path().display());
    let launch = Launch { arguments: vec!["-c".into(), format!("{prelude}{on_start}").into()], ..node.launch.clone() };
    let shadow = Shadow::with(
        node.archive.clone(),
        node.store.clone(),
        node.settings.child.clone(),
        launch,
        node.wanted.subscribe(),
    );
    (node, shadow)
}

fn answers(on_request: &str) -> String {
    format!("{READY}; while read request; do {on_request}; done")
}

/// Steps once, as the loop does.
async fn step(node: &Node, shadow: &Shadow, running: &mut Running) -> Duration {
    let lineup = node.wanted.borrow().lineup.clone();
    shadow.step(running, &lineup, &Shutdown::new()).await.expect("step")
}

/// Everything that the archive holds of the study.
async fn objects(node: &Node) -> usize {
    node.archive.find(Level::Instance, &Query::default()).await.expect("find").len()
}

#[tokio::test]
async fn the_prediction_of_a_shadow_model_is_recorded_with_the_result_and_nowhere_else() {
    let (node, shadow) = with_shadow(&answers(r#"echo "$request" >> "$FOLDER/requests"; echo "$SEEN""#)).await;
    let (before, held) = (node.series().await, objects(&node).await);
    let mut running = Running::default();
    assert!(step(&node, &shadow, &mut running).await.is_zero());
    assert!(!step(&node, &shadow, &mut running).await.is_zero(), "it has seen everything");
    let after = node.series().await;
    let [said] = after.shadow.as_slice() else { panic!("{:?}", after.shadow) };
    let decision = said.summary.as_ref().and_then(AnalysisSummary::decision);
    assert_eq!((said.package.as_str(), decision, &said.error), ("new/2.0.0", Some(Decision::Absent), &None));
    assert_eq!(
        (after.summary(), &after.results, &after.deliveries),
        (before.summary(), &before.results, &before.deliveries)
    );
    assert_eq!(objects(&node).await, held);
    let requests = std::fs::read_to_string(node.folder.path().join("requests")).expect("requests");
    assert_eq!(requests.lines().count(), 1);
    assert!(requests.contains(r#""report":null"#), "{requests}");
    // Its process loads the bytes of the shadow model, and no others.
    let setup = std::fs::read_to_string(node.folder.path().join("setup")).expect("setup");
    assert!(setup.contains(r#""embolism":{"name":"new","version":"2.0.0","sha256":"aa"}"#), "{setup}");
    let [comparison] = node.store.comparisons(10).await.expect("list").try_into().expect("one");
    assert!(comparison.agrees());
    assert_eq!(shadow.status().borrow().as_ref().map(|status| status.error.clone()), Some(None));
}

#[tokio::test]
async fn a_shadow_model_that_crashes_or_fails_costs_nothing_but_its_own_result() {
    for (on_request, problem) in
        [("exit 3", "exit status: 3"), (r#"echo '{"reply":"failed","error":"no such tensor"}'"#, "no such tensor")]
    {
        let (node, shadow) = with_shadow(&answers(on_request)).await;
        let mut running = Running::default();
        assert!(step(&node, &shadow, &mut running).await.is_zero());
        let series = node.series().await;
        assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Analysed), 1));
        assert!(series.error.is_none());
        let error = series.shadow[0].error.as_ref().expect("a failure");
        assert!(error.contains(problem), "{error}");
        assert!(!node.store.comparisons(10).await.expect("list")[0].agrees());
    }
}

#[tokio::test]
async fn a_shadow_model_that_does_not_load_is_reported_and_waits() {
    let (node, shadow) = with_shadow(r#"read setup; echo '{"reply":"unable","reason":"no tensor"}'"#).await;
    let mut running = Running::default();
    assert_eq!(step(&node, &shadow, &mut running).await, AFTER_REFUSAL);
    assert!(step(&node, &shadow, &mut running).await > Duration::from_secs(30), "it is not retried at once");
    let status = shadow.status().borrow().clone().expect("a shadow model");
    assert!(status.error.is_some_and(|error| error.contains("no tensor")));
    assert!(node.series().await.shadow.is_empty());
}

#[tokio::test]
async fn a_shadow_model_starts_in_a_pause_and_is_stopped_for_an_exam() {
    let (node, shadow) = with_shadow(&answers(
        r#"touch "$FOLDER/begun"; while [ -e "$FOLDER/hold" ]; do sleep 0.02; done; echo "$SEEN""#,
    ))
    .await;
    std::fs::write(node.folder.path().join("hold"), "").expect("write");
    let begun = node.folder.path().join("begun");
    let mut running = Running::default();
    // Something is to be analysed: it does not begin.
    node.receive("2").await;
    assert!(!step(&node, &shadow, &mut running).await.is_zero());
    assert!(!begun.exists() && node.series().await.shadow.is_empty());
    let mut worker = node.worker().await.expect("worker");
    worker.step(&Shutdown::new()).await.expect("step");
    // It begins, and an exam comes.
    let arrives = async {
        while !begun.exists() {
            sleep(Duration::from_millis(10)).await;
        }
        node.receive("3").await;
    };
    let both = Box::pin(async { tokio::join!(step(&node, &shadow, &mut running), arrives) });
    let (rest, ()) =
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is stopped although its process hangs");
    assert!(rest.is_zero() && running.process.is_none() && node.series().await.shadow.is_empty());
    worker.step(&Shutdown::new()).await.expect("step");
    // In the next pause it sees the series that was interrupted, and the rest.
    std::fs::remove_file(node.folder.path().join("hold")).expect("remove");
    for _ in 0..3 {
        assert!(step(&node, &shadow, &mut running).await.is_zero());
    }
    assert!(!step(&node, &shadow, &mut running).await.is_zero());
    assert_eq!(node.store.comparisons(10).await.expect("list").len(), 3);
}

#[tokio::test]
async fn a_shadow_model_sees_what_was_analysed_since_it_was_set() {
    let (node, shadow) = with_shadow(&answers(r#"echo "$SEEN""#)).await;
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    node.wanted.send_modify(|wanted| {
        if let Some(shadow_model) = &mut wanted.lineup.shadow {
            shadow_model.since = later;
        }
    });
    assert_eq!(step(&node, &shadow, &mut Running::default()).await, LONGEST_SLEEP);
    node.wanted.send_modify(|wanted| wanted.lineup.shadow = None);
    assert_eq!(step(&node, &shadow, &mut Running::default()).await, LONGEST_SLEEP);
    assert!(shadow.status().borrow().is_none() && node.series().await.shadow.is_empty());
}

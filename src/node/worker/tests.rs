use std::path::Path;

use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use jiff::SignedDuration;

use super::*;
use crate::engine::pipeline::{ResultKind, ResultReference};
use crate::node::archive::Level;
use crate::node::archive::testing::{received, slice, uid};
use crate::node::queue::{Selection, SeriesProgress, SeriesView};

/// What a node on a temporary folder needs; the analysis process is a script.
struct Node {
    folder: tempfile::TempDir,
    config: Config,
    archive: Archive,
    queue: Queue,
    launch: Launch,
}

const READY: &str = r#"read setup; echo '{"reply":"ready","provider":"script","models":[]}'"#;

impl Node {
    /// A node with one queued job of two slices. `script` stands for the analysis process; `$REPLY` is the answer that
    /// names the report and the file `report.dcm`, which lies in `$FOLDER`.
    async fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let overrides = [
            format!("storage.path=\"{}\"", folder.path().join("data").display()),
            "storage.minimum_free_mib=0".to_owned(),
            "analysis.attempts=2".to_owned(),
        ];
        let config = Config::load(None, std::iter::empty(), &overrides).expect("settings");
        let archive = Archive::open(&config.storage).await.expect("archive");
        let queue = Queue::open(&archive, &config.analysis, &[], true).await.expect("queue");
        let mut members = Vec::new();
        for number in 1..=2 {
            archive.store(slice("1", "1.1", number, &[])).await.expect("store");
            members.push((uid(&format!("1.1.{number}")), format!("{number:064}")));
        }
        let selection = Selection::Analyse(members);
        queue.decide(&uid("1"), &uid("1.1"), 2, &selection, Timestamp::now()).await.expect("decide");
        write(report(), &folder.path().join("report.dcm"));
        let reply = Reply::Done { summary: Box::new(summary()), files: vec!["report.dcm".to_owned()] };
        let prelude = format!(
            "FOLDER={}\nREPLY='{}'\noutput() {{ sed 's/.*\"output\":\"\\([^\"]*\\)\".*/\\1/'; }}\n",
            folder.path().display(),
            serde_json::to_string(&reply).expect("JSON")
        );
        let launch = Launch {
            program: PathBuf::from("bash"),
            arguments: vec!["-c".into(), format!("{prelude}{script}").into()],
            timeout: Duration::from_secs(30),
            memory_limit_mib: 0,
            drain: Duration::from_millis(100),
        };
        Self { folder, config, archive, queue, launch }
    }

    async fn worker(&self) -> Result<Worker, WorkerError> {
        Worker::start_with(self.archive.clone(), self.queue.clone(), &self.config, self.launch.clone()).await
    }

    async fn series(&self) -> SeriesView {
        let study = self.queue.study(&uid("1")).await.expect("study").expect("known");
        study.series.into_iter().next().expect("series")
    }
}

fn report() -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, uids::COMPREHENSIVE3_DSR_STORAGE),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1.1"),
        DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1"),
        DataElement::new(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.1"),
        DataElement::new(tags::MODALITY, VR::CS, "SR"),
    ])
}

fn write(object: InMemDicomObject, path: &Path) {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).expect("meta").write_to_file(path).expect("write");
}

fn summary() -> Summary {
    Summary {
        study_instance_uid: Some(uid("1")),
        series_instance_uid: Some(uid("1.1")),
        status: Status::Analysed,
        rejections: Vec::new(),
        probability: None,
        decision: None,
        left_lung_ml: None,
        right_lung_ml: None,
        provider: None,
        models: Vec::new(),
        demonstration: false,
        timings_ms: vec![("read".to_owned(), 1)],
        results: vec![ResultReference {
            kind: ResultKind::Sr,
            series_instance_uid: uid("2.25.1"),
            sop_instance_uid: uid("2.25.1.1"),
        }],
    }
}

fn script(on_request: &str) -> String {
    format!("{READY}; while read request; do {on_request}; done")
}

const WELL_DONE: &str = r#"cp "$FOLDER/report.dcm" "$(echo "$request" | output)"; echo "noise"; echo "$REPLY""#;

#[tokio::test]
async fn a_job_ends_with_its_results_in_the_archive() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut worker = node.worker().await.expect("worker");
    assert_eq!(worker.ready().borrow().as_ref().map(|ready| ready.provider.0.as_str()), Some("script"));
    let rest = worker.step(&Shutdown::new()).await.expect("step");
    assert!(rest.is_zero());
    let series = node.series().await;
    assert_eq!(series.state, SeriesProgress::Job(JobState::Analysed), "{:?}", series.error);
    let result = series.results.first().expect("result");
    let matching = vec![(tags::SOP_INSTANCE_UID, result.sop_instance_uid.to_string())];
    let query = crate::node::archive::Query { matching, ..Default::default() };
    let found = node.archive.find(Level::Instance, &query);
    assert_eq!(found.await.expect("find").len(), 1);
    assert!(node.archive.unassembled().await.expect("list").is_empty(), "results are not assembled");
    assert!(!worker.step(&Shutdown::new()).await.expect("step").is_zero());
}

/// Result objects that the archive shows.
async fn shown(node: &Node) -> usize {
    let matching = vec![(tags::SERIES_INSTANCE_UID, "2.25.1".to_owned())];
    let query = crate::node::archive::Query { matching, ..Default::default() };
    node.archive.find(Level::Instance, &query).await.expect("find").len()
}

#[tokio::test]
async fn a_node_that_ends_between_results_and_job_may_write_others_the_next_time() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut worker = node.worker().await.expect("worker");
    let job = node.queue.claim(Timestamp::now()).await.expect("claim").expect("due");
    let Ok(Outcome::Ended(..)) = worker.attempt(&job, &Shutdown::new()).await else { panic!("no results") };
    assert_eq!(shown(&node).await, 0, "results without their job");
    // The next run has other settings or another provider: the same identifier, other bytes.
    let mut other = report();
    other.put(DataElement::new(tags::SOFTWARE_VERSIONS, VR::LO, "a later one"));
    write(other, &node.folder.path().join("report.dcm"));
    let queue = Queue::open(&node.archive, &node.config.analysis, &[], true).await.expect("queue");
    let node = Node { queue, ..node };
    node.worker().await.expect("worker").step(&Shutdown::new()).await.expect("step");
    let series = node.series().await;
    assert_eq!((series.state, shown(&node).await), (SeriesProgress::Job(JobState::Analysed), 1), "{:?}", series.error);
}

#[tokio::test]
async fn a_result_never_takes_the_place_of_an_object_that_came_under_its_identifier() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut foreign = report();
    foreign.put(DataElement::new(tags::SOFTWARE_VERSIONS, VR::LO, "foreign"));
    node.archive.store(received(foreign)).await.expect("store");
    let mut worker = node.worker().await.expect("worker");
    worker.step(&Shutdown::new()).await.expect("step");
    let series = node.series().await;
    assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Queued), 1));
    assert!(series.error.is_some_and(|error| error.contains("2.25.1.1")));
    assert!(series.results.is_empty());
}

#[tokio::test]
async fn a_fault_of_the_node_costs_no_attempt() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut worker = node.worker().await.expect("worker");
    let work = node.folder.path().join("data/work");
    std::fs::remove_dir_all(&work).expect("remove");
    std::fs::write(&work, "in the way").expect("write");
    worker.step(&Shutdown::new()).await.expect("step");
    let series = node.series().await;
    assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Queued), 0));
    assert!(series.error.is_some_and(|error| error.contains("data/work")));
}

#[tokio::test]
async fn a_crash_costs_one_attempt_and_the_next_one_has_a_new_process() {
    let crash_once =
        format!(r#"if [ -e "$FOLDER/crashed" ]; then {WELL_DONE}; else touch "$FOLDER/crashed"; exit 3; fi"#);
    let node = Node::new(&script(&crash_once)).await;
    let mut worker = node.worker().await.expect("worker");
    worker.step(&Shutdown::new()).await.expect("step");
    let series = node.series().await;
    assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Queued), 1));
    assert!(series.error.is_some_and(|error| error.contains("exit status: 3")));
    // The pause between attempts, cut short.
    let job = node.queue.claim(Timestamp::now() + SignedDuration::from_secs(10)).await.expect("claim").expect("due");
    let outcome = worker.attempt(&job, &Shutdown::new()).await;
    worker.record(&job, outcome, &Shutdown::new()).await.expect("record");
    assert_eq!(node.series().await.state, SeriesProgress::Job(JobState::Analysed));
}

#[tokio::test]
async fn an_analysis_that_takes_too_long_is_ended() {
    let mut node = Node::new(&script("sleep 100")).await;
    node.launch.timeout = Duration::from_millis(300);
    let mut worker = node.worker().await.expect("worker");
    worker.step(&Shutdown::new()).await.expect("step");
    let error = node.series().await.error.expect("an error");
    assert!(error.contains("analysis.timeout_seconds"), "{error}");
}

#[tokio::test]
async fn a_process_that_takes_too_much_memory_is_ended() {
    let mut node = Node::new(&script(r"hog=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 100")).await;
    node.launch.memory_limit_mib = 50;
    let mut worker = node.worker().await.expect("worker");
    worker.step(&Shutdown::new()).await.expect("step");
    let error = node.series().await.error.expect("an error");
    assert!(error.contains("analysis.memory_limit_mib"), "{error}");
}

#[tokio::test]
async fn a_result_that_leaves_its_folder_or_is_another_object_is_refused() {
    let outside = WELL_DONE.replace(r#"echo "$REPLY""#, r#"echo "${REPLY/report.dcm/../report.dcm}""#);
    let other = WELL_DONE.replace(r#"echo "$REPLY""#, r#"echo "${REPLY/2.25.1.1/2.25.1.7}""#);
    for (answer, problem) in [(outside, "leaves the folder"), (other, "it is not the object 2.25.1.7")] {
        let node = Node::new(&script(&answer)).await;
        let mut worker = node.worker().await.expect("worker");
        worker.step(&Shutdown::new()).await.expect("step");
        let error = node.series().await.error.expect("an error");
        assert!(error.contains(problem), "{error}");
        assert!(node.folder.path().exists());
    }
}

#[tokio::test]
async fn a_node_that_stops_gives_the_job_back_without_counting_the_attempt() {
    let node = Node::new(&script("sleep 100")).await;
    let worker = node.worker().await.expect("worker");
    let shutdown = Shutdown::new();
    let run = tokio::spawn(worker.run(shutdown.clone()));
    let mut changes = node.queue.changes();
    while node.series().await.state != SeriesProgress::Job(JobState::Running) {
        changes.changed().await.expect("change");
    }
    shutdown.cancel();
    run.await.expect("run");
    assert_eq!(node.series().await.state, SeriesProgress::Job(JobState::Queued));
    for _ in 0..3 {
        let job = node.queue.claim(Timestamp::now()).await.expect("claim").expect("due at once");
        node.queue.give_back(&job, Timestamp::now()).await.expect("give back");
    }
}

#[tokio::test]
async fn models_that_cannot_be_loaded_are_an_error_at_start() {
    let node = Node::new(r#"read setup; echo '{"reply":"unable","reason":"no CUDA device 0"}'"#).await;
    let error = node.worker().await.err().expect("an error").to_string();
    assert!(error.contains("no CUDA device 0"), "{error}");
}

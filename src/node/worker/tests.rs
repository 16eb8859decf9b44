use std::ffi::OsStr;
use std::path::Path;

use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use jiff::SignedDuration;

use super::process::is_passed_on;
use super::*;
use crate::config::Config;
use crate::dicom::SeriesId;
use crate::engine::models::ModelIdentity;
use crate::engine::models::lineup::{Lineup, Packages};
use crate::engine::pipeline::{ResultKind, ResultReference, Stage, testing};
use crate::node::archive::Level;
use crate::node::archive::testing::{received, slice, uid};
use crate::node::queue::{Rules, Selection};
use crate::node::store::{SeriesProgress, SeriesView};

/// What a node on a temporary folder needs; the analysis process is a script.
pub(super) struct Node {
    pub(super) folder: tempfile::TempDir,
    pub(super) settings: WorkerSettings,
    pub(super) archive: Archive,
    pub(super) store: Store,
    pub(super) launch: Launch,
    pub(super) wanted: watch::Sender<Wanted>,
}

const READY: &str = r#"read setup; echo '{"reply":"ready","provider":"script","models":'"$MODELS"'}'"#;

impl Node {
    /// A node with one queued job of two slices. `script` stands for the analysis process; `$REPLY` is the answer that
    /// names the report and the file `report.dcm`, which lies in `$FOLDER`.
    pub(super) async fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let overrides = [
            format!("storage.path=\"{}\"", folder.path().join("data").display()),
            "storage.minimum_free_mib=0".to_owned(),
            "analysis.attempts=2".to_owned(),
        ];
        let config = Config::load(None, std::iter::empty(), &overrides).expect("settings");
        let rules = Rules::new(&config.analysis, &[], true);
        let store = Store::open(&config.storage, rules).await.expect("store");
        let archive = Archive::open(&config.storage, config.limits, store.clone()).await.expect("archive");
        write(report(), &folder.path().join("report.dcm"));
        let reply = Reply::Done { summary: Box::new(summary()), files: vec!["report.dcm".to_owned()] };
        let prelude = format!(
            "FOLDER={}\nMODELS='{}'\nREPLY='{}'\noutput() {{ sed 's/.*\"output\":\"\\([^\"]*\\)\".*/\\1/'; }}\n",
            folder.path().display(),
            serde_json::to_string(&packages("embolism")).expect("JSON"),
            serde_json::to_string(&reply).expect("JSON")
        );
        let launch = Launch {
            program: PathBuf::from("bash"),
            arguments: vec!["-c".into(), format!("{prelude}{script}").into()],
            timeout: Duration::from_secs(30),
            memory_limit_mib: 0,
            drain: Duration::from_millis(100),
        };
        let wanted = watch::Sender::new(lineup("embolism"));
        let settings = WorkerSettings {
            folder: folder.path().join("data/work"),
            analysis: config.analysis,
            child: Settings {
                models: config.models,
                onnxruntime: config.onnxruntime,
                limits: config.limits,
                report: config.report,
                quality: config.quality,
                ignore_quality: false,
                log: config.log,
            },
        };
        let node = Self { folder, settings, archive, store, launch, wanted };
        node.receive("1").await;
        node
    }

    /// A study with a queued job of two slices.
    pub(super) async fn receive(&self, study: &str) {
        let series = format!("{study}.1");
        let mut members = Vec::new();
        for number in 1..=2 {
            self.archive.store(slice(study, &series, number, &[])).await.expect("store");
            members.push((uid(&format!("{series}.{number}")), format!("{number:064}")));
        }
        let selection = Selection::Analyse(members);
        self.store
            .decide(&SeriesId::new(uid(study), uid(&series)), 2, &selection, Timestamp::now())
            .await
            .expect("decide");
    }

    pub(super) async fn worker(&self) -> Result<Worker, WorkerError> {
        let (archive, store) = (self.archive.clone(), self.store.clone());
        Worker::start_with(archive, store, &self.settings, self.launch.clone(), self.wanted.subscribe()).await
    }

    pub(super) async fn series(&self) -> SeriesView {
        self.series_of("1").await
    }

    async fn series_of(&self, study: &str) -> SeriesView {
        let study = self.store.study(&uid(study)).await.expect("study").expect("known");
        study.series.into_iter().next().expect("series")
    }

    /// Waits for the end of a study's job.
    async fn analysed(&self, study: &str) -> SeriesView {
        let mut changes = self.store.changes();
        loop {
            let series = self.series_of(study).await;
            if series.state == SeriesProgress::Job(JobState::Analysed) {
                return series;
            }
            changes.changed().await.expect("change");
        }
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

fn summary() -> AnalysisSummary {
    let analysed = testing::analysed(|summary| {
        summary.results = vec![ResultReference {
            kind: ResultKind::Sr,
            series_instance_uid: uid("2.25.1"),
            sop_instance_uid: uid("2.25.1.1"),
        }];
    });
    AnalysisSummary { timings: [(Stage::Read, Duration::from_millis(1))].into_iter().collect(), ..analysed }
}

pub(super) fn script(on_request: &str) -> String {
    format!("{READY}; while read request; do {on_request}; done")
}

pub(super) const WELL_DONE: &str =
    r#"cp "$FOLDER/report.dcm" "$(echo "$request" | output)"; echo "noise"; echo "$REPLY""#;

#[tokio::test]
async fn a_job_ends_with_its_results_in_the_archive() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut worker = node.worker().await.expect("worker");
    assert_eq!(worker.analysis().borrow().ready.as_ref().map(|ready| ready.provider.0.as_str()), Some("script"));
    let rest = worker.step(&Shutdown::new()).await.expect("step");
    assert!(rest.is_zero());
    let series = node.series().await;
    assert_eq!(series.state, SeriesProgress::Job(JobState::Analysed), "{:?}", series.error);
    let result = series.results.first().expect("result");
    let matching = vec![(tags::SOP_INSTANCE_UID, result.sop_instance_uid.to_string())];
    let query = crate::node::archive::Query { matching, ..Default::default() };
    let found = node.archive.find(Level::Instance, &query);
    assert_eq!(found.await.expect("find").len(), 1);
    assert!(node.store.unassembled().await.expect("list").is_empty(), "results are not assembled");
    assert!(!worker.step(&Shutdown::new()).await.expect("step").is_zero());
}

/// Result objects that the archive shows.
async fn shown(node: &Node) -> usize {
    let matching = vec![(tags::SERIES_INSTANCE_UID, "2.25.1".to_owned())];
    let query = crate::node::archive::Query { matching, ..Default::default() };
    node.archive.find(Level::Instance, &query).await.expect("find").len()
}

#[tokio::test]
async fn a_node_that_ends_before_the_job_is_recorded_may_write_other_results_the_next_time() {
    let node = Node::new(&script(WELL_DONE)).await;
    let mut worker = node.worker().await.expect("worker");
    let job = node.store.claim(Timestamp::now()).await.expect("claim").expect("due");
    let Ok(AttemptOutcome::Ended(..)) = worker.attempt(&job, &Shutdown::new()).await else { panic!("no results") };
    assert_eq!(shown(&node).await, 0, "results without their job");
    // The next run has other settings or another provider: the same identifier, other bytes.
    let mut other = report();
    other.put(DataElement::new(tags::SOFTWARE_VERSIONS, VR::LO, "a later one"));
    write(other, &node.folder.path().join("report.dcm"));
    let store = node.store.restarted(Rules::new(&node.settings.analysis, &[], true)).await;
    let node = Node { store, ..node };
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
    assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Queued), 0), "it is made again at once");
    assert!(series.results.is_empty());
    assert_eq!(node.store.claim(Timestamp::now()).await.expect("claim").expect("due").issue, 1);
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
async fn a_process_that_is_lost_while_its_models_are_loaded_costs_no_attempt() {
    let hungry = r"hog=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 100";
    for (fault, problem) in [("exit 3", "exit status: 3"), (hungry, "analysis.memory_limit_mib")] {
        let broken = format!(r#"if [ -e "$FOLDER/broken" ]; then {fault}; fi; {}"#, script(WELL_DONE));
        let mut node = Node::new(&broken).await;
        node.launch.memory_limit_mib = 50;
        let mut worker = node.worker().await.expect("worker");
        // The next process meets a driver that is no longer there.
        worker.process = None;
        std::fs::write(node.folder.path().join("broken"), "").expect("write");
        worker.step(&Shutdown::new()).await.expect("step");
        let series = node.series().await;
        assert_eq!((series.state, series.attempts), (SeriesProgress::Job(JobState::Queued), 0));
        let error = series.error.expect("an error");
        assert!(error.contains("cannot start") && error.contains(problem), "{error}");
    }
    let slow = WorkerError::from(ProcessError::TimedOut(Duration::from_secs(300)).at_start());
    assert!(slow.is_infrastructure_error() && !slow.to_string().contains("analysis.timeout_seconds"), "{slow}");
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
    let job = node.store.claim(Timestamp::now() + SignedDuration::from_secs(10)).await.expect("claim").expect("due");
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
async fn the_process_gets_no_variable_that_it_has_no_use_for() {
    let node = Node::new(&script(r#"env | cut -d= -f1 > "$FOLDER/variables"; exit 3"#)).await;
    node.worker().await.expect("worker").step(&Shutdown::new()).await.expect("step");
    let variables = std::fs::read_to_string(node.folder.path().join("variables")).expect("variables");
    let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    let given = variables.lines().filter(|name| !of_the_shell.contains(name));
    let foreign: Vec<&str> = given.filter(|name| !is_passed_on(OsStr::new(name))).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(variables.lines().any(|name| name == "PATH"), "{variables}");
    assert!(!["PE_NODE__DESTINATIONS", "CARGO_MANIFEST_DIR"].into_iter().any(|name| is_passed_on(OsStr::new(name))));
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
async fn a_node_that_stops_releases_the_job_without_counting_the_attempt() {
    let node = Node::new(&script("sleep 100")).await;
    let worker = node.worker().await.expect("worker");
    let shutdown = Shutdown::new();
    let run = tokio::spawn(worker.run(shutdown.clone()));
    let mut changes = node.store.changes();
    while node.series().await.state != SeriesProgress::Job(JobState::Running) {
        changes.changed().await.expect("change");
    }
    shutdown.cancel();
    run.await.expect("run");
    assert_eq!(node.series().await.state, SeriesProgress::Job(JobState::Queued));
    for _ in 0..3 {
        let job = node.store.claim(Timestamp::now()).await.expect("claim").expect("due at once");
        node.store.release(&job, Timestamp::now()).await.expect("release");
    }
}

#[tokio::test]
async fn models_that_cannot_be_loaded_are_an_error_at_start() {
    let node = Node::new(r#"read setup; echo '{"reply":"unable","reason":"no CUDA device 0"}'"#).await;
    let error = node.worker().await.err().expect("an error").to_string();
    assert!(error.contains("no CUDA device 0"), "{error}");
}

/// Models that answer under the name of the wanted package; those called `broken` do not load. A request is answered
/// once `$FOLDER/hold` is gone.
const NAMED: &str = r#"read setup
package=$(echo "$setup" | sed 's/.*"embolism":{"name":"\([^"]*\)","version":"\([^"]*\)".*/\1\/\2/')
case "$package" in broken/*) echo '{"reply":"unable","reason":"its tensors do not fit"}'; exit 1;; esac
model='{"name":"'${package%/*}'","version":"'${package#*/}'","sha256":"aa"}'
echo '{"reply":"ready","provider":"script","models":{"lungs":'$model',"embolism":'$model'}}'
while read request; do
  while [ -e "$FOLDER/hold" ]; do sleep 0.02; done
  cp "$FOLDER/report.dcm" "$(echo "$request" | output)"; echo "$REPLY" | sed 's/"models":\[.*\],"demo/"models":['$model,$model'],"demo/'
done"#;

/// Lungs and a classifier of this name.
pub(super) fn packages(embolism: &str) -> Packages {
    let model = |name: &str| ModelIdentity::of(&format!("{name}/1.0.0"), &format!("digest of {name}"));
    Packages { lungs: model("lungs"), embolism: model(embolism) }
}

fn lineup(embolism: &str) -> Wanted {
    Wanted { lineup: Lineup { packages: packages(embolism), shadow: None }, problem: None }
}

async fn until(state: &mut watch::Receiver<Analysis>, wanted: impl FnMut(&Analysis) -> bool) {
    tokio::time::timeout(Duration::from_secs(20), state.wait_for(wanted)).await.expect("in time").expect("open");
}

#[tokio::test]
async fn promoted_models_take_over_between_two_jobs_and_broken_ones_do_not() {
    let node = Node::new(NAMED).await;
    node.wanted.send_replace(lineup("old"));
    let hold = node.folder.path().join("hold");
    std::fs::write(&hold, "").expect("write");
    let worker = node.worker().await.expect("worker");
    let mut state = worker.analysis();
    let shutdown = Shutdown::new();
    let run = tokio::spawn(worker.run(shutdown.clone()));
    let classifier = |series: SeriesView| {
        series.summary().expect("a summary").analysed().expect("analysed").models.embolism.package.name.to_string()
    };

    // Promoted while a job is under way: this job ends with the models that it began with.
    let mut changes = node.store.changes();
    while node.series().await.state != SeriesProgress::Job(JobState::Running) {
        changes.changed().await.expect("change");
    }
    node.wanted.send_replace(lineup("new"));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(state.borrow().packages.embolism.package.name.as_str(), "old", "the job has not ended");
    std::fs::remove_file(&hold).expect("remove");
    assert_eq!(classifier(node.analysed("1").await), "old");
    until(&mut state, |analysis| analysis.packages.embolism.package.name.as_str() == "new").await;
    node.receive("2").await;
    assert_eq!(classifier(node.analysed("2").await), "new");

    // A model that does not load leaves the former one active; the refusal is shown until other models are wanted.
    node.wanted.send_replace(lineup("broken"));
    until(&mut state, |analysis| analysis.refused.as_ref().is_some_and(|why| why.contains("tensors do not fit"))).await;
    node.receive("3").await;
    assert_eq!(classifier(node.analysed("3").await), "new");
    node.wanted.send_modify(|wanted| wanted.problem = Some("active.toml cannot be read".to_owned()));
    until(&mut state, |analysis| analysis.refused.as_ref().is_some_and(|why| why.contains("active.toml"))).await;
    node.wanted.send_replace(lineup("new"));
    until(&mut state, |analysis| analysis.refused.is_none()).await;
    for study in ["1", "2", "3"] {
        assert_eq!(node.series_of(study).await.attempts, 1, "no attempt was lost");
    }
    shutdown.cancel();
    run.await.expect("run");
}

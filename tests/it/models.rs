//! `pe-node models` and a running node that follows it, through the real binary.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pe_node::learn::phantom::{Cohort, Preset, Site, write_cohort};
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_pe-node");

/// A folder of packages with the fixtures, and the classifier in other versions waiting outside.
struct Packages {
    folder: TempDir,
}

impl Packages {
    fn new() -> Self {
        let packages = Self { folder: tempfile::tempdir().expect("temporary folder") };
        for name in ["fixture-lungs", "fixture-embolism"] {
            let done = packages.models(&["import", &fixture(name).display().to_string()]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        packages
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn models(&self, arguments: &[&str]) -> Output {
        let directory = format!("models.directory={}", self.directory().display());
        let settings = ["--set", directory.as_str(), "--set", "onnxruntime.device=cpu"];
        Command::new(BINARY).arg("models").args(arguments).args(settings).output().expect("the binary runs")
    }

    /// What a command prints when it does what is asked.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.models(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Imports the fixture classifier under another version, with another threshold.
    fn another_version(&self, version: &str) {
        let from = self.folder.path().join(format!("outside-{version}"));
        fs::create_dir(&from).expect("folder");
        for entry in fs::read_dir(fixture("fixture-embolism")).expect("fixture").flatten() {
            fs::copy(entry.path(), from.join(entry.file_name())).expect("copy");
        }
        let manifest = fs::read_to_string(from.join("model.toml")).expect("manifest");
        let manifest = manifest.replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1);
        fs::write(from.join("model.toml"), manifest).expect("write");
        self.done(&["import", &from.display().to_string()]);
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name).join("1.0.0")
}

#[test]
fn packages_are_imported_promoted_and_rolled_back_by_commands_that_say_what_is_so() {
    let packages = Packages::new();
    packages.another_version("1.1.0");
    let listed = packages.done(&["list"]);
    assert!(listed.contains("* fixture-embolism/1.0.0") && listed.contains("  fixture-embolism/1.1.0"), "{listed}");
    assert!(packages.done(&["promote", "fixture-embolism/1.1.0"]).contains("is the active embolism-classifier now"));
    assert!(packages.done(&["promote", "fixture-embolism/1.1.0"]).contains("already"));
    assert!(packages.done(&["shadow", "fixture-embolism/1.0.0"]).contains("runs from now on"));
    let listed = packages.done(&["list"]);
    for line in ["* fixture-embolism/1.1.0", "~ fixture-embolism/1.0.0", "runs beside since", "  promoted     embolism"]
    {
        assert!(listed.contains(line), "{line} is missing in {listed}");
    }
    assert!(packages.done(&["rollback", "embolism"]).contains("fixture-embolism/1.0.0  is the active"));
    assert!(packages.done(&["verify"]).contains("fixture-embolism/1.1.0  sha256"));
    // What cannot be done is said with the way out, and is the user's to mend: exit code 2.
    for (arguments, said) in [
        (&["rollback", "embolism"][..], "there is no embolism-classifier before fixture-embolism/1.0.0"),
        (&["promote", "fixture-embolism/7"], "there is no model package fixture-embolism/7"),
        (&["shadow", "fixture-embolism/1.0.0"], "is active"),
    ] {
        let output = packages.models(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.contains(said)), (Some(2), true), "{arguments:?}: {text}");
    }
    let named =
        packages.models(&["promote", "fixture-embolism/1.1.0", "--set", "models.embolism=fixture-embolism/1.0.0"]);
    let text = String::from_utf8_lossy(&named.stderr).into_owned();
    assert!(named.status.success() && text.contains("takes precedence"), "{text}");
    // A network that is no longer the one that was imported is not promoted.
    fs::write(packages.directory().join("fixture-embolism/1.0.0/head.onnx"), "nothing").expect("write");
    let output = packages.models(&["rollback", "embolism"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(packages.done(&["list"]).contains("* fixture-embolism/1.1.0"));
}

/// `pe-node serve` on free ports.
struct Node {
    process: Child,
    dicom: String,
    http: String,
    client: reqwest::Client,
}

impl Node {
    fn start(packages: &Packages) -> Self {
        let settings = [
            format!("models.directory={}", packages.directory().display()),
            format!("storage.path={}", packages.folder.path().join("archive").display()),
            "onnxruntime.device=cpu".to_owned(),
            "dicom.listen=127.0.0.1:0".to_owned(),
            "http.listen=127.0.0.1:0".to_owned(),
            "study.quiet_seconds=0.2".to_owned(),
            "storage.minimum_free_mib=0".to_owned(),
        ];
        let log = fs::File::create(packages.folder.path().join("node.log")).expect("log");
        let mut process = Command::new(BINARY)
            .arg("serve")
            .args(settings.iter().flat_map(|setting| ["--set", setting.as_str()]))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(process.stdout.take().expect("output")).lines();
        let mut address = |begin: &str| {
            let line = lines.next().expect("an address").expect("text");
            line.strip_prefix(begin).unwrap_or_else(|| panic!("{line}")).trim().to_owned()
        };
        let dicom = address("DICOM").split_once('@').expect("address").1.to_owned();
        let http = address("HTTP");
        Self { process, dicom, http, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.http)).send().await.expect("answer");
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(start.elapsed() < Duration::from_secs(180), "{path} stays {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn push(&self, study: &Path) {
        let sent = Command::new(BINARY).arg("send").arg(&self.dicom).arg(study).output().expect("the binary runs");
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    /// The one series of a study, once it was analysed.
    async fn analysed(&self, study: &Path) -> Value {
        let answer = self.until(&path_of(study), |study| study["series"][0]["state"] == "analysed").await;
        answer["series"][0].clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn name_of(study: &Path) -> String {
    study.file_name().expect("name").to_string_lossy().into_owned()
}

fn path_of(study: &Path) -> String {
    format!("/api/v1/studies/{}", name_of(study))
}

/// Versions of the classifier that a series names.
fn version(series: &Value) -> String {
    let models = series["models"].as_array().expect("models");
    let classifier = models.iter().find(|model| model["name"] == "fixture-embolism").expect("the classifier");
    classifier["version"].as_str().expect("version").to_owned()
}

fn phantoms(folder: &Path, exams: usize) -> Vec<PathBuf> {
    let folder = folder.join("phantoms");
    let cohort = Cohort {
        folder: folder.clone(),
        exams,
        seed: 404,
        preset: Preset::Light,
        site: Site::Internal,
        twins: false,
        feet_first: false,
    };
    write_cohort(&cohort, || ()).expect("phantoms");
    let mut studies: Vec<PathBuf> =
        fs::read_dir(folder.join("train")).expect("studies").map(|entry| entry.expect("study").path()).collect();
    studies.sort();
    studies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_changes_models_between_exams_and_every_exam_has_one_result_that_names_them() {
    let packages = Packages::new();
    for version in ["1.1.0", "1.2.0"] {
        packages.another_version(version);
    }
    let studies = phantoms(packages.folder.path(), 5);
    let mut node = Node::start(&packages);
    // Pushed one after the other while another model is promoted.
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| studies[..3].iter().for_each(|study| node.push(study)));
        packages.done(&["promote", "fixture-embolism/1.1.0"]);
        pushing.join().expect("pushed");
    });
    node.until("/api/v1/models", |answer| active(answer) == ["1.1.0"]).await;
    node.push(&studies[3]);
    assert_eq!(version(&node.analysed(&studies[3]).await), "1.1.0");

    // A package that was promoted and broke since: the node goes on, and says so.
    fs::write(packages.directory().join("fixture-embolism/1.2.0/head.onnx"), "no network").expect("write");
    let state = packages.directory().join("active.toml");
    let event = "\n[[history]]\nat = \"2026-01-01T00:00:00Z\"\naction = \"promoted\"\nkind = \"embolism-classifier\"\n\
                 package = \"fixture-embolism/1.2.0\"\nsha256 = \"ab\"\n";
    fs::write(&state, fs::read_to_string(&state).expect("state") + event).expect("write");
    let hangup = Command::new("kill").args(["-HUP", &node.process.id().to_string()]).status().expect("kill");
    assert!(hangup.success());
    let answer = node.until("/api/v1/models", |answer| answer["refused"].is_string()).await;
    assert!(answer["refused"].as_str().expect("reason").contains("head.onnx has the SHA-256"), "{answer}");
    assert_eq!(active(&answer), ["1.1.0"]);
    let ready = node.get("/readyz").await;
    assert_eq!(ready["ready"], true, "{ready}");

    // Back to what works, a candidate beside it.
    packages.done(&["rollback", "embolism"]);
    node.until("/api/v1/models", |answer| answer["refused"].is_null()).await;
    packages.done(&["shadow", "fixture-embolism/1.0.0"]);
    node.until("/api/v1/models", |answer| answer["shadow"]["package"] == "fixture-embolism/1.0.0").await;
    node.push(&studies[4]);
    let last = node.until(&path_of(&studies[4]), |study| study["series"][0]["shadow"][0].is_object()).await;
    let series = &last["series"][0];
    assert_eq!((version(series).as_str(), version(&series["shadow"][0]).as_str()), ("1.1.0", "1.0.0"));
    assert_eq!(series["probability"], series["shadow"][0]["probability"], "the same networks under two versions");

    for study in &studies {
        let series = node.analysed(study).await;
        assert_eq!(series["attempts"], 1, "no attempt was lost: {series}");
        assert!(["1.0.0", "1.1.0"].contains(&version(&series).as_str()));
        let results = series["results"].as_array().expect("results");
        let kinds: Vec<&Value> = results.iter().map(|result| &result["kind"]).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "sr").count(), 1, "{kinds:?}");
        let held = node.get(&format!("/dicomweb/studies/{}/instances?includefield=00080060", name_of(study))).await;
        let made = held.as_array().expect("instances").iter().filter(|one| one["00080060"]["Value"][0] != "CT").count();
        assert_eq!(made, results.len(), "one result set, and none of the candidate");
    }
    let table = node.client.get(format!("{}/api/v1/shadow?format=csv", node.http)).send().await.expect("answer");
    let table = table.text().await.expect("text");
    assert!(table.lines().count() == 2 && table.contains(&name_of(&studies[4])), "{table}");
    assert!(node.process.try_wait().expect("state").is_none(), "the node still runs");
}

/// Versions of the classifier that are active, as the API says.
fn active(answer: &Value) -> Vec<&str> {
    let models = answer["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active = models.iter().filter(|model| model["active"] == true && model["name"] == "fixture-embolism");
    active.filter_map(|model| model["version"].as_str()).collect()
}

//! `pe-node serve` in a folder of its own, for tests that work with a running node.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pe_node::learn::phantom::{Cohort, Preset, Site, write_cohort};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pe-node");

/// A folder of packages with the fixtures, and the classifier in other versions waiting outside.
pub(crate) struct Packages {
    pub(crate) folder: TempDir,
}

impl Packages {
    pub(crate) fn new() -> Self {
        let packages = Self { folder: tempfile::tempdir().expect("temporary folder") };
        for name in ["fixture-lungs", "fixture-embolism"] {
            let done = packages.models(&["import", &fixture(name).display().to_string()]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        packages
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// Where a node with these packages keeps its archive.
    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub(crate) fn models(&self, arguments: &[&str]) -> Output {
        let directory = format!("models.directory={}", self.directory().display());
        let settings = ["--set", directory.as_str(), "--set", "onnxruntime.device=cpu"];
        Command::new(BINARY).arg("models").args(arguments).args(settings).output().expect("the binary runs")
    }

    /// What a command prints when it does what is asked.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.models(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Imports the fixture classifier under another version, with another threshold.
    pub(crate) fn another_version(&self, version: &str) {
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

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name).join("1.0.0")
}

/// `pe-node serve` on free ports.
pub(crate) struct Node {
    pub(crate) process: Child,
    dicom: String,
    pub(crate) http: String,
    pub(crate) client: reqwest::Client,
}

impl Node {
    pub(crate) fn start(packages: &Packages) -> Self {
        let settings = [
            format!("models.directory={}", packages.directory().display()),
            format!("storage.path={}", packages.archive().display()),
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
        Self { process, dicom, http, client: pe_node::node::http::client::builder().build().expect("a client") }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.http)).send().await.expect("answer");
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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

    pub(crate) fn push(&self, study: &Path) {
        let sent = Command::new(BINARY).arg("send").arg(&self.dicom).arg(study).output().expect("the binary runs");
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    /// The one series of a study, once it was analysed.
    pub(crate) async fn analysed(&self, study: &Path) -> Value {
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

pub(crate) fn name_of(study: &Path) -> String {
    study.file_name().expect("name").to_string_lossy().into_owned()
}

pub(crate) fn path_of(study: &Path) -> String {
    format!("/api/v1/studies/{}", name_of(study))
}

pub(crate) fn phantoms(folder: &Path, exams: usize) -> Vec<PathBuf> {
    let folder = folder.join("phantoms");
    let cohort = Cohort {
        folder: folder.clone(),
        exams,
        seed: 404,
        preset: Preset::Light,
        site: Site::Internal,
        paired: false,
        feet_first: false,
    };
    write_cohort(&cohort, || ()).expect("phantoms");
    let mut studies: Vec<PathBuf> =
        fs::read_dir(folder.join("train")).expect("studies").map(|entry| entry.expect("study").path()).collect();
    studies.sort();
    studies
}

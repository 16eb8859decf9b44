//! `pe-node train evaluate --labels` on phantoms, with the fixture packages, through the real binary.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::phantoms;

const BINARY: &str = env!("CARGO_BIN_EXE_pe-node");

type Row = HashMap<String, String>;

fn table(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("a table");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn run(arguments: &[&str]) -> Output {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    Command::new(BINARY)
        .args(arguments)
        .env("PE_NODE__MODELS__DIRECTORY", models)
        .env("PE_NODE__ONNXRUNTIME__DEVICE", "cpu")
        .output()
        .expect("the binary runs")
}

#[test]
fn a_package_is_evaluated_on_studies_that_carry_labels_and_masks_alone() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    phantoms(root, 4);
    let exams = table(&root.join("truth/exams.csv"));
    let mut labels = "StudyInstanceUID,pe_present_in_exam,level,mask\n".to_owned();
    for exam in &exams {
        // Where there is a mask, it says whether there is embolism.
        let mask = format!("truth/{}/clots.nii.gz", exam["series_instance_uid"]);
        let (label, mask) = if root.join(&mask).is_file() { ("", mask.as_str()) } else { ("0", "") };
        let _ = writeln!(labels, "{},{label},{},{mask}", exam["study_instance_uid"], exam["most_proximal_level"]);
    }
    labels.push_str("1.2.3.4.5,1,main,\n1.2.3.4.6,maybe,,\n");
    fs::write(root.join("labels.csv"), labels).expect("labels");
    let (labels, images) = (root.join("labels.csv"), root.join("train"));
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/fixture-embolism/1.0.0");
    let path = |path: &Path| path.display().to_string();
    let evaluate =
        ["train", "evaluate", "--labels", &path(&labels), "--images", &path(&images), "--package", &path(&package)];
    let done = run(&evaluate);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = root.join("labels-evaluation/fixture-embolism-1.0.0");

    let predicted = root.join("predicted.csv");
    assert!(run(&["predict", &path(&images), "--csv", &path(&predicted)]).status.success());
    let served: HashMap<String, Row> =
        table(&predicted).into_iter().map(|row| (row["series_instance_uid"].clone(), row)).collect();
    let predictions = table(&out.join("predictions.csv"));
    let analysed: Vec<&Row> =
        exams.iter().filter(|exam| served[&exam["series_instance_uid"]]["status"] == "analysed").collect();
    assert!(analysed.len() >= 2, "most phantoms can be analysed");
    assert_eq!(predictions.len(), analysed.len());
    for row in &predictions {
        let probability: f64 = row["probability"].parse().expect("a number");
        let served: f64 = served[&row["series"]]["pe_probability"].parse().expect("a number");
        assert!((probability - served).abs() < 1e-6, "what is measured is what is served: {probability} {served}");
        let exam = exams.iter().find(|exam| exam["series_instance_uid"] == row["series"]).expect("the exam");
        assert_eq!(row["embolism"] == "true", exam["pe"] == "1", "{row:?}");
    }

    let excluded = table(&out.join("exclusions.csv"));
    let reason = |study: &str| excluded.iter().find(|row| row["series"] == study).map(|row| row["reason"].clone());
    assert!(reason("1.2.3.4.5").is_some_and(|reason| reason.contains("no images")), "{excluded:?}");
    assert!(reason("1.2.3.4.6").is_some_and(|reason| reason.contains("pe_present_in_exam = `maybe`")), "{excluded:?}");

    let evaluation = fs::read_to_string(out.join("evaluation.json")).expect("metrics");
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).expect("JSON");
    let metric = |name: &str| evaluation["metrics"][name]["value"].as_f64();
    assert_eq!(metric("test.exams"), Some(analysed.len() as f64));
    let left_out = excluded.iter().filter(|row| row["step"] == "analysis").count();
    assert_eq!(left_out, exams.len() - analysed.len(), "what is rejected is a row");
    let positive = analysed.iter().filter(|exam| exam["pe"] == "1").count();
    assert_eq!(metric("test.positive_exams"), Some(positive as f64));
    assert!(positive == 0 || metric("test.clots").is_some_and(|clots| clots >= positive as f64), "{evaluation}");
    assert!(predictions.iter().all(|row| row["logit"].parse::<f64>().is_ok()), "{predictions:?}");
    let few = run(&[&["train", "recalibrate"], &evaluate[2..], &["--version", "1.0.1"]].concat());
    let said = String::from_utf8_lossy(&few.stderr);
    assert!(!few.status.success() && said.contains("until there are 20 of each"), "{said}");
    let report = fs::read_to_string(out.join("report.html")).expect("a report");
    assert!(report.contains("Receiver operating characteristic") && report.contains("slice thickness"));
    assert!(report.contains("<th>Lungs</th><td>fixture-lungs 1.0.0, SHA-256 "), "what found the lungs is said");
    assert!(evaluation["notes"][1].as_str().is_some_and(|note| note.contains("fixture-lungs 1.0.0")), "{evaluation}");
}

#[test]
fn what_cannot_be_evaluated_is_said() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let labels = folder.path().join("labels.csv");
    fs::write(&labels, "StudyInstanceUID,pe_present_in_exam\n1.2,1\n").expect("labels");
    let (labels, images) = (labels.display().to_string(), folder.path().display().to_string());
    let with = |more: &[&str]| {
        let done = run(&[&["train", "evaluate", "--labels", &labels, "--images", &images], more].concat());
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    let [embolism, lungs] =
        ["fixture-embolism/1.0.0", "fixture-lungs/1.0.0"].map(|name| fixture.join(name).display().to_string());
    let nothing = with(&["--package", &embolism]);
    assert!(nothing.contains("none of 1 labelled studies could be analysed"), "{nothing}");
    assert!(nothing.contains("images: no images of the study were found (1)"), "{nothing}");
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "no table stands where a report may stand");
    assert!(with(&["--package", &lungs]).contains("is not an embolism classifier"));
    assert!(with(&["--package", "nowhere"]).contains("--package"));
    let recalibrated = run(&["train", "recalibrate", "--labels", &labels, "--images", &images, "--package", &embolism]);
    assert_eq!(recalibrated.status.code(), Some(2), "{}", String::from_utf8_lossy(&recalibrated.stderr));
    assert!(String::from_utf8_lossy(&recalibrated.stderr).contains("--version"));
    let misplaced = run(&["train", "fit", "--labels", &labels, "--images", &images]);
    assert_eq!(misplaced.status.code(), Some(2), "{}", String::from_utf8_lossy(&misplaced.stderr));
}

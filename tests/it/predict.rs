//! `pe-node predict` on phantoms, with the fixture packages, through the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use dicom_object::open_file;
use pe_node::engine::volume::nifti;
use tempfile::TempDir;

use crate::common::phantoms;

const BINARY: &str = env!("CARGO_BIN_EXE_pe-node");

/// Two light phantoms, made once.
pub(crate) fn cohort() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("temporary folder");
            phantoms(folder.path(), 2);
            folder
        })
        .path()
}

pub(crate) fn predict(paths: &[&Path], more: &[&str]) -> Output {
    predict_with("fixtures/models", paths, more)
}

/// Predicts with the packages of a folder of the project.
fn predict_with(models: &str, paths: &[&Path], more: &[&str]) -> Output {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join(models);
    Command::new(BINARY)
        .arg("predict")
        .args(paths)
        .args(["--set", &format!("models.directory={}", models.display()), "--set", "onnxruntime.device=cpu"])
        .args(more)
        .output()
        .expect("the binary runs")
}

pub(crate) type Row = std::collections::HashMap<String, String>;

pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

fn table(path: &Path) -> Vec<Row> {
    rows(&fs::read_to_string(path).expect("table"))
}

pub(crate) fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} = `{}`", row[column]))
}

#[test]
fn a_cohort_becomes_a_table_and_a_folder_of_results_a_series() {
    let out = tempfile::tempdir().expect("temporary folder");
    let csv = out.path().join("table.csv");
    let done = predict(
        &[&cohort().join("train")],
        &["--out", &out.path().display().to_string(), "--csv", &csv.display().to_string()],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let rows = table(&csv);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["status"], "analysed", "{row:?}");
        assert_eq!(row["reasons"], "");
        // The images are marked synthetic, so a demonstration package may decide.
        assert!(["present", "absent", "undetermined"].contains(&row["decision"].as_str()));
        assert!((0.0..=1.0).contains(&number(row, "pe_probability")));
        let folder = out.path().join(&row["series_instance_uid"]);
        for name in
            ["sr.dcm", "sc.dcm", "seg.dcm", "kos.dcm", "evidence.nii.gz", "slices.csv", "summary.png", "key-1.png"]
        {
            assert!(folder.join(name).is_file(), "{name}");
        }
        for name in ["sr.dcm", "sc.dcm", "seg.dcm", "kos.dcm"] {
            let object = open_file(folder.join(name)).expect("a DICOM file");
            let study = object.element_by_name("StudyInstanceUID").expect("study").to_str().expect("text").into_owned();
            assert_eq!(study.trim_end_matches('\0'), row["study_instance_uid"]);
        }
        lungs_agree(&folder, row);
    }
}

/// A study of the cohort.
pub(crate) fn study() -> PathBuf {
    fs::read_dir(cohort().join("train")).expect("studies").next().expect("a study").expect("entry").path()
}

#[test]
fn patches_and_an_exam_network_give_a_probability_and_no_evidence() {
    let out = tempfile::tempdir().expect("temporary folder");
    let more = ["--set", "models.lungs=fixture-patches", "--set", "models.embolism=fixture-exam", "--out"];
    let done =
        predict_with("fixtures/layouts", &[&study()], &[&more[..], &[&out.path().display().to_string()]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let row = rows(&String::from_utf8_lossy(&done.stdout)).remove(0);
    assert_eq!(row["status"], "analysed", "{row:?}");
    assert!((0.05..=0.9).contains(&number(&row, "pe_probability")), "within the isotonic map: {row:?}");
    assert!(row["targets"].starts_with("chronic-pe=0."), "{row:?}");
    assert_eq!((row["probability_spread"].as_str(), row["probability_standard_deviation"].as_str()), ("", ""));
    let folder = out.path().join(&row["series_instance_uid"]);
    for (name, there) in [
        ("sr.dcm", true),
        ("sc.dcm", true),
        ("seg.dcm", true),
        ("lungs.nii.gz", true),
        ("summary.png", true),
        ("kos.dcm", false),
        ("evidence.nii.gz", false),
        ("slices.csv", false),
        ("key-1.png", false),
    ] {
        assert_eq!(folder.join(name).is_file(), there, "{name}");
    }
    lungs_agree(&folder, &row);
}

#[test]
fn an_ensemble_gives_the_standard_deviation_of_its_networks_and_evidence() {
    let out = tempfile::tempdir().expect("temporary folder");
    let more = ["--set", "models.lungs=fixture-patches", "--set", "models.embolism=fixture-ensemble", "--out"];
    let done =
        predict_with("fixtures/layouts", &[&study()], &[&more[..], &[&out.path().display().to_string()]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let row = rows(&String::from_utf8_lossy(&done.stdout)).remove(0);
    assert!((0.0..=0.5).contains(&number(&row, "probability_standard_deviation")), "{row:?}");
    assert_eq!(row["probability_spread"], row["probability_standard_deviation"], "its former name");
    let folder = out.path().join(&row["series_instance_uid"]);
    for name in ["sr.dcm", "kos.dcm", "evidence.nii.gz", "slices.csv", "key-1.png"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

#[test]
fn results_beside_the_images_remove_none_of_them() {
    let root = tempfile::tempdir().expect("temporary folder");
    let series = fs::read_dir(study()).expect("series").next().expect("a series").expect("entry").path();
    let copied = root.path().join(series.file_name().expect("name"));
    fs::create_dir(&copied).expect("folder");
    for entry in fs::read_dir(&series).expect("images") {
        let path = entry.expect("image").path();
        fs::copy(&path, copied.join(path.file_name().expect("name"))).expect("copied");
    }
    let count = |extension: &str| {
        let paths = fs::read_dir(&copied).expect("folder").map(|entry| entry.expect("file").path());
        paths.filter(|path| path.to_string_lossy().ends_with(extension)).count()
    };
    let images = count(".dcm");
    for _ in 0..2 {
        let done = predict(&[&series], &["--out", &root.path().display().to_string()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!((count(".dcm"), count("evidence.nii.gz")), (images + 4, 1));
}

/// The mask has the volumes of the table, and left and right where the truth has them.
fn lungs_agree(folder: &Path, row: &Row) {
    let (mask, geometry) = nifti::read(&folder.join("lungs.nii.gz")).expect("lungs");
    let truth = cohort().join("truth").join(&row["series_instance_uid"]).join("lungs.nii.gz");
    let (truth, _) = nifti::read(&truth).expect("truth");
    assert_eq!(mask.dim(), truth.dim());
    let (mask, truth) = (mask.mapv(|label| label as u8), truth.mapv(|label| label as u8));
    for (label, column) in [(1, "left_lung_ml"), (2, "right_lung_ml")] {
        let is = |value: &&u8| **value == label;
        let (found, wanted) = (mask.iter().filter(is).count(), truth.iter().filter(is).count());
        assert!((found as f64 * geometry.voxel_millilitres() - number(row, column)).abs() < 0.06, "{column}");
        let both = mask.iter().zip(&truth).filter(|(mask, truth)| **mask == label && **truth == label).count();
        let dice = 2.0 * both as f64 / (found + wanted) as f64;
        // The fixture's network knows no consolidation and no effusion; which side is which must be right all the same.
        assert!(dice > 0.8, "{column}: Dice {dice:.3}");
    }
}

#[test]
fn the_same_series_gives_the_same_numbers_however_often_and_in_whatever_order() {
    let train = cohort().join("train");
    let mut studies: Vec<PathBuf> =
        fs::read_dir(&train).expect("studies").flatten().map(|entry| entry.path()).collect();
    studies.sort();
    let together = rows(&String::from_utf8_lossy(&predict(&[&train], &[]).stdout));
    let alone = rows(&String::from_utf8_lossy(&predict(&[&studies[1]], &[]).stdout));
    assert_eq!(alone.len(), 1);
    let same = together.iter().find(|row| row["series_instance_uid"] == alone[0]["series_instance_uid"]).expect("row");
    for column in ["pe_probability", "decision", "left_lung_ml", "right_lung_ml"] {
        assert_eq!(alone[0][column], same[column], "{column}");
    }
}

#[test]
fn one_bad_study_is_a_row_with_its_reason_and_not_the_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let train = cohort().join("train");
    let good = fs::read_dir(&train).expect("studies").flatten().next().expect("a study").path();
    // A study of few slices, and bytes that begin as DICOM and end at once.
    let series = fs::read_dir(&good).expect("series").flatten().next().expect("a series").path();
    let few = folder.path().join("few");
    fs::create_dir(&few).expect("folder");
    for file in fs::read_dir(&series).expect("files").flatten().take(5) {
        fs::copy(file.path(), few.join(file.file_name())).expect("copy");
    }
    let mut broken = vec![0; 128];
    broken.extend(b"DICM\x02\x00\x00\x00UL\x04\x00");
    fs::write(folder.path().join("broken.dcm"), broken).expect("write");
    let other = fs::read_dir(&train).expect("studies").flatten().nth(1).expect("a study").path();
    let done = predict(&[folder.path(), &other], &[]);
    assert!(done.status.success(), "a rejection is an answer: {}", String::from_utf8_lossy(&done.stderr));
    let rows = rows(&String::from_utf8_lossy(&done.stdout));
    assert_eq!(rows.len(), 3, "{rows:?}");
    let with = |reason: &str| rows.iter().any(|row| row["status"] == "rejected" && row["reasons"].contains(reason));
    assert!(with("too-few-slices"), "{rows:?}");
    assert!(with("truncated") || with("unreadable"), "{rows:?}");
    assert!(rows.iter().any(|row| row["status"] == "analysed"), "{rows:?}");
}

#[test]
fn what_cannot_work_is_said_with_its_exit_code() {
    let missing = predict(&[Path::new("/nowhere/at/all")], &[]);
    assert_eq!(missing.status.code(), Some(2));
    let folder = tempfile::tempdir().expect("temporary folder");
    let no_models = Command::new(BINARY)
        .args(["predict", &cohort().join("train").display().to_string()])
        .args(["--set", &format!("models.directory={}", folder.path().display())])
        .output()
        .expect("the binary runs");
    assert_eq!(no_models.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&no_models.stderr).contains("models.lungs"), "names the setting");
    let no_device = predict(&[&cohort().join("train")], &["--set", "onnxruntime.device=cuda:99"]);
    assert_eq!(no_device.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&no_device.stderr).contains("cuda:99"));
}

//! The examples do what they say.

use std::path::Path;

use pe_node::config::Config;

use crate::predict::cohort;

#[path = "../../examples/analyse_folder.rs"]
#[expect(dead_code, reason = "an example is a program, whose `main` nobody calls here")]
mod analyse_folder;
#[path = "../../examples/build_report.rs"]
#[expect(dead_code, reason = "an example is a program, whose `main` nobody calls here")]
mod build_report;
#[path = "../../examples/read_series.rs"]
#[expect(dead_code, reason = "an example is a program, whose `main` nobody calls here")]
mod read_series;

/// The settings with the fixture packages, on any machine's processor.
fn config() -> Config {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    let settings = [format!("models.directory={}", models.display()), "onnxruntime.device=cpu".to_owned()];
    Config::load(None, std::env::vars(), &settings).expect("settings")
}

#[test]
fn a_series_is_read_to_a_volume() {
    let text = read_series::describe(&cohort().join("train")).expect("read");
    assert!(text.contains("256 x 256 x"), "{text}");
    assert!(text.contains(" HU"), "{text}");
}

#[test]
fn a_folder_is_analysed() {
    let text = analyse_folder::analyse(&cohort().join("train"), &config()).expect("analysed");
    assert_eq!(text.matches("  embolism: ").count(), 2, "{text}");
}

#[test]
fn a_report_is_built_without_a_network() {
    let folder = tempfile::tempdir().expect("folder");
    let written = build_report::write_report(folder.path(), &config()).expect("written");
    let report = written.iter().find(|path| path.ends_with("sr.dcm")).expect("a report");
    let report = dicom_object::open_file(report).expect("a DICOM file");
    let modality = report.element_by_name("Modality").expect("modality").to_str().expect("text").into_owned();
    assert_eq!(modality, "SR");
}

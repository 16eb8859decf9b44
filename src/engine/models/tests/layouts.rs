//! The layouts of other people's networks and ensembles. The packages are those of `fixtures/layouts`.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array4, Axis};
use tempfile::TempDir;

use super::{edit, read_all, replace, runtime, unfit};
use crate::engine::models::networks::{EmbolismNetwork, LungNetwork, verify};
use crate::engine::models::package::{MANIFEST, Package};
use crate::engine::models::target::Target;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts").join(name).join("1.0.0")
}

/// A copy of a package that a test may change.
fn copy(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let to = folder.path().join(name).join("1.0.0");
    fs::create_dir_all(&to).expect("folder");
    for entry in fs::read_dir(fixture(name)).expect("fixture").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
    (folder, to)
}

/// The error of opening and loading an edited copy.
fn refusal(name: &str, from: &str, to: &str) -> String {
    let (_folder, path) = copy(name);
    edit(&path, from, to);
    let package = match Package::open(&path) {
        Ok(package) => package,
        Err(error) => return error.to_string(),
    };
    verify(&package, &runtime()).expect_err(to).to_string()
}

fn classifier(name: &str) -> EmbolismNetwork {
    EmbolismNetwork::load(&Package::open(&fixture(name)).expect("package"), &runtime()).expect("loads")
}

#[test]
fn every_layout_loads_and_its_manifest_survives_being_written_and_read() {
    use crate::engine::models::manifest::Manifest;
    for name in ["fixture-patches", "fixture-exam", "fixture-ensemble"] {
        let package = Package::open(&fixture(name)).expect("package");
        verify(&package, &runtime()).expect("loads");
        assert_eq!(Manifest::parse(&package.manifest().to_toml()).as_ref(), Ok(package.manifest()));
    }
}

/// The fixture's network computes each voxel on its own, so patches must not change its logits.
#[test]
fn overlapping_patches_give_the_networks_logits_of_each_voxel() {
    let mut network =
        LungNetwork::load(&Package::open(&fixture("fixture-patches")).expect("package"), &runtime()).expect("loads");
    let classes = network.classes().clone();
    for slices in [3, 8, 21] {
        let stack = Array4::from_shape_fn((slices, 1, 128, 128), |(slice, _, row, column)| {
            ((slice * 31 + row * 7 + column * 3) % 97) as f32 / 96.0
        });
        let logits = network.logits(&stack.view()).expect("logits");
        assert_eq!(logits.dim(), (slices, 3, 128, 128));
        for ((slice, _, row, column), value) in stack.indexed_iter() {
            let like = 10.0 - 120.0 * (value - 0.13).abs();
            let side = 2.0 * column as f32 / 127.0 - 1.0;
            let at = |class: usize| logits[(slice, class, row, column)];
            assert!(at(classes.other[0]).abs() < 1e-3);
            assert!((at(classes.left) - like - side).abs() < 1e-3, "{slices}: {slice} {row} {column}");
            assert!((at(classes.right) - like + side).abs() < 1e-3);
        }
    }
}

#[test]
fn an_exam_network_of_fixed_depth_sees_slices_from_the_first_to_the_last() {
    let mut network = classifier("fixture-exam");
    assert_eq!(network.manifest().targets(), [Target::PulmonaryEmbolism, Target::ChronicPe]);
    let mut bright = |slice: usize| {
        let mut slices = Array4::zeros((29, 3, 128, 128));
        slices.index_axis_mut(Axis(0), slice).fill(1.0);
        read_all(&mut network, &slices).remove(0)
    };
    for seen in [0, 4, 8, 12, 16, 20, 24, 28] {
        let reading = bright(seen);
        assert!(reading.slices.is_none(), "it gives no values of slices");
        assert!((reading.targets[0] - 4.0).abs() < 1e-4, "slice {seen}: {}", reading.targets[0]);
        assert!((reading.targets[1] - 20.0 * (0.125 - 0.8)).abs() < 1e-3, "one of eight slices is bright");
    }
    assert!((bright(14).targets[0] + 16.0).abs() < 1e-4, "slice 14 is not among the eight");
}

#[test]
fn each_member_of_an_ensemble_reads_the_exam() {
    let mut network = classifier("fixture-ensemble");
    let mut slices = Array4::zeros((11, 3, 128, 128));
    slices[[9, 1, 40, 61]] = 0.9;
    let readings = read_all(&mut network, &slices);
    let exams: Vec<f32> = readings.iter().map(|reading| reading.targets[0]).collect();
    assert_eq!(exams.len(), 2);
    assert!((exams[0] - 2.0).abs() < 1e-4 && (exams[1] - 4.0).abs() < 1e-4, "{exams:?}");
    for (reading, logit) in readings.iter().zip([2.0, 4.0]) {
        let slices = reading.slices.as_ref().expect("slices");
        assert_eq!(slices.evidence.dim(), (11, 64, 64));
        assert!((slices.evidence[(9, 20, 30)] - logit).abs() < 1e-4);
    }
}

#[test]
fn a_package_that_does_not_fit_its_layout_is_refused_with_the_reason() {
    let cases = [
        ("fixture-patches", "size = [8, 64, 128]", "size = [8, 64, 96]", "takes 1 x 1 x 8 x 64 x 128"),
        ("fixture-patches", "size = [8, 64, 128]", "size = [8, 64, 129]", "patches.size"),
        ("fixture-patches", "overlap = 0.5", "overlap = 1.0", "patches.overlap"),
        ("fixture-patches", "layout = \"patches\"", "layout = \"slices\"", "the layout has no patches"),
        ("fixture-patches", "neighbours = 0", "neighbours = 1", "patches have one channel"),
        ("fixture-exam", "layout = \"exam\"", "layout = \"patches\"", "layout"),
        ("fixture-exam", "name = \"chronic-pe\"", "name = \"chronic\"", "`chronic` is not a target"),
        ("fixture-exam", "name = \"pulmonary-embolism\"", "name = \"central-pe\"", "index 0 is `central-pe`"),
        ("fixture-exam", "[[labels]]\nindex = 1\nname = \"chronic-pe\"\n", "", "has the shape 2, 1 was expected"),
        ("fixture-exam", "[4.0, 0.9]", "[4.0, 0.3]", "do not rise"),
        ("fixture-exam", "colour = {", "# colour = {", "takes 1 x 8 x 3 x 128 x 128, the manifest prepares"),
        ("fixture-exam", "standard_deviation = [1.0, 1.0, 1.0]", "standard_deviation = [1.0, 0.0, 1.0]", "deviation"),
        ("fixture-ensemble", "member = 1", "member = 2", "files, 6 were expected"),
        ("fixture-ensemble", "path = \"head-1.onnx\"", "path = \"head-0.onnx\"", "a path appears more than once"),
    ];
    for (name, from, to, reason) in cases {
        let said = refusal(name, from, to);
        assert!(said.contains(reason), "{name}: {to}: {said}");
    }
}

#[test]
fn an_exam_network_of_any_depth_that_runs_with_one_number_of_slices_only_is_refused() {
    let (_folder, path) = copy("fixture-exam");
    replace(&path, "network.onnx", &unfit("exam-of-two-slices"));
    let error = verify(&Package::open(&path).expect("package"), &runtime()).expect_err("baked in").to_string();
    assert!(error.contains("network.onnx: running the network:"), "{error}");
}

#[test]
fn members_whose_evidence_has_other_cells_are_refused() {
    let (_folder, path) = copy("fixture-ensemble");
    replace(&path, "encoder-1.onnx", &unfit("encoder-of-single-pixels"));
    let error = verify(&Package::open(&path).expect("package"), &runtime()).expect_err("other cells").to_string();
    let said = "output `evidence` has the shape 1 x 1 x 128 x 128, 1 x 1 x 64 x 64 was expected";
    assert!(error.contains("encoder-1.onnx: ") && error.contains(said), "{error}");
}

#[test]
fn an_ensemble_has_a_calibration_for_each_member() {
    let (_folder, path) = copy("fixture-ensemble");
    let text = fs::read_to_string(path.join(MANIFEST)).expect("manifest");
    let second = text.rfind("[[calibration]]").expect("two calibrations");
    let end = second + text[second..].find("[operating_point]").expect("an operating point");
    fs::write(path.join(MANIFEST), format!("{}{}", &text[..second], &text[end..])).expect("write");
    let error = Package::open(&path).expect_err("one calibration").to_string();
    assert!(error.contains("1 are given, one for each of 2 members was expected"), "{error}");
}

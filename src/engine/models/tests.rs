//! Valid packages, and each way in which a package is not valid. The packages are those of `fixtures/`.

mod layouts;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array4, Axis, Slice};
use tempfile::TempDir;

use super::manifest::{Kind, Manifest};
use super::networks::{EmbolismNetwork, LungNetwork, Models, Reading, SliceReading, verify};
use super::package::{MANIFEST, Package};
use super::registry::Registry;
use super::selection::Selection;
use super::session::{Runtime, SessionError};
use crate::config::{Config, DeviceConfig, ModelsConfig, OnnxRuntimeConfig};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models")
}

fn settings(directory: &Path) -> (ModelsConfig, OnnxRuntimeConfig) {
    let config = Config::load(None, std::iter::empty(), &["onnxruntime.device=cpu".to_owned()]).expect("defaults");
    (ModelsConfig { directory: directory.to_owned(), ..config.models }, config.onnxruntime)
}

fn runtime() -> Runtime {
    Runtime::start(&settings(&fixtures()).1).expect("ONNX Runtime")
}

/// A copy of the fixtures that a test may change.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["fixture-lungs", "fixture-embolism"] {
        let (from, to) = (fixtures().join(name).join("1.0.0"), folder.path().join(name).join("1.0.0"));
        fs::create_dir_all(&to).expect("folder");
        for entry in fs::read_dir(from).expect("fixture").flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
    }
    folder
}

fn embolism(folder: &Path) -> PathBuf {
    folder.join("fixture-embolism/1.0.0")
}

/// Adds the classifier in further versions.
fn add_versions(folder: &Path, versions: &[&str]) {
    for version in versions {
        let new = folder.join("fixture-embolism").join(version);
        fs::create_dir(&new).expect("folder");
        for name in [MANIFEST, "encoder.onnx", "head.onnx"] {
            fs::copy(embolism(folder).join(name), new.join(name)).expect("copy");
        }
        edit(&new, "version = \"1.0.0\"", &format!("version = \"{version}\""));
    }
}

/// Replaces a text of a manifest.
fn edit(package: &Path, from: &str, to: &str) {
    let path = package.join(MANIFEST);
    let text = fs::read_to_string(&path).expect("manifest");
    assert!(text.contains(from), "the manifest holds `{from}`");
    fs::write(path, text.replacen(from, to, 1)).expect("write");
}

/// A network that no package may hold, of `fixtures/unfit`.
fn unfit(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/unfit");
    fs::read(folder.join(format!("{name}.onnx"))).expect("fixture")
}

/// Puts another network in the place of a package's file, with its digest.
fn replace(package: &Path, file: &str, network: &[u8]) {
    use sha2::{Digest, Sha256};
    let digest = |bytes: &[u8]| crate::dicom::hexadecimal(&Sha256::digest(bytes));
    let path = package.join(file);
    edit(package, &digest(&fs::read(&path).expect("file")), &digest(network));
    fs::write(path, network).expect("write");
}

/// The error of loading the models of a folder.
fn refusal(folder: &Path) -> String {
    let (models, onnxruntime) = settings(folder);
    Models::load(&models, &onnxruntime).expect_err("a broken package").to_string()
}

/// Each member's reading of an exam of prepared slices.
fn read_all(network: &mut EmbolismNetwork, slices: &Array4<f32>) -> Vec<Reading> {
    let part = |range: Range<usize>| Ok(slices.slice_axis(Axis(0), Slice::from(range)).to_owned());
    let readings: Result<_, SessionError> = network.read_exam(slices.len_of(Axis(0)), part);
    readings.expect("an exam")
}

/// A single network's reading of the slices of an exam.
fn read(network: &mut EmbolismNetwork, slices: &Array4<f32>) -> SliceReading {
    read_all(network, slices).remove(0).slices.expect("slices")
}

#[test]
fn the_fixtures_load_with_their_identities() {
    let (models, onnxruntime) = settings(&fixtures());
    let loaded = Models::load(&models, &onnxruntime).expect("fixtures");
    let packages = loaded.identities();
    assert_eq!(packages.lungs.package.name.as_str(), "fixture-lungs");
    assert_eq!(packages.embolism.package.name.as_str(), "fixture-embolism");
    assert!(packages.by_kind().iter().all(|(_, identity)| identity.sha256.len() == 64));
    assert_ne!(packages.lungs.sha256, packages.embolism.sha256);
    assert_eq!(loaded.provider().0, "CPUExecutionProvider");
}

#[test]
fn the_identity_is_the_digest_of_the_manifest_followed_by_the_files() {
    use sha2::{Digest, Sha256};
    let package = Package::open(&embolism(&fixtures())).expect("package");
    let mut hasher = Sha256::new();
    for name in [MANIFEST, "encoder.onnx", "head.onnx"] {
        hasher.update(fs::read(embolism(&fixtures()).join(name)).expect("file"));
    }
    assert_eq!(package.contents().expect("contents").identity.sha256, crate::dicom::hexadecimal(&hasher.finalize()));
}

#[test]
fn a_manifest_survives_being_written_and_read() {
    let text = fs::read_to_string(embolism(&fixtures()).join(MANIFEST)).expect("manifest");
    let manifest = Manifest::parse(&text).expect("valid");
    assert_eq!(Manifest::parse(&manifest.to_toml()), Ok(manifest));
}

#[test]
fn a_file_with_another_digest_is_refused() {
    let folder = copy();
    let path = embolism(folder.path()).join("head.onnx");
    let mut bytes = fs::read(&path).expect("file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("write");
    let error = refusal(folder.path());
    assert!(error.contains("fixture-embolism/1.0.0") && error.contains("head.onnx has the SHA-256"), "{error}");
}

#[test]
fn a_path_that_leaves_the_package_is_refused() {
    for path in ["../../fixture-lungs/1.0.0/network.onnx", "/etc/passwd", "..", "a/b.onnx", ""] {
        let folder = copy();
        edit(&embolism(folder.path()), "path = \"encoder.onnx\"", &format!("path = \"{path}\""));
        let error = refusal(folder.path());
        assert!(error.contains("a plain file name"), "{path}: {error}");
    }
}

#[test]
fn a_tensor_that_the_network_does_not_have_is_named_with_those_it_has() {
    let folder = copy();
    edit(&embolism(folder.path()), "outputs = [\"features\"", "outputs = [\"feature\"");
    let error = refusal(folder.path());
    assert!(error.contains("no output `feature`") && error.contains("`features`, `evidence`"), "{error}");
}

#[test]
fn images_of_another_size_or_number_of_channels_are_refused() {
    let folder = copy();
    edit(&embolism(folder.path()), "size = [128, 128]", "size = [96, 96]");
    let error = refusal(folder.path());
    assert!(error.contains("takes ? x 3 x 128 x 128, the manifest prepares ? x 3 x 96 x 96"), "{error}");
    let folder = copy();
    edit(&embolism(folder.path()), "neighbours = 1", "neighbours = 0");
    assert!(refusal(folder.path()).contains("the manifest prepares"));
}

#[test]
fn outputs_in_another_order_than_the_layouts_are_refused() {
    let folder = copy();
    edit(&embolism(folder.path()), "outputs = [\"features\", \"evidence\"]", "outputs = [\"evidence\", \"features\"]");
    let error = refusal(folder.path());
    assert!(error.contains("`evidence` has the shape 1 x 1 x 64 x 64, 1 x ? was expected"), "{error}");
}

#[test]
fn cells_of_evidence_wider_than_an_embolus_are_refused() {
    let folder = copy();
    edit(&embolism(folder.path()), "spacing_mm = 2.5", "spacing_mm = 2.6");
    let error = refusal(folder.path());
    assert!(error.contains("cells of the evidence are 5.2 mm wide"), "{error}");
}

#[test]
fn a_file_that_is_not_a_network_is_refused_with_the_runtimes_reason() {
    let folder = copy();
    replace(&embolism(folder.path()), "head.onnx", b"no network");
    let error = refusal(folder.path());
    assert!(error.contains("head.onnx: loading the network:"), "{error}");
}

#[test]
fn weights_outside_a_networks_file_are_refused_even_where_they_could_be_read() {
    assert!(Path::new("Cargo.toml").is_file(), "the working directory holds what the network names");
    let folder = copy();
    replace(&embolism(folder.path()), "head.onnx", &unfit("weight-outside"));
    let error = refusal(folder.path());
    assert!(error.contains("head.onnx: loading the network:") && error.contains("outside-the-file"), "{error}");
}

#[test]
fn a_network_that_runs_with_one_number_of_slices_only_is_refused() {
    let cases = [
        ("fixture-lungs", "network.onnx", "lungs-of-two-slices"),
        ("fixture-embolism", "encoder.onnx", "encoder-of-two-slices"),
        ("fixture-embolism", "head.onnx", "head-of-two-slices"),
    ];
    for (package, file, network) in cases {
        let folder = copy();
        replace(&folder.path().join(package).join("1.0.0"), file, &unfit(network));
        let error = refusal(folder.path());
        assert!(error.contains(&format!("{file}: running the network:")), "{network}: {error}");
    }
}

#[test]
fn cells_of_evidence_that_depend_on_the_images_are_an_error_that_names_the_file() {
    let folder = copy();
    replace(&embolism(folder.path()), "encoder.onnx", &unfit("encoder-of-cells-by-brightness"));
    let package = Package::open(&embolism(folder.path())).expect("package");
    let mut network = EmbolismNetwork::load(&package, &runtime()).expect("the cells of blank slices are right");
    let bright = Array4::ones((3, 3, 128, 128));
    let whole: Result<Vec<Reading>, SessionError> = network.read_exam(3, |_| Ok(bright.clone()));
    for error in [whole.expect_err("other cells"), network.encode(&bright.view()).expect_err("other cells")] {
        let said = "encoder.onnx: output `evidence` has the shape 3 x 1 x 128 x 64, 3 x 1 x 64 x 64 was expected";
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn manifests_with_impossible_values_are_refused_by_key() {
    let cases = [
        ("schema = 1", "schema = 2", "schema"),
        ("version = \"1.0.0\"", "version = \"1\"", "`1` is not a semantic version"),
        ("name = \"fixture-embolism\"", "name = \"../x\"", "is not the name of a model package"),
        ("window = [-250.0, 450.0]", "window = [450.0, -250.0]", "input.window"),
        ("spacing_mm = 2.5", "spacing_mm = 0.0", "input.spacing_mm"),
        ("temperature = 2.0", "temperature = 0.0", "calibration.temperature"),
        ("threshold = 0.5", "threshold = 1.5", "operating_point.threshold"),
        ("indeterminate = [0.45, 0.55]", "indeterminate = [0.55, 0.45]", "operating_point.indeterminate"),
        ("layout = \"encoder+head\"", "layout = \"slices\"", "layout"),
        ("role = \"head\"", "role = \"encoder\"", "files"),
        ("[training]", "[training.ranges]\npixel_mm = [1.8, 0.5]\n\n[training]", "training.ranges.pixel_mm"),
        ("[training]", "[training.ranges]\nkernels = [\"\"]\n\n[training]", "training.ranges.kernels"),
        ("kind = ", "sort = ", "unknown field"),
    ];
    for (from, to, key) in cases {
        let folder = copy();
        edit(&embolism(folder.path()), from, to);
        let error = Package::open(&embolism(folder.path())).expect_err(to).to_string();
        assert!(error.contains(key), "{to}: {error}");
    }
    let folder = copy();
    edit(&folder.path().join("fixture-lungs/1.0.0"), "name = \"left-lung\"", "name = \"lung\"");
    let error = Package::open(&folder.path().join("fixture-lungs/1.0.0")).expect_err("labels").to_string();
    assert!(error.contains("`left-lung` appears 0 times"), "{error}");
}

#[test]
fn a_lung_network_is_not_given_images_cropped_around_the_lungs() {
    for crop in ["lung-box", "lung-square"] {
        let folder = copy();
        let package = folder.path().join("fixture-lungs/1.0.0");
        edit(&package, "crop = \"body\"", &format!("crop = \"{crop}\""));
        let error = Package::open(&package).expect_err(crop).to_string();
        assert!(error.contains("input.crop") && error.contains("`body` or `none` was expected"), "{error}");
    }
}

#[test]
fn the_newest_version_is_active_unless_another_is_named() {
    let folder = copy();
    add_versions(folder.path(), &["1.9.0", "1.10.0-rc.1", "1.10.0"]);
    let registry = Registry::open(&settings(folder.path()).0).expect("registry");
    let version = |wanted: &str| {
        let wanted = wanted.parse().expect("a selection");
        registry.select(Kind::EmbolismClassifier, &wanted).map(|package| package.manifest().version.to_string())
    };
    assert_eq!(version("").expect("newest"), "1.10.0");
    assert_eq!(version("fixture-embolism").expect("newest"), "1.10.0");
    assert_eq!(version("fixture-embolism/1.9.0").expect("named"), "1.9.0");
    let error = version("fixture-lungs").expect_err("another kind").to_string();
    assert!(error.contains("models.embolism") && error.contains("lung-segmentation"), "{error}");
    assert!(version("fixture-embolism/2.0.0").expect_err("absent").to_string().contains("no such package"));
}

#[test]
fn a_release_candidate_is_older_than_its_release_and_a_folder_without_a_version_is_an_error_that_says_so() {
    let folder = copy();
    add_versions(folder.path(), &["1.1.0-rc1", "1.1.0", "final"]);
    let registry = Registry::open(&settings(folder.path()).0).expect("registry");
    let folders: Vec<String> = registry.entries().iter().map(ToString::to_string).collect();
    let expected = ["1.0.0", "1.1.0-rc1", "1.1.0", "final"].map(|version| format!("fixture-embolism/{version}"));
    assert_eq!(folders[..4], expected);
    let error = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect_err("broken").to_string();
    let said =
        "`final` is not a semantic version: MAJOR.MINOR.PATCH was expected, for instance 1.0.0; rename the folder";
    assert!(error.contains(said), "{error}");
    fs::remove_dir_all(folder.path().join("fixture-embolism/final")).expect("remove");
    let registry = Registry::open(&settings(folder.path()).0).expect("registry");
    let newest = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect("newest");
    assert_eq!(newest.id().to_string(), "fixture-embolism/1.1.0");
}

#[test]
fn a_broken_newest_version_is_never_skipped_silently() {
    let folder = copy();
    let new = folder.path().join("fixture-embolism/1.1.0");
    fs::create_dir(&new).expect("folder");
    fs::write(new.join(MANIFEST), "schema = 1").expect("write");
    let registry = Registry::open(&settings(folder.path()).0).expect("registry");
    for wanted in ["", "fixture-embolism"] {
        let error = registry
            .select(Kind::EmbolismClassifier, &wanted.parse().expect("a selection"))
            .expect_err("broken")
            .to_string();
        assert!(error.contains("fixture-embolism/1.1.0"), "{error}");
    }
    assert!(registry.select(Kind::EmbolismClassifier, &"fixture-embolism/1.0.0".parse().expect("a selection")).is_ok());
}

#[test]
fn one_of_two_packages_of_a_kind_must_be_named() {
    let folder = copy();
    let other = folder.path().join("other/1.0.0");
    fs::create_dir_all(&other).expect("folder");
    for name in [MANIFEST, "encoder.onnx", "head.onnx"] {
        fs::copy(embolism(folder.path()).join(name), other.join(name)).expect("copy");
    }
    let said = refusal(folder.path());
    assert!(said.contains("the folders must be called <name>/<version>"), "{said}");
    edit(&other, "name = \"fixture-embolism\"", "name = \"other\"");
    let registry = Registry::open(&settings(folder.path()).0).expect("registry");
    let error = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect_err("two").to_string();
    assert!(error.contains("fixture-embolism/1.0.0, other/1.0.0"), "{error}");
    assert!(registry.select(Kind::EmbolismClassifier, &"other".parse().expect("a selection")).is_ok());
}

#[test]
fn a_slice_gives_the_same_alone_and_in_a_batch() {
    let registry = Registry::open(&settings(&fixtures()).0).expect("registry");
    let package = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect("package");
    let mut network = EmbolismNetwork::load(package, &runtime()).expect("network");
    let batch =
        Array4::from_shape_fn((5, 3, 128, 128), |(n, c, y, x)| ((n * 7 + c * 3 + y * 5 + x) % 101) as f32 / 100.0);
    let together = read(&mut network, &batch);
    for index in 0..5 {
        let alone = read(&mut network, &batch.slice_axis(Axis(0), Slice::from(index..=index)).to_owned());
        assert_eq!(alone.evidence.index_axis(Axis(0), 0), together.evidence.index_axis(Axis(0), index));
        assert_eq!(alone.logits[0].to_bits(), together.logits[index].to_bits());
    }
}

#[test]
fn the_fixture_networks_answer_as_computed_by_hand() {
    let registry = Registry::open(&settings(&fixtures()).0).expect("registry");
    let package = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect("package");
    let mut network = EmbolismNetwork::load(package, &runtime()).expect("network");
    let mut slices = Array4::zeros((3, 3, 128, 128));
    slices[[1, 1, 40, 61]] = 0.9;
    slices[[1, 0, 10, 10]] = 1.0;
    let exam = read_all(&mut network, &slices).remove(0);
    let slices = exam.slices.expect("slices");
    assert!((slices.evidence[[1, 20, 30]] - 2.0).abs() < 1e-4);
    assert!((slices.evidence[[1, 5, 5]] + 16.0).abs() < 1e-4, "neighbours do not count as the slice itself");
    assert!((exam.targets[0] - 2.0).abs() < 1e-4 && (slices.logits[1] - 2.0).abs() < 1e-4);
    assert!((slices.attention.sum() - 1.0).abs() < 1e-5);

    let package = registry.select(Kind::LungSegmentation, &Selection::Active).expect("package");
    let mut network = LungNetwork::load(package, &runtime()).expect("network");
    let mut image = Array4::from_elem((1, 1, 128, 128), 0.7);
    image.slice_axis_mut(Axis(2), Slice::from(30..60)).fill(0.1);
    let logits = network.logits(&image.view()).expect("logits");
    let best = |row: usize, column: usize| {
        (0..3)
            .max_by(|a, b| logits[[0, *a, row, column]].total_cmp(&logits[[0, *b, row, column]]))
            .expect("three classes")
    };
    let classes = network.classes();
    assert_eq!(best(40, 20), classes.right);
    assert_eq!(best(40, 100), classes.left);
    assert_eq!([best(100, 100)], classes.other[..]);
}

#[test]
fn an_unavailable_cuda_device_is_an_error_and_auto_falls_back() {
    let (_, mut onnxruntime) = settings(&fixtures());
    onnxruntime.device = DeviceConfig::Cuda(99);
    let error = Runtime::start(&onnxruntime).expect_err("no such device");
    assert!(matches!(error, SessionError::Device { number: 99, .. }), "{error}");
    assert!(error.to_string().contains("cuda:99"), "{error}");
    onnxruntime.device = DeviceConfig::Auto;
    let provider = Runtime::start(&onnxruntime).expect("some device").provider().0;
    assert!(provider == "CPUExecutionProvider" || provider == "CUDAExecutionProvider (device 0)", "{provider}");
}

#[test]
fn a_missing_library_is_one_line_that_names_the_script() {
    let (_, mut onnxruntime) = settings(&fixtures());
    onnxruntime.library = PathBuf::from("/nowhere/libonnxruntime.so");
    let error = Runtime::start(&onnxruntime).expect_err("no library").to_string();
    assert!(
        error.contains("deploy/fetch-onnxruntime.sh") && error.contains("/nowhere/") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn verifying_a_package_gives_the_identity_that_loading_gives() {
    let (models, onnxruntime) = settings(&fixtures());
    let loaded = Models::load(&models, &onnxruntime).expect("fixtures");
    let registry = Registry::open(&models).expect("registry");
    let package = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect("package");
    assert_eq!(verify(package, &runtime()).expect("fits"), loaded.identities().embolism);
}

#[test]
fn the_packages_of_a_line_up_are_loaded_to_the_last_byte_or_not_at_all() {
    let folder = copy();
    let (models, onnxruntime) = settings(folder.path());
    let packages = Registry::open(&models).expect("registry").lineup(&models).expect("line-up").packages;
    // The log of promotions does not matter any more.
    fs::write(folder.path().join("active.toml"), "schema = 9").expect("write");
    let loaded = Models::exactly(&packages, &models, &onnxruntime).expect("as they were");
    assert_eq!(loaded.identities(), packages);
    let manifest = embolism(folder.path()).join(MANIFEST);
    fs::write(&manifest, format!("{}\n# another\n", fs::read_to_string(&manifest).expect("manifest"))).expect("write");
    let error = Models::exactly(&packages, &models, &onnxruntime).expect_err("replaced").to_string();
    assert!(error.contains("fixture-embolism/1.0.0 was replaced") && error.contains("models promote"), "{error}");
}

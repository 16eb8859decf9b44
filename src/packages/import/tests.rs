//! Importing, promoting and rolling back, with the packages of `fixtures/` and ONNX Runtime.

use super::*;
use crate::config::{Config, ModelsConfig};
use crate::engine::models::activation::{Action, STATE};
use crate::engine::models::manifest::Kind;
use crate::engine::models::registry::{Choice, Registry};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(name).join("1.0.0")
}

fn runtime() -> Runtime {
    let config = Config::load(None, std::iter::empty(), &["onnxruntime.device=cpu".to_owned()]).expect("defaults");
    Runtime::start(&config.onnxruntime).expect("ONNX Runtime")
}

fn settings(directory: &Path) -> ModelsConfig {
    let config = Config::load(None, std::iter::empty(), &[]).expect("defaults");
    ModelsConfig { directory: directory.to_owned(), ..config.models }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("time")
}

/// The fixture classifier in another version, in a folder of any name, with files that do not belong there.
fn classifier(folder: &Path, version: &str) -> PathBuf {
    let package = folder.join(format!("from-{version}"));
    fs::create_dir(&package).expect("folder");
    for entry in fs::read_dir(fixture("fixture-embolism")).expect("fixture").flatten() {
        fs::copy(entry.path(), package.join(entry.file_name())).expect("copy");
    }
    edit(&package, "version = \"1.0.0\"", &format!("version = \"{version}\""));
    fs::write(package.join("card.md"), "# A card").expect("write");
    fs::write(package.join("checkpoint.bin"), [0; 64]).expect("write");
    package
}

fn edit(package: &Path, from: &str, to: &str) {
    let path = package.join(MANIFEST);
    let text = fs::read_to_string(&path).expect("manifest");
    assert!(text.contains(from), "the manifest holds `{from}`");
    fs::write(path, text.replacen(from, to, 1)).expect("write");
}

/// A folder of packages with both fixtures imported, and nothing else.
fn stocked() -> (TempDir, TempDir, ModelsConfig) {
    let (sources, models) = (TempDir::new().expect("folder"), TempDir::new().expect("folder"));
    let config = settings(&models.path().join("models"));
    for name in ["fixture-lungs", "fixture-embolism"] {
        let incoming = Incoming::from_folder(&fixture(name)).expect("fixture");
        assert!(import(&config, &incoming).expect("imported").new);
    }
    (sources, models, config)
}

fn import(config: &ModelsConfig, incoming: &Incoming) -> Result<Imported, FolderError> {
    Folder::open(config).expect("folder").import(incoming, &runtime(), now())
}

fn active(config: &ModelsConfig) -> String {
    Registry::open(config).expect("registry").lineup(config).expect("line-up").packages.embolism.package.to_string()
}

/// Verifies a package and makes it the active one; false if it already was.
fn promote(config: &ModelsConfig, id: &str) -> bool {
    let folder = Folder::open(config).expect("folder");
    let package = folder.registry().package(&id.parse().expect(id)).expect("package");
    let identity = verify(package, &runtime()).expect("verified");
    folder.promote(package, &identity, now()).expect("promoted")
}

/// Names in the folder of packages, sorted.
fn names(config: &ModelsConfig) -> Vec<String> {
    let listing = fs::read_dir(&config.directory).expect("listing").flatten();
    let mut names: Vec<String> = listing.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_import_is_complete_can_be_repeated_and_does_not_change_the_active_package() {
    let (sources, _models, config) = stocked();
    assert_eq!(active(&config), "fixture-embolism/1.0.0", "the only one of its kind");
    let incoming = Incoming::from_folder(&classifier(sources.path(), "1.1.0")).expect("package");
    let first = import(&config, &incoming).expect("imported");
    let again = import(&config, &incoming).expect("imported");
    assert_eq!((first.new, again.new), (true, false));
    assert_eq!(first.identity, again.identity);
    assert_eq!(active(&config), "fixture-embolism/1.0.0", "a newer version waits for its promotion");
    let registry = Registry::open(&config).expect("registry");
    assert_eq!(registry.activation().history()[0].action, Action::Found);
    let place = config.directory.join("fixture-embolism/1.1.0");
    assert!(place.join("card.md").is_file() && !place.join("checkpoint.bin").exists(), "documents and networks");
    assert_eq!(names(&config), [".lock", STATE, "fixture-embolism", "fixture-lungs"]);
}

#[test]
fn a_package_is_never_replaced_by_another_of_its_name_and_version() {
    let (sources, _models, config) = stocked();
    let package = classifier(sources.path(), "1.0.0");
    edit(&package, "threshold = 0.5", "threshold = 0.51");
    let before = fs::read(config.directory.join("fixture-embolism/1.0.0").join(MANIFEST)).expect("manifest");
    let error = import(&config, &Incoming::from_folder(&package).expect("package")).expect_err("taken");
    assert!(matches!(error, FolderError::Taken { .. }), "{error}");
    assert_eq!(fs::read(config.directory.join("fixture-embolism/1.0.0").join(MANIFEST)).expect("manifest"), before);
}

#[test]
fn a_broken_package_leaves_nothing_behind() {
    let (sources, _models, config) = stocked();
    let before = names(&config);
    let spoilt = classifier(sources.path(), "2.0.0");
    fs::write(spoilt.join("head.onnx"), b"no network").expect("write");
    let error = import(&config, &Incoming::from_folder(&spoilt).expect("manifest")).expect_err("digest").to_string();
    assert!(error.contains("head.onnx has the SHA-256"), "{error}");
    let missing = classifier(sources.path(), "2.1.0");
    fs::remove_file(missing.join("head.onnx")).expect("remove");
    let error = import(&config, &Incoming::from_folder(&missing).expect("manifest")).expect_err("missing").to_string();
    assert!(error.contains("head.onnx is not there"), "{error}");
    let error = Incoming::from_folder(sources.path()).expect_err("no package").to_string();
    assert!(error.contains("model.toml"), "{error}");
    let network = fixture("fixture-lungs").join("network.onnx");
    let error = Incoming::from_folder(&network).expect_err("no package").to_string();
    assert!(error.contains("--manifest"), "{error}");
    // Interrupted changes.
    fs::create_dir_all(config.directory.join(".draft-x/fixture-embolism/2.0.0")).expect("folder");
    fs::write(config.directory.join(".draft-y"), "schema").expect("write");
    import(&config, &Incoming::from_folder(&classifier(sources.path(), "1.0.1")).expect("package")).expect("imported");
    assert_eq!(names(&config).into_iter().filter(|name| name != STATE).collect::<Vec<_>>(), before);
}

#[test]
fn a_third_partys_network_comes_with_a_manifest_that_need_not_know_its_digest() {
    let (sources, _models, config) = stocked();
    let mut table: toml::Table =
        fs::read_to_string(fixture("fixture-lungs").join(MANIFEST)).expect("manifest").parse().expect("TOML");
    table.insert("version".to_owned(), "9.0.0".into());
    let file = table["files"][0].as_table_mut().expect("file");
    file.remove("path");
    file.remove("sha256");
    let manifest = sources.path().join("lungs.toml");
    fs::write(&manifest, table.to_string()).expect("write");
    let network = fixture("fixture-lungs").join("network.onnx");
    let incoming = Incoming::from_network(&network, &manifest).expect("incoming");
    let imported = import(&config, &incoming).expect("imported");
    assert_eq!((imported.identity.package.version.to_string().as_str(), imported.new), ("9.0.0", true));
    let placed = config.directory.join("fixture-lungs/9.0.0/network.onnx");
    assert_eq!(fs::read(placed).expect("network"), fs::read(&network).expect("network"));
    // What the manifest does state of the file must be right.
    let text = fs::read_to_string(&manifest).expect("manifest");
    fs::write(&manifest, text.replace("[[files]]", &format!("[[files]]\nsha256 = \"{}\"", "0".repeat(64))))
        .expect("write");
    let incoming = Incoming::from_network(&network, &manifest).expect("incoming");
    let error = import(&config, &incoming).expect_err("digest").to_string();
    assert!(error.contains("model.toml says 0000"), "{error}");
}

#[test]
fn a_promotion_and_its_rollback_count_unless_the_configuration_names_a_package() {
    let (sources, _models, config) = stocked();
    import(&config, &Incoming::from_folder(&classifier(sources.path(), "1.1.0")).expect("package")).expect("imported");
    assert!(promote(&config, "fixture-embolism/1.1.0"));
    assert!(!promote(&config, "fixture-embolism/1.1.0"), "a repetition");
    assert_eq!(active(&config), "fixture-embolism/1.1.0");
    let named = ModelsConfig { embolism: "fixture-embolism/1.0.0".parse().expect("selection"), ..config.clone() };
    assert_eq!(active(&named), "fixture-embolism/1.0.0");
    let registry = Registry::open(&named).expect("registry");
    let (_, choice) = registry.choose(Kind::EmbolismClassifier, &named.embolism).expect("named");
    assert_eq!(choice, Choice::Configured);

    let folder = Folder::open(&config).expect("folder");
    assert_eq!(folder.before(Kind::EmbolismClassifier).expect("before").id().to_string(), "fixture-embolism/1.0.0");
    let former = verify(folder.before(Kind::EmbolismClassifier).expect("before"), &runtime()).expect("verified");
    folder.roll_back(Kind::EmbolismClassifier, &former, now()).expect("rolled back");
    drop(folder);
    assert_eq!(active(&config), "fixture-embolism/1.0.0");
    let folder = Folder::open(&config).expect("folder");
    for kind in [Kind::EmbolismClassifier, Kind::LungSegmentation] {
        assert!(matches!(folder.before(kind), Err(FolderError::NothingBefore { .. })), "{kind}");
    }
}

#[test]
fn a_former_package_whose_files_were_replaced_is_not_rolled_back_to() {
    let (sources, _models, config) = stocked();
    import(&config, &Incoming::from_folder(&classifier(sources.path(), "1.1.0")).expect("package")).expect("imported");
    promote(&config, "fixture-embolism/1.1.0");
    let manifest = config.directory.join("fixture-embolism/1.0.0").join(MANIFEST);
    let text = fs::read_to_string(&manifest).expect("manifest");
    fs::write(&manifest, format!("{text}\n# another\n")).expect("write");
    let folder = Folder::open(&config).expect("folder");
    let found = verify(folder.before(Kind::EmbolismClassifier).expect("before"), &runtime()).expect("whole");
    let error = folder.roll_back(Kind::EmbolismClassifier, &found, now()).expect_err("another package");
    assert!(matches!(error, FolderError::NotTheFormer { .. }), "{error}");
    drop(folder);
    assert_eq!(active(&config), "fixture-embolism/1.1.0", "nothing was changed");
}

#[test]
fn a_shadow_model_is_another_package_than_the_active_one() {
    let (sources, _models, config) = stocked();
    import(&config, &Incoming::from_folder(&classifier(sources.path(), "1.1.0")).expect("package")).expect("imported");
    let set_shadow = |id: &str| {
        let folder = Folder::open(&config).expect("folder");
        let package = folder.registry().package(&id.parse().expect(id)).expect("package");
        let identity = package.contents().expect("contents").identity;
        folder.set_shadow(package, &identity, now())
    };
    assert!(matches!(set_shadow("fixture-embolism/1.0.0"), Err(FolderError::ShadowOfItself(_))));
    assert!(set_shadow("fixture-embolism/1.1.0").expect("set"));
    assert!(!set_shadow("fixture-embolism/1.1.0").expect("a repetition"));
    let lineup = Registry::open(&config).expect("registry").lineup(&config).expect("line-up");
    assert_eq!(lineup.packages.embolism.package.to_string(), "fixture-embolism/1.0.0");
    let (_, with_shadow) = lineup.with_shadow().expect("a shadow model");
    assert_eq!(
        (with_shadow.embolism.package.to_string().as_str(), &with_shadow.lungs),
        ("fixture-embolism/1.1.0", &lineup.packages.lungs)
    );
    // Named by the configuration, it is the active one and no shadow model.
    let named = ModelsConfig { embolism: "fixture-embolism/1.1.0".parse().expect("selection"), ..config.clone() };
    assert_eq!(Registry::open(&named).expect("registry").lineup(&named).expect("line-up").shadow, None);
    assert!(Folder::open(&config).expect("folder").remove_shadow().expect("removed"));
}

#[test]
fn a_promoted_package_that_is_gone_is_an_error_that_says_what_to_do() {
    let (sources, _models, config) = stocked();
    import(&config, &Incoming::from_folder(&classifier(sources.path(), "1.1.0")).expect("package")).expect("imported");
    promote(&config, "fixture-embolism/1.1.0");
    fs::remove_dir_all(config.directory.join("fixture-embolism/1.1.0")).expect("remove");
    let error = Registry::open(&config).expect("registry").lineup(&config).expect_err("gone").to_string();
    assert!(error.contains("active by promotion") && error.contains("roll back"), "{error}");
}

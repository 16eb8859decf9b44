//! Holds the `use` lines of the program to its architecture: imports go one way, heavy dependencies stay in their rooms.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Which crate may be named in which places below `src/`.
const FENCES: &[(&str, &[&str])] = &[
    ("ort", &["engine/models/session.rs"]),
    ("burn", &["learn/train/"]),
    ("burn_onnx", &["learn/train/"]),
    ("dicom_ul", &["node/dimse/"]),
    ("axum", &["node/web/", "node/dicomweb/"]),
    ("sqlx", &["node/archive/", "node/queue/"]),
    ("tokio", &["node/", "cli/"]),
];

/// Layers from the bottom up: a file may import from its own layer and from those below.
const LAYERS: &[&[&str]] = &[
    &["dicom"],
    &["config"],
    &["engine::volume"],
    &["engine::models"],
    &["engine::analyse"],
    &["engine::report"],
    &["engine::pipeline"],
    &["engine"],
    &["learn", "node::telemetry", "node::shutdown"],
    &["node::models"],
    &["node::archive"],
    &["node::arrivals"],
    &["node::queue"],
    &["node::export"],
    &["node::assembly"],
    &["node::dimse", "node::dicomweb"],
    &["node::deliver"],
    &["node::worker"],
    &["node::web"],
    &["node"],
    &["cli"],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("source folder").map(|entry| entry.expect("entry").path()) {
        if entry.is_dir() {
            files.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

/// `engine::volume::geometry` for `src/engine/volume/geometry.rs`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(Path::new(ROOT).join("src")).expect("below src").with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).filter(|part| part != "mod").collect();
    parts.join("::")
}

/// The level of the most specific layer that holds a module.
fn level(module: &str) -> Option<usize> {
    let holds = |layer: &str| module == layer || module.starts_with(&format!("{layer}::"));
    LAYERS
        .iter()
        .enumerate()
        .flat_map(|(level, names)| names.iter().map(move |name| (level, *name)))
        .filter(|(_, name)| holds(name))
        .max_by_key(|(_, name)| name.len())
        .map(|(level, _)| level)
}

/// Code without comments and without its unit tests, which may look wherever they need to.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("source file");
    let program = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    program.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Modules named as `crate::a::b...`, also inside a brace group right after `crate::`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    // `pub(in crate::node)` says who may see, not what is imported.
    for rest in code.replace("in crate::", "").split("crate::").skip(1) {
        let path: String = rest
            .chars()
            .take_while(|character| character.is_alphanumeric() || matches!(character, '_' | ':'))
            .collect();
        found.push(path.trim_end_matches(':').to_owned());
    }
    found
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for file in sources(&Path::new(ROOT).join("src")) {
        let module = module_of(&file);
        let Some(own) = level(&module) else { continue };
        for import in imports(&code(&file)) {
            if level(&import).is_some_and(|other| other > own) {
                wrong.push(format!("{module} imports {import}, which lies above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn heavy_dependencies_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in sources(&Path::new(ROOT).join("src")) {
        let relative =
            file.strip_prefix(Path::new(ROOT).join("src")).expect("below src").to_string_lossy().into_owned();
        let code = code(&file);
        for (dependency, rooms) in FENCES {
            let named = code.match_indices(&format!("{dependency}::")).any(|(at, _)| {
                !code[..at].ends_with(|character: char| character.is_alphanumeric() || matches!(character, '_' | ':'))
            });
            if named && !rooms.iter().any(|room| relative.starts_with(room)) {
                wrong.push(format!("{relative} names {dependency}, which belongs to {rooms:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_node_reads_files_within_limits() {
    // Whatever lies in the archive came from outside: dicom-object may see it after the pre-scan only.
    let wrong: Vec<_> = sources(&Path::new(ROOT).join("src/node"))
        .into_iter()
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs"))
        .filter(|file| {
            ["open_file", "OpenFileOptions", "dicom_object::from_reader"].iter().any(|call| code(file).contains(call))
        })
        .collect();
    assert!(wrong.is_empty(), "dicom::bounded reads DICOM files, not dicom-object: {wrong:?}");
}

#[test]
fn engine_knows_no_clock() {
    let wrong: Vec<_> = sources(&Path::new(ROOT).join("src/engine"))
        .into_iter()
        .filter(|file| ["SystemTime::now", "Timestamp::now", "Zoned::now"].iter().any(|call| code(file).contains(call)))
        .collect();
    assert!(wrong.is_empty(), "the engine's results may not depend on the time of day: {wrong:?}");
}

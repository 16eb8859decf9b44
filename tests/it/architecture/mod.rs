//! Checks the imports of the program against its architecture: they go one way, and heavy dependencies stay in their
//! modules.

mod imports;
mod program;

use std::fs;
use std::path::Path;

use imports::Names;
use program::{Program, Target, lies_in, sources};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Which crate may be named in which modules.
const HEAVY_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("ort", &["engine::models::session"]),
    ("burn", &["learn::train"]),
    ("burn_onnx", &["learn::train"]),
    ("dicom_ul", &["node::dimse"]),
    ("axum", &["node::web", "node::dicomweb", "node::http"]),
    ("sqlx", &["node::store"]),
    ("tokio", &["node", "cli"]),
];

/// Layers from the bottom up: a file may import from its own layer and from those below.
const LAYERS: &[&[&str]] = &[
    &["dicom"],
    &["cohort"],
    &["engine::models::package_id", "engine::models::selection"],
    &["config"],
    &["engine::volume"],
    &["engine::models"],
    &["engine::analyse"],
    &["engine::report"],
    &["engine::pipeline"],
    &["engine"],
    &["packages"],
    &["node::log_line"],
    &["learn", "node::clock", "node::telemetry", "node::memory", "node::shutdown"],
    &["node::models"],
    &["node::queue"],
    &["node::store"],
    &["node::arrivals"],
    &["node::archive"],
    &["node::assembly", "node::export"],
    &["node::http"],
    &["node::dimse", "node::dicomweb"],
    &["node::deliver"],
    &["node::worker"],
    &["node::web"],
    &["node"],
    &["cli"],
    &["fuzzing"],
];

/// The level of the most specific layer that holds a module.
fn level(module: &str) -> Option<usize> {
    LAYERS
        .iter()
        .enumerate()
        .flat_map(|(level, names)| names.iter().map(move |name| (level, *name)))
        .filter(|(_, name)| lies_in(module, name))
        .max_by_key(|(_, name)| name.len())
        .map(|(level, _)| level)
}

/// The program itself.
fn program() -> Program {
    Program::read(&Path::new(ROOT).join("src"))
}

/// Imports that go upwards.
fn upward_imports(program: &Program) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in program.modules() {
        let Some(own) = level(module) else { continue };
        for target in program.targets(module) {
            if let Target::Module(other) = target
                && level(&other).is_some_and(|level| level > own)
            {
                wrong.push(format!("{module} imports {other}, which lies above it"));
            }
        }
    }
    wrong
}

#[test]
fn imports_go_one_way() {
    let wrong = upward_imports(&program());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_import_each_other_in_no_circle() {
    let circles = program().circles();
    let told: Vec<_> = circles.iter().map(|circle| circle.join(" <-> ")).collect();
    assert!(told.is_empty(), "{} circles:\n{}", told.len(), told.join("\n"));
}

#[test]
fn heavy_dependencies_stay_in_their_modules() {
    let program = program();
    let mut wrong = Vec::new();
    for module in program.modules() {
        let targets = program.targets(module);
        for (dependency, allowed) in HEAVY_DEPENDENCIES {
            let named = targets.contains(&Target::Crate((*dependency).to_owned()));
            if named && !allowed.iter().any(|other| lies_in(module, other)) {
                wrong.push(format!("{module} names {dependency}, which belongs to {allowed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A program of two files whose texts are given.
fn two_files(first: (&str, &str), second: (&str, &str)) -> Program {
    let module = |(path, text): (&str, &str)| (path.to_owned(), Names::of(text).expect("valid source"));
    Program::of([module(first), module(second)])
}

#[test]
fn an_upward_import_is_seen_wherever_it_stands() {
    for text in [
        "use crate::engine::volume::Volume;",
        "use crate::{engine::volume::Volume, config};",
        "fn f() -> crate::engine::volume::Volume { todo!() }",
        "fn f() { println!(\"{}\", crate::engine::volume::Volume::NAME); }",
        "#[cfg(test)]\nmod tests {}\nuse super::super::engine::volume::Volume;",
    ] {
        let program = two_files(("dicom::uid", text), ("engine::volume", "pub struct Volume;"));
        assert_eq!(upward_imports(&program), ["dicom::uid imports engine::volume, which lies above it"], "{text}");
    }
}

#[test]
fn unit_tests_may_import_what_they_need() {
    let text = "#[cfg(test)]\nmod tests { use crate::engine::volume::Volume; }";
    assert!(upward_imports(&two_files(("dicom::uid", text), ("engine::volume", ""))).is_empty());
}

#[test]
fn a_circle_between_two_files_is_seen_through_names_of_their_folder() {
    let program = Program::of(
        [
            ("dicom", "pub use uid::Uid;"),
            ("dicom::uid", "use super::text::Text; pub struct Uid;"),
            ("dicom::text", "use super::Uid; pub struct Text;"),
        ]
        .map(|(path, text)| (path.to_owned(), Names::of(text).expect("valid source"))),
    );
    assert_eq!(program.circles(), [["dicom::text", "dicom::uid"]]);
}

#[test]
fn the_node_reads_files_within_limits() {
    // Everything in the archive came from outside: dicom-object may see it only after the pre-scan.
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

#[test]
fn what_waits_goes_by_the_clock_of_the_store() {
    let waits = ["assembly", "deliver", "worker"].map(|folder| Path::new(ROOT).join("src/node").join(folder));
    let wrong: Vec<_> = waits
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|file| !file.ends_with("tests.rs") && code(file).contains("Timestamp::now"))
        .collect();
    assert!(wrong.is_empty(), "the time of day can be set; Store::now() goes on: {wrong:?}");
}

/// Code without comments and without its unit tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("source file");
    let program = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    program.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

//! Entry points for hostile bytes: what fuzzers call, and tests call with the corpora in `fuzz/corpus`.
//!
//! Each takes any bytes and returns: errors are dropped, and what may not be is an assertion.

use crate::{config, dicom, engine, node};

/// What is given bytes.
pub type Target = fn(&[u8]);

/// All targets; each has a file in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("association_request", node::dimse::fuzzing::association_request),
    ("code_stream", engine::volume::fuzzing::code_stream),
    ("command", node::dimse::fuzzing::command),
    ("data_set", dicom::fuzzing::data_set),
    ("file", dicom::fuzzing::file),
    ("image", engine::volume::fuzzing::image),
    #[cfg(feature = "train")]
    ("labels", crate::learn::train::labels::fuzzing::labels),
    ("manifest", engine::models::fuzzing::manifest),
    ("metadata", node::dicomweb::fuzzing::metadata),
    ("multipart", node::dicomweb::fuzzing::multipart),
    ("pdus", node::dimse::fuzzing::pdus),
    ("query", node::dicomweb::fuzzing::query),
    ("settings", config::fuzzing::settings),
    ("volume", engine::volume::fuzzing::volume),
];

/// Gives bytes to a target.
///
/// # Panics
/// There is no such target, or an assertion of it does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("entry").path()).collect()
    }

    fn stems(folder: &Path) -> BTreeSet<String> {
        entries(folder).iter().map(|path| path.file_stem().expect("name").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_target_has_a_fuzzer_and_a_corpus() {
        let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(stems(&folder("fuzz_targets")), targets);
        assert_eq!(stems(&folder("corpus")), targets);
    }

    #[test]
    fn no_file_of_the_corpora_makes_its_target_fail() {
        for (name, target) in TARGETS {
            let files = entries(&folder("corpus").join(name));
            assert!(files.len() > 1, "{name} has too small a corpus");
            for file in files {
                println!("{}", file.display());
                target(&fs::read(&file).expect("read"));
            }
        }
    }
}

//! The bytes of a seed are a contract: measurements and models' cards name cohorts by their seed.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{Cohort, Exam, Preset, Recipe, Site, write_cohort};
use crate::cohort::Layout;
use crate::dicom::hexadecimal;

/// All files below a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The content of a file, whatever library wrote it: an image without its file meta information (PS3.10 7.1: the length
/// of the group follows preamble, prefix and the element's own header), a mask without its compression.
fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("file");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("dcm") => {
            let length = u32::from_le_bytes(bytes[140..144].try_into().expect("four bytes"));
            bytes[144 + length as usize..].to_vec()
        }
        Some("gz") => {
            let mut voxels = Vec::new();
            GzDecoder::new(bytes.as_slice()).read_to_end(&mut voxels).expect("gzip");
            voxels
        }
        _ => bytes,
    }
}

fn digest(folder: &Path) -> String {
    let mut hasher = Sha256::new();
    for path in files(folder) {
        hasher.update(path.strip_prefix(folder).expect("below the folder").to_string_lossy().as_bytes());
        hasher.update(content(&path));
    }
    hexadecimal(&hasher.finalize())[..16].to_owned()
}

#[test]
fn a_seed_gives_the_bytes_that_it_always_gave() {
    let whole = |site: Site, paired: bool| {
        let folder = tempfile::tempdir().expect("folder");
        let cohort = Cohort {
            folder: folder.path().to_owned(),
            exams: 2,
            seed: 7,
            preset: Preset::Tiny,
            site,
            paired,
            feet_first: false,
        };
        write_cohort(&cohort, || ()).expect("written");
        digest(folder.path())
    };
    let one_slice = |preset: Preset, site: Site| {
        let folder = tempfile::tempdir().expect("folder");
        for index in 0..3 {
            let recipe = Recipe { site, pe: Some(true), ..Recipe::new(preset, 7, index) };
            Exam::draw(&recipe).write_slice(&Layout::below(folder.path()), 60 + 10 * index).expect("written");
        }
        digest(folder.path())
    };
    let digests = [
        whole(Site::Internal, true),
        whole(Site::External, false),
        one_slice(Preset::Light, Site::Internal),
        one_slice(Preset::Light, Site::External),
        one_slice(Preset::Clinical, Site::Internal),
    ];
    assert_eq!(
        digests,
        ["5417637e3d1d70d2", "c02c552a23472de6", "3f8ca75c77780fa4", "3673d11db1bba44b", "18a6368c26e501ff"]
    );
}

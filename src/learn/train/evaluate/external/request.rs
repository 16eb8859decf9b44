//! Which package is evaluated on which studies.

use std::path::{Path, PathBuf};

use crate::engine::models::manifest::Manifest;

/// Which package is evaluated on which studies.
#[derive(Debug, Clone)]
pub struct ExternalValidation {
    /// Table with `StudyInstanceUID` and `pe_present_in_exam` or `mask`.
    pub labels: PathBuf,
    /// Folder with the studies, nested in any way.
    pub images: PathBuf,
    /// The package; `None` for the one that the configuration exports.
    pub package: Option<PathBuf>,
    /// Where results go; `None` for a folder of the package's own in `NAME-evaluation`, beside a table `NAME.csv`.
    pub out: Option<PathBuf>,
    /// Analyse series that quality checks reject too.
    pub ignore_quality: bool,
}

impl ExternalValidation {
    /// Where the results of a package go.
    pub(super) fn folder(&self, Manifest { name, version, .. }: &Manifest) -> PathBuf {
        let of_table = || self.labels.with_file_name(format!("{}-evaluation", file_stem(&self.labels)));
        self.out.clone().unwrap_or_else(|| of_table().join(format!("{name}-{version}")))
    }
}

pub(super) fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("fixture")
    }

    #[test]
    fn each_package_has_a_folder_of_its_own_beside_the_table() {
        let request = ExternalValidation {
            labels: PathBuf::from("site/exams.v2.csv"),
            images: PathBuf::new(),
            package: None,
            out: None,
            ignore_quality: false,
        };
        let embolism = manifest(include_str!("../../../../../fixtures/models/fixture-embolism/1.0.0/model.toml"));
        assert_eq!(request.folder(&embolism), Path::new("site/exams.v2-evaluation/fixture-embolism-1.0.0"));
        let next = Manifest { version: semver::Version::new(1, 1, 0), ..embolism.clone() };
        assert_ne!(request.folder(&next), request.folder(&embolism));
        let named = ExternalValidation { out: Some(PathBuf::from("results")), ..request };
        assert_eq!(named.folder(&embolism), Path::new("results"));
    }
}

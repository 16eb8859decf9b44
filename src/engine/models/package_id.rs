//! The identifier of a model package: `name/version`, like its folders.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use semver::{BuildMetadata, Version};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest name, so that every file system takes it.
const LONGEST: usize = 128;

/// A model package, written `name/version`. Packages are ordered by name, those of a name from the oldest version to
/// the newest: a release candidate is older than its release.
///
/// ```
/// use pe_node::engine::models::PackageId;
///
/// let [draft, release] = ["embolism/1.0.0-rc.1", "embolism/1.0.0"].map(|text| text.parse::<PackageId>().unwrap());
/// assert!(draft < release);
/// assert_eq!(release.name.as_str(), "embolism");
/// assert!("embolism".parse::<PackageId>().is_err(), "it has no version");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageId {
    /// The name, shared by all versions.
    pub name: PackageName,
    /// The version (<https://semver.org>).
    pub version: Version,
}

/// The name of a model package: letters, digits, `.`, `_` and `-`, no separator of paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(Box<str>);

/// Why a text does not name a model package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageIdError {
    /// Not two parts.
    #[error("`{}` is not a model package: name/version was expected, for instance embolism/1.0.0", .0.escape_debug())]
    Form(String),
    /// The name is not valid.
    #[error("`{}` is not the name of a model package: letters, digits, `.`, `_`, `-`", .0.escape_debug())]
    Name(String),
    /// The version is not valid.
    #[error("`{}` is not a semantic version: MAJOR.MINOR.PATCH was expected, for instance 1.0.0", .0.escape_debug())]
    Version(String),
}

impl PackageName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PackageId {
    /// Where the package lies in a folder of packages.
    pub fn folder_in(&self, packages: &Path) -> PathBuf {
        packages.join(self.name.as_str()).join(self.version.to_string())
    }

    /// The package that a record of an earlier program names. Versions were free text then; `1` and `1.2` are completed
    /// with zeros, and any other text becomes a note on version 0.0.0, so that the record stays readable.
    pub(super) fn recorded(name: PackageName, version: &str) -> Self {
        let completed = ["", ".0", ".0.0"].iter().find_map(|rest| format!("{version}{rest}").parse().ok());
        let noted = || {
            let note = version.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
            Version { build: BuildMetadata::new(&note).unwrap_or_default(), ..Version::new(0, 0, 0) }
        };
        Self { name, version: completed.unwrap_or_else(noted) }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for PackageName {
    type Err = PackageIdError;

    fn from_str(text: &str) -> Result<Self, PackageIdError> {
        if is_token(text) { Ok(Self(text.into())) } else { Err(PackageIdError::Name(text.to_owned())) }
    }
}

impl TryFrom<String> for PackageName {
    type Error = PackageIdError;

    fn try_from(text: String) -> Result<Self, PackageIdError> {
        text.parse()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.name, self.version)
    }
}

impl FromStr for PackageId {
    type Err = PackageIdError;

    fn from_str(text: &str) -> Result<Self, PackageIdError> {
        let (name, version) = text.split_once('/').ok_or_else(|| PackageIdError::Form(text.to_owned()))?;
        Ok(Self { name: name.parse()?, version: version_of(version)? })
    }
}

impl TryFrom<String> for PackageId {
    type Error = PackageIdError;

    fn try_from(text: String) -> Result<Self, PackageIdError> {
        text.parse()
    }
}

impl From<PackageId> for String {
    fn from(id: PackageId) -> Self {
        id.to_string()
    }
}

/// A version, or an error that says what one looks like.
pub fn version_of(text: &str) -> Result<Version, PackageIdError> {
    text.parse().map_err(|_| PackageIdError::Version(text.to_owned()))
}

/// For serde: [`version_of`] a text.
pub fn deserialize_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    version_of(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// For serde: the package that a record of an earlier program names, see [`PackageId::recorded`].
pub(super) fn deserialize_recorded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PackageId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let (name, version) = text.split_once('/').unwrap_or((&text, ""));
    Ok(PackageId::recorded(name.parse().map_err(serde::de::Error::custom)?, version))
}

/// True for a text that may name a folder or a file: no separator of paths.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_ordered_by_name_and_then_by_semantic_version() {
        let ordered = ["a/2.0.0", "b/0.9.1", "b/0.10.0", "b/1.0.0-rc1", "b/1.0.0-rc.2", "b/1.0.0", "c/0.1.0"];
        let mut ids: Vec<PackageId> = ordered.iter().rev().map(|id| id.parse().expect(id)).collect();
        ids.sort();
        // `rc1` is one identifier of letters, which stands above `rc`.
        let expected = ["a/2.0.0", "b/0.9.1", "b/0.10.0", "b/1.0.0-rc.2", "b/1.0.0-rc1", "b/1.0.0", "c/0.1.0"];
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_package_is_written_and_read_as_name_and_version() {
        let id: PackageId = "embolism/1.0.0-rc1+site".parse().expect("a package");
        assert_eq!((id.name.as_str(), id.version.build.as_str()), ("embolism", "site"));
        assert_eq!(serde_json::to_string(&id).expect("text"), "\"embolism/1.0.0-rc1+site\"");
        assert_eq!(serde_json::from_str::<PackageId>("\"embolism/1.0.0-rc1+site\"").expect("a package"), id);
    }

    #[test]
    fn a_text_that_is_not_a_package_is_refused_with_what_was_expected() {
        for (text, reason) in [
            ("embolism", "name/version was expected"),
            ("../x/1.0.0", "is not the name of a model package"),
            ("/1.0.0", "is not the name of a model package"),
            ("embolism/1.0", "`1.0` is not a semantic version: MAJOR.MINOR.PATCH was expected"),
            ("embolism/1.0.0/2", "is not a semantic version"),
            ("embolism/", "is not a semantic version"),
        ] {
            let error = text.parse::<PackageId>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn versions_of_old_records_stay_readable() {
        let recorded = |version| PackageId::recorded("a".parse().expect("name"), version).to_string();
        assert_eq!(recorded("1.2.3"), "a/1.2.3");
        assert_eq!(recorded("1.2"), "a/1.2.0");
        assert_eq!(recorded("1"), "a/1.0.0");
        assert_eq!(recorded("2024_01"), "a/0.0.0+2024-01");
        assert_eq!(recorded("v2."), "a/0.0.0+v2-");
    }
}

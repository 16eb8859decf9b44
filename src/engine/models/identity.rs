//! Which model took part in a result.

use serde::{Deserialize, Serialize};

use super::package_id::{PackageId, PackageName};

/// A model package and the digest of its files: other files under the same name and version are another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub struct ModelIdentity {
    /// Name and version of the package.
    pub package: PackageId,
    /// SHA-256 over the package's manifest and files.
    pub sha256: String,
}

#[cfg(test)]
impl ModelIdentity {
    /// A model of this `name/version`.
    pub(crate) fn of(package: &str, sha256: &str) -> Self {
        Self { package: package.parse().expect("a package"), sha256: sha256.to_owned() }
    }
}

/// As the API and the database write it.
#[derive(Serialize, Deserialize)]
struct Record {
    name: PackageName,
    version: String,
    sha256: String,
}

impl From<Record> for ModelIdentity {
    fn from(Record { name, version, sha256 }: Record) -> Self {
        Self { package: PackageId::recorded(name, &version), sha256 }
    }
}

impl From<ModelIdentity> for Record {
    fn from(ModelIdentity { package: PackageId { name, version }, sha256 }: ModelIdentity) -> Self {
        Self { name, version: version.to_string(), sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_earlier_programs_wrote_are_read() {
        let row = r#"{"name":"embolism","version":"0.2.0","sha256":"ab"}"#;
        let identity: ModelIdentity = serde_json::from_str(row).expect("a row");
        assert_eq!(identity.package.to_string(), "embolism/0.2.0");
        assert_eq!(serde_json::to_string(&identity).expect("text"), row, "written as before");
        let row = r#"{"name":"own","version":"1","sha256":"ab"}"#;
        let identity: ModelIdentity = serde_json::from_str(row).expect("a row with a version of free text");
        assert_eq!(identity.package.to_string(), "own/1.0.0");
    }
}

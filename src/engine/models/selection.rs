//! Which package of a kind the settings `models.lungs` and `models.embolism` ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::package_id::{PackageId, PackageIdError, PackageName};

/// A choice among the packages of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selection {
    /// The package that was promoted; while none was, the newest version of the only package of the kind. Written as an
    /// empty text.
    #[default]
    Active,
    /// The newest version of a package, written as its name.
    Newest(PackageName),
    /// This version, written `name/version`.
    Exactly(PackageId),
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => Ok(()),
            Self::Newest(name) => name.fmt(formatter),
            Self::Exactly(id) => id.fmt(formatter),
        }
    }
}

impl FromStr for Selection {
    type Err = PackageIdError;

    fn from_str(text: &str) -> Result<Self, PackageIdError> {
        match text {
            "" => Ok(Self::Active),
            id if id.contains('/') => id.parse().map(Self::Exactly),
            name => name.parse().map(Self::Newest),
        }
    }
}

impl TryFrom<String> for Selection {
    type Error = PackageIdError;

    fn try_from(text: String) -> Result<Self, PackageIdError> {
        text.parse()
    }
}

impl From<Selection> for String {
    fn from(selection: Selection) -> Self {
        selection.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_nothing_or_a_name_or_a_name_and_a_version() {
        assert_eq!("".parse(), Ok(Selection::Active));
        assert!(matches!("embolism".parse(), Ok(Selection::Newest(_))));
        assert!(matches!("embolism/1.0.0".parse(), Ok(Selection::Exactly(_))));
        for text in ["", "embolism", "embolism/1.0.0"] {
            assert_eq!(text.parse::<Selection>().expect(text).to_string(), text);
        }
        assert!("embolism/one".parse::<Selection>().expect_err("no version").to_string().contains("semantic version"));
    }
}

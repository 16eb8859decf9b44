//! Application entity titles ([PS3.5 6.2, AE](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.html)).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The title of an application entity: 1 to 16 characters of the default repertoire, no backslash, no control
/// character; leading and trailing spaces carry no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(String);

/// Why a text is not an application entity title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an AE title: 1 to 16 printable ASCII characters without backslash are allowed")]
pub struct AeTitleError(String);

impl AeTitle {
    /// Reads a title, surrounding spaces removed.
    pub fn parse(text: &str) -> Result<Self, AeTitleError> {
        let trimmed = text.trim_matches([' ', '\0']);
        let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\\';
        if trimmed.is_empty() || trimmed.len() > 16 || !trimmed.bytes().all(printable) {
            return Err(AeTitleError(text.chars().take(32).collect()));
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The title without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for AeTitle {
    type Error = AeTitleError;

    fn try_from(text: String) -> Result<Self, AeTitleError> {
        Self::parse(&text)
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> Self {
        title.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_their_padding_and_bad_ones_are_refused() {
        assert_eq!(AeTitle::parse(" PE-NODE  ").map(String::from), Ok("PE-NODE".to_owned()));
        assert!(AeTitle::parse("").is_err());
        assert!(AeTitle::parse("A\\B").is_err());
        assert!(AeTitle::parse("SEVENTEEN-LETTERS").is_err());
    }
}

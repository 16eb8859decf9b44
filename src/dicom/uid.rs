//! Unique identifiers ([PS3.5 chapter 9](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/chapter_9.html)).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A DICOM unique identifier: 1 to 64 characters, letters, digits and dots.
///
/// Received identifiers are accepted leniently: leading zeros in a component occur in practice, and de-identified data
/// sets have letters, which the standard does not allow; those of RSPECT are twelve hexadecimal digits. They never
/// contain anything else, so they are safe to log and to compare. No path is ever built from one. Identifiers that this
/// program makes follow the standard.
///
/// ```
/// use pe_node::dicom::Uid;
///
/// let received = Uid::parse("1.2.840.113619.2.55 ")?;
/// assert_eq!(received.as_str(), "1.2.840.113619.2.55");
/// assert!(Uid::parse("1.2..3").is_err());
///
/// // The same parts give the same identifier on every machine: a retried job writes the same objects.
/// assert_eq!(Uid::derived(["report", received.as_str()]), Uid::derived(["report", "1.2.840.113619.2.55"]));
/// # Ok::<(), pe_node::dicom::uid::UidError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(String);

/// Why a text is not a unique identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// Nothing but padding.
    #[error("the unique identifier is empty")]
    Empty,
    /// More than 64 characters.
    #[error("the unique identifier has {0} characters; 64 are allowed")]
    TooLong(usize),
    /// Another character than a letter, a digit or a dot, or a dot at an end or beside another.
    #[error("the unique identifier may hold only components of letters and digits separated by dots")]
    Malformed,
}

impl Uid {
    /// Reads an identifier as it stands in a data set, trailing padding (NUL, space) removed.
    pub fn parse(text: &str) -> Result<Self, UidError> {
        let text = text.trim_matches(['\0', ' ']);
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > 64 {
            return Err(UidError::TooLong(text.len()));
        }
        let component = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !text.split('.').all(component) {
            return Err(UidError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// An identifier under `2.25` (PS3.5 B.2) that is a function of `parts` alone: the same parts give the same
    /// identifier on every machine, so that a retried job writes the same objects.
    pub fn derived<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        // The form of a version 8 UUID (RFC 9562 5.8: vendor-defined), which B.2 turns into a decimal.
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(format!("2.25.{}", u128::from_be_bytes(bytes)))
    }

    /// A new identifier under `2.25` from 128 random bits.
    pub fn random() -> Self {
        let bits: u128 = rand::random();
        Self::derived([bits.to_string().as_str()])
    }

    /// The identifier as text, without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for Uid {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Uid {
    type Error = UidError;

    fn try_from(text: String) -> Result<Self, UidError> {
        Self::parse(&text)
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_removed_and_other_text_is_refused() {
        assert_eq!(Uid::parse("1.2.840.10008.1.1\0").map(String::from), Ok("1.2.840.10008.1.1".to_owned()));
        assert_eq!(Uid::parse("6897fa9de148").map(String::from), Ok("6897fa9de148".to_owned()), "as in RSPECT");
        assert_eq!(Uid::parse(" \0"), Err(UidError::Empty));
        assert_eq!(Uid::parse("../../etc/passwd"), Err(UidError::Malformed));
        for text in ["1..2", ".1", "1.", "1.2'", "a b", "1_2", "ä", "%2e"] {
            assert_eq!(Uid::parse(text), Err(UidError::Malformed), "{text}");
        }
        assert_eq!(Uid::parse(&"1".repeat(65)), Err(UidError::TooLong(65)));
    }

    #[test]
    fn derived_identifiers_depend_on_every_part_and_on_its_boundaries() {
        assert_eq!(Uid::derived(["a", "b"]), Uid::derived(["a", "b"]));
        assert_ne!(Uid::derived(["a", "b"]), Uid::derived(["ab"]));
        assert_ne!(Uid::derived(["a", "b"]), Uid::derived(["b", "a"]));
        assert!(Uid::derived(["a"]).as_str().len() <= 64);
    }
}

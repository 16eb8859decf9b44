//! The names of files.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dicom::hexadecimal;

/// The name of a blob: 32 bytes of digest. It is computed, never received, so it is safe in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobName([u8; 32]);

/// A text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a file is not a digest")]
pub struct BlobNameError;

impl BlobName {
    /// The name for a data set with this digest in this transfer syntax. (The same bytes mean something else in
    /// another syntax.)
    pub fn of(data_set_sha256: &str, transfer_syntax_uid: &str) -> Self {
        Self(Sha256::digest(format!("{data_set_sha256}\n{transfer_syntax_uid}")).into())
    }

    /// The name as 64 hexadecimal digits.
    pub fn to_text(self) -> String {
        hexadecimal(&self.0)
    }
}

impl From<BlobName> for String {
    fn from(name: BlobName) -> Self {
        name.to_text()
    }
}

impl TryFrom<String> for BlobName {
    type Error = BlobNameError;

    fn try_from(text: String) -> Result<Self, BlobNameError> {
        text.parse()
    }
}

impl FromStr for BlobName {
    type Err = BlobNameError;

    fn from_str(text: &str) -> Result<Self, BlobNameError> {
        let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(BlobNameError)?;
        if text.contains(|digit: char| digit.is_ascii_uppercase()) {
            return Err(BlobNameError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_computed_names_are_names() {
        assert_eq!("../../../../etc/passwd".parse::<BlobName>(), Err(BlobNameError));
        assert_eq!("A".repeat(64).parse::<BlobName>(), Err(BlobNameError));
        let name = BlobName::of("../..", "../../etc");
        assert_eq!(name.to_text().parse(), Ok(name));
    }
}

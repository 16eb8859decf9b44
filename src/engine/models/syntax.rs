//! What is wrong with a TOML text, in one line.

/// Why a text is not TOML, or not the table that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(String);

impl From<toml::de::Error> for SyntaxError {
    fn from(error: toml::de::Error) -> Self {
        Self(error.to_string().trim().replace('\n', " "))
    }
}

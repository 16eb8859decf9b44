//! Hostile text as a manifest.

use super::manifest::Manifest;

/// The text of a `model.toml`.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(&String::from_utf8_lossy(bytes)) {
        let again = Manifest::parse(&manifest.to_toml());
        assert!(again.is_ok(), "a valid manifest is written as one that is not: {again:?}");
    }
}

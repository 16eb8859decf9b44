//! A digest of the sources of what is kept. Work folders keep it beside their files: what was made from other sources
//! is made again, or refused.
//!
//! The digest is of JSON with sorted keys, so it depends on the names and values of the sources and not on how this
//! program is written. Whoever changes the form of sources, or what is made of them, raises their version.

use serde::Serialize;

use super::files;

/// The sources of something that is kept.
#[derive(Debug, Serialize)]
pub(crate) struct Provenance<'a, S> {
    /// What was made.
    pub(crate) made: &'a str,
    /// Version of the form of the sources and of how it is made from them.
    pub(crate) version: u32,
    pub(crate) sources: S,
}

impl<S: Serialize> Provenance<'_, S> {
    /// SHA-256 as lower-case hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        files::digest(self.canonical().as_bytes())
    }

    /// JSON with sorted keys. Sources are plain values under text keys, which JSON can always hold.
    fn canonical(&self) -> String {
        let mut json = serde_json::to_value(self).unwrap_or_else(|error| error.to_string().into());
        json.sort_all_objects();
        json.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Example {
        window: [f64; 2],
        kind: &'static str,
        file: Option<u64>,
    }

    #[test]
    fn a_digest_is_of_sorted_json_with_its_version() {
        let sources = Example { window: [-250.0, 0.1 + 0.2], kind: "lungs", file: None };
        let of = |version| Provenance { made: "example", version, sources: &sources };
        assert_eq!(
            of(2).canonical(),
            r#"{"made":"example","sources":{"file":null,"kind":"lungs","window":[-250.0,0.30000000000000004]},"version":2}"#
        );
        assert_eq!(of(2).sha256(), "631d04603a8fd849d4bc641761a84306c86d050f6c71a6bb1e8733b634e6e8e7");
        assert_ne!(of(3).sha256(), of(2).sha256());
    }
}

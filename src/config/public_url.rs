//! `http.public_url`.

use serde::{Deserialize, Serialize};

/// The URL that clients reach the node at, where it is not the one that they call: origin and path, no slash at the end.
/// Empty if it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    text: String,
    /// How much of the text is the origin.
    origin: usize,
}

/// A text that is no such URL.
#[derive(Debug, thiserror::Error)]
#[error("http.public_url = `{0}`: a URL such as https://pacs.example/pe-node was expected")]
pub struct PublicUrlError(String);

impl PublicUrl {
    /// Scheme, host and port, `https://pacs.example`; `None` if nothing is set.
    pub fn origin(&self) -> Option<&str> {
        (!self.text.is_empty()).then(|| &self.text[..self.origin])
    }

    /// What comes before the paths of the node: empty, or `/pe-node`.
    pub fn prefix(&self) -> &str {
        &self.text[self.origin..]
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = PublicUrlError;

    fn try_from(text: String) -> Result<Self, PublicUrlError> {
        let trimmed = text.trim_end_matches('/');
        if text.is_empty() {
            return Ok(Self::default());
        }
        let after_scheme = ["http://", "https://"].iter().find_map(|scheme| trimmed.strip_prefix(scheme));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\@".contains(&byte));
        match after_scheme {
            Some(rest) if plain(rest) && !rest.starts_with(['/', ':']) => {
                let host = rest.find('/').unwrap_or(rest.len());
                Ok(Self { origin: trimmed.len() - rest.len() + host, text: trimmed.to_owned() })
            }
            _ => Err(PublicUrlError(text)),
        }
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_an_origin_and_a_prefix() {
        for (text, origin, prefix) in [
            ("https://pacs.example", Some("https://pacs.example"), ""),
            ("https://pacs.example:8443/", Some("https://pacs.example:8443"), ""),
            ("http://[::1]:80/ai/pe-node/", Some("http://[::1]:80"), "/ai/pe-node"),
            ("", None, ""),
        ] {
            let url = PublicUrl::try_from(text.to_owned()).expect("valid");
            assert_eq!((url.origin(), url.prefix()), (origin, prefix), "{text}");
        }
        for wrong in
            ["pacs.example", "https://", "ftp://pacs", "https://pacs/?a=b", "https://user@pacs", "/pe-node", "/"]
        {
            assert!(PublicUrl::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}

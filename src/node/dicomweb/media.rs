//! Media types and their negotiation ([PS3.18 8.7](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.7.html)),
//! read as clients write them: quoted or bare values (`type=application/dicom`, `transfer-syntax=*`), in any case,
//! with unknown parameters.

use dicom_dictionary_std::uids;

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// `type/subtype`, lower case.
    pub(crate) essence: String,
    /// Names in lower case, values without quotes.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads one media type; `None` if there is no `type/subtype`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = split_outside_quotes(text, ';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() || essence.contains(char::is_whitespace) {
            return None;
        }
        let parameters = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), unquote(value.trim())))
            .collect();
        Some(Self { essence, parameters })
    }

    /// The value of a parameter, given in lower case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// For `multipart/related`, the media type of the parts, otherwise the type itself; in lower case.
    pub(crate) fn payload(&self) -> String {
        if self.essence == MULTIPART_RELATED {
            self.parameter("type").unwrap_or("*/*").to_ascii_lowercase()
        } else {
            self.essence.clone()
        }
    }

    /// True if the payload is asked for in `multipart/related`.
    pub(crate) fn is_multipart(&self) -> bool {
        self.essence == MULTIPART_RELATED
    }

    fn quality(&self) -> f32 {
        self.parameter("q").and_then(|value| value.parse().ok()).unwrap_or(1.0)
    }
}

/// The essence of multipart responses and requests (RFC 2387).
pub(crate) const MULTIPART_RELATED: &str = "multipart/related";

/// What a client accepts, most wanted first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accept(Vec<MediaType>);

impl Accept {
    /// Reads the Accept header and the `accept` query parameter (PS3.18 8.3.3.1), which comes first. Neither: anything.
    pub(crate) fn parse(header: Option<&str>, query: Option<&str>) -> Self {
        let mut wanted: Vec<MediaType> = [query, header]
            .into_iter()
            .flatten()
            .flat_map(|text| split_outside_quotes(text, ','))
            .filter_map(MediaType::parse)
            .filter(|wanted| wanted.quality() > 0.0)
            .collect();
        if wanted.is_empty() {
            wanted.extend(MediaType::parse("*/*"));
        }
        wanted.sort_by(|one, other| other.quality().total_cmp(&one.quality()));
        Self(wanted)
    }

    /// The first entry for which `choose` has an answer.
    pub(crate) fn first<T>(&self, choose: impl FnMut(&MediaType) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(choose)
    }
}

/// Transfer syntaxes of compressed frames and their media types; the first of a type is meant where none is named
/// ([PS3.18 Table 8.7.3-5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.7.3.3.2.html)).
const FRAMES: [(&str, &str); 12] = [
    (uids::JPEG_LOSSLESS_SV1, "image/jpeg"),
    (uids::JPEG_LOSSLESS, "image/jpeg"),
    (uids::JPEG_BASELINE8_BIT, "image/jpeg"),
    (uids::JPEG_EXTENDED12_BIT, "image/jpeg"),
    (uids::RLE_LOSSLESS, "image/dicom-rle"),
    (uids::JPEGLS_LOSSLESS, "image/jls"),
    (uids::JPEGLS_NEAR_LOSSLESS, "image/jls"),
    (uids::JPEG2000_LOSSLESS, "image/jp2"),
    (uids::JPEG2000, "image/jp2"),
    (uids::HTJ2K_LOSSLESS, "image/jphc"),
    (uids::HTJ2K_LOSSLESS_RPCL, "image/jphc"),
    (uids::HTJ2K, "image/jphc"),
];

/// The media type of frames in a transfer syntax, where the standard has one.
pub(crate) fn frame_media_type(transfer_syntax_uid: &str) -> Option<&'static str> {
    FRAMES.iter().find(|(known, _)| *known == transfer_syntax_uid).map(|(_, media_type)| *media_type)
}

/// The transfer syntax of frames of this media type: the one that it names, or the type's default.
pub(crate) fn frame_transfer_syntax(media_type: &MediaType) -> Option<&str> {
    let default = || FRAMES.iter().find(|(_, known)| *known == media_type.essence).map(|(uid, _)| *uid);
    media_type.parameter("transfer-syntax").or_else(default)
}

/// True if `range` (`a/b`, `a/*` or `*/*`) covers `essence`.
pub(crate) fn covers(range: &str, essence: &str) -> bool {
    range == "*/*"
        || range == essence
        || range
            .strip_suffix("/*")
            .is_some_and(|kind| essence.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')))
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && character == separator,
        }
        false
    })
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        value.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// True if one of `offered` is accepted, alone or inside `multipart/related`.
    fn takes(accept: &Accept, offered: &[&str]) -> bool {
        accept.first(|wanted| offered.iter().any(|offer| covers(&wanted.payload(), offer)).then_some(())).is_some()
    }

    #[test]
    fn quoted_and_bare_parameters_read_the_same() {
        let quoted = MediaType::parse("multipart/related; type=\"application/dicom\"; boundary=\"a;b\"").expect("type");
        let bare = MediaType::parse("Multipart/Related;TYPE=application/dicom;boundary=a").expect("type");
        assert_eq!(quoted.payload(), "application/dicom");
        assert_eq!(bare.payload(), "application/dicom");
        assert_eq!(quoted.parameter("boundary"), Some("a;b"));
        assert_eq!(MediaType::parse("a/b; x=\"q\\\"r\"").expect("type").parameter("x"), Some("q\"r"));
        assert_eq!(MediaType::parse("nonsense"), None);
    }

    #[test]
    fn what_is_wanted_most_comes_first_and_what_is_not_wanted_is_left_out() {
        let accept = Accept::parse(Some("image/png;q=0.2, application/dicom+json, text/html;q=0"), None);
        assert_eq!(accept.first(|wanted| Some(wanted.essence.clone())), Some("application/dicom+json".to_owned()));
        assert!(takes(&accept, &["image/png"]));
        assert!(!takes(&accept, &["text/html"]));
    }

    #[test]
    fn the_header_of_a_viewer_is_understood() {
        let header = "multipart/related; type=application/octet-stream; transfer-syntax=*";
        let accept = Accept::parse(Some(header), None);
        assert!(takes(&accept, &["application/octet-stream"]));
        assert_eq!(accept.first(|wanted| wanted.parameter("transfer-syntax").map(str::to_owned)), Some("*".to_owned()));
    }

    #[test]
    fn nothing_said_means_anything_and_ranges_cover_their_members() {
        assert!(takes(&Accept::parse(None, None), &["application/dicom"]));
        assert!(covers("image/*", "image/png"));
        assert!(!covers("image/*", "imagery/png"));
        assert!(!covers("image/*", "text/html"));
    }
}

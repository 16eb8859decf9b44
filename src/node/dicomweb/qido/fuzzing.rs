//! Hostile text as the parameters of a search.

use super::parameters::Search;
use crate::node::archive::Level;
use crate::node::dicomweb::media::Accept;

/// The parameters of a search, and the media types that it accepts.
pub(crate) fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let parameters: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for level in [Level::Study, Level::Series, Level::Instance] {
        let _ = Search::read(level, &parameters);
    }
    let _ = Accept::parse(Some(&text), Some(&text)).first(|media_type| Some(media_type.payload()));
}

//! Content-Encoding of a request: gzip, expanded no further than is sensible.

use std::io::Write;

use axum::http::header;
use flate2::write::MultiGzDecoder;

use super::super::request::Request;
use crate::node::http::Problem;

/// Compressed bytes that are expanded at a time. gzip expands a byte to about 1,000 at most.
const PIECE: usize = 4 * 1024;
/// Expanded bytes for each compressed one, beyond [`FREE`]. CT images have about 3; an empty image has more.
const MAXIMUM_RATIO: u64 = 100;
/// Expanded bytes that are taken whatever their ratio is.
const FREE: u64 = 16 << 20;
/// Largest expanded body, in objects of the largest size that is accepted.
const MAXIMUM_OBJECTS: u64 = 16;

/// How the bytes of a request become the bytes of its content.
pub(super) enum Coding {
    /// They are the content.
    Identity,
    /// They are compressed.
    Gzip(Box<Gzip>),
}

/// Expansion of a body, whose bytes come in pieces of any size.
pub(super) struct Gzip {
    /// Its output, which is taken away after each piece.
    decoder: MultiGzDecoder<Vec<u8>>,
    compressed: u64,
    expanded: u64,
    maximum: u64,
}

impl Coding {
    /// That of a request; an expanded object has no more than `object_bytes`.
    pub(super) fn of(request: &Request, object_bytes: u64) -> Result<Self, Problem> {
        let coding = request.header(header::CONTENT_ENCODING).unwrap_or("identity").trim().to_ascii_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(Gzip::new(object_bytes)))),
            _ => Err(Problem::UnsupportedCoding(format!("Content-Encoding {coding} is not accepted, only gzip"))),
        }
    }
}

impl Gzip {
    fn new(object_bytes: u64) -> Self {
        let maximum = object_bytes.saturating_mul(MAXIMUM_OBJECTS);
        Self { decoder: MultiGzDecoder::new(Vec::new()), compressed: 0, expanded: 0, maximum }
    }

    /// Pieces of which each is expanded at a time.
    pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        bytes.chunks(PIECE)
    }

    /// What a piece expands to.
    pub(super) fn expand(&mut self, piece: &[u8]) -> Result<Vec<u8>, Problem> {
        let damaged = |_| Problem::BadRequest("the body is not gzip, as its Content-Encoding says".to_owned());
        self.decoder.write_all(piece).and_then(|()| self.decoder.flush()).map_err(damaged)?;
        self.compressed += piece.len() as u64;
        let expanded = std::mem::take(self.decoder.get_mut());
        self.expanded += expanded.len() as u64;
        self.check()?;
        Ok(expanded)
    }

    /// The last bytes; an error if the body was cut off.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Problem> {
        let cut = |_| Problem::BadRequest("the gzip body ends early, or its checksum is wrong".to_owned());
        self.decoder.try_finish().map_err(cut)?;
        Ok(std::mem::take(self.decoder.get_mut()))
    }

    fn check(&self) -> Result<(), Problem> {
        let ratio = self.expanded > FREE && self.expanded > self.compressed.saturating_mul(MAXIMUM_RATIO);
        if ratio || self.expanded > self.maximum {
            return Err(Problem::TooLarge(format!(
                "the body expands to more than {} bytes, or to more than {MAXIMUM_RATIO} for one",
                self.maximum
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("compress");
        encoder.finish().expect("compress")
    }

    fn expanded(body: &[u8], object_bytes: u64) -> Result<Vec<u8>, Problem> {
        let mut gzip = Gzip::new(object_bytes);
        let mut expanded = Vec::new();
        for piece in Gzip::pieces(body) {
            expanded.extend(gzip.expand(piece)?);
        }
        expanded.extend(gzip.finish()?);
        Ok(expanded)
    }

    #[test]
    fn a_body_expands_to_what_was_compressed() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|number| (number % 977).to_le_bytes()).collect();
        assert_eq!(expanded(&compressed(&text), 1 << 20), Ok(text.clone()));
        let body = compressed(&text);
        assert!(matches!(expanded(&body[..body.len() / 2], 1 << 20), Err(Problem::BadRequest(_))));
        assert!(matches!(expanded(&text, 1 << 20), Err(Problem::BadRequest(_))));
    }

    #[test]
    fn a_body_that_expands_too_far_is_refused_before_it_has() {
        let bomb = compressed(&vec![0; 40 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(expanded(&bomb, 1 << 30), Err(Problem::TooLarge(_))), "its ratio");
        assert!(matches!(expanded(&compressed(&vec![0; 2 << 20]), 1 << 16), Err(Problem::TooLarge(_))), "its size");
    }
}

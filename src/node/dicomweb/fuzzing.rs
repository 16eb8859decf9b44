//! Hostile bytes as bodies of requests.

use super::multipart::{Event, Parser};
pub(crate) use super::qido::fuzzing::query;
pub(crate) use super::stow::fuzzing::metadata;

/// A multipart body whose boundary is `b`; its first byte says in what pieces it comes.
pub(crate) fn multipart(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let Ok(mut parser) = Parser::new("b") else { return };
    let mut content = 0;
    for piece in body.chunks(usize::from(*first).max(1)) {
        parser.push(piece);
        loop {
            match parser.event() {
                Ok(Some(Event::Content(bytes))) => content += bytes.len(),
                Ok(Some(Event::Part(_) | Event::EndOfPart)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    let _ = parser.finish();
    assert!(content <= body.len(), "a body has more content than bytes");
}

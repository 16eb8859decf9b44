//! Response bodies that a blocking thread writes while the client reads. Only the chunks between the two are in memory,
//! never a study.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Bytes that are sent on at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks between the writer and the client.
const CHUNKS: usize = 4;
/// Bodies that are written at the same time; more wait. Each holds a thread, and the archive needs some too.
static WRITERS: Semaphore = Semaphore::const_new(64);
/// A response ends when its client reads nothing for this long.
const STALL: Duration = Duration::from_mins(1);

/// A piece of a body; nothing, when it is complete.
type Piece = Option<Bytes>;

/// The writing end of a body.
pub(super) struct Sink {
    buffer: BytesMut,
    pieces: mpsc::Sender<Piece>,
}

impl Sink {
    /// Waits until the client has read enough of what was written before.
    fn send(&self, piece: Piece) -> io::Result<()> {
        match Handle::current().block_on(timeout(STALL, self.pieces.send(piece))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.put_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.send(Some(piece))
    }
}

/// A body that `write` fills. If it fails, the connection is aborted: the client must not take a part for the whole. If
/// the client closes the connection, writing ends.
pub(super) fn written(write: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static) -> Body {
    let (pieces, received) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        let Ok(place) = WRITERS.acquire().await else { return };
        let writing = tokio::task::spawn_blocking(move || {
            let mut sink = Sink { buffer: BytesMut::with_capacity(CHUNK), pieces };
            write(&mut sink).and_then(|()| sink.flush()).and_then(|()| sink.send(None))
        });
        match writing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a response was aborted"),
            Err(error) => tracing::error!(%error, "a response ended by a fault of this program"),
        }
        drop(place);
    });
    // Compression polls again after the end, where `unfold` alone would panic.
    let pieces = stream::unfold(Some(received), |received| async move {
        let mut received = received?;
        match received.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(received))),
            Some(None) => None,
            None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
        }
    });
    Body::from_stream(pieces.fuse())
}

/// The parts of a `multipart/related` body.
pub(super) struct Multipart {
    boundary: String,
    payload: &'static str,
}

impl Multipart {
    /// Parts of one media type, separated by a random boundary.
    pub(super) fn new(payload: &'static str) -> Self {
        Self { boundary: format!("pe-node-{:032x}", rand::random::<u128>()), payload }
    }

    /// The Content-Type of the whole.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/related; type=\"{}\"; boundary=\"{}\"", self.payload, self.boundary)
    }

    /// Ends the part before, if there is one, and begins the next. Its content follows. A transfer syntax is named for what
    /// has one.
    pub(super) fn begin_part(
        &self,
        sink: &mut impl Write,
        transfer_syntax_uid: &str,
        location: &str,
    ) -> io::Result<()> {
        sink.write_all(self.head(transfer_syntax_uid, location).as_bytes())
    }

    /// Ends the body.
    pub(super) fn end(&self, sink: &mut impl Write) -> io::Result<()> {
        sink.write_all(self.tail().as_bytes())
    }

    fn head(&self, transfer_syntax_uid: &str, location: &str) -> String {
        let Self { boundary, payload } = self;
        let syntax = match transfer_syntax_uid {
            "" => String::new(),
            uid => format!("; transfer-syntax={uid}"),
        };
        format!("\r\n--{boundary}\r\nContent-Type: {payload}{syntax}\r\nContent-Location: {location}\r\n\r\n")
    }

    fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}

/// A part of an answer, before it is written.
pub(super) struct Part<C> {
    /// Empty for what has none.
    pub(super) transfer_syntax_uid: String,
    pub(super) location: String,
    /// Bytes of the content, where they are known before it is written.
    pub(super) length: Option<u64>,
    pub(super) content: C,
}

/// A `multipart/related` answer of parts that are known, with a Content-Length where all of theirs are. `write` writes the
/// content of one.
pub(super) fn parts<C: Send + 'static>(
    payload: &'static str,
    parts: Vec<Part<C>>,
    mut write: impl FnMut(C, &mut Sink) -> io::Result<()> + Send + 'static,
) -> Response {
    let multipart = Multipart::new(payload);
    let content_type = [(header::CONTENT_TYPE, multipart.content_type())];
    let lengths = parts.iter().map(|part| {
        let head = multipart.head(&part.transfer_syntax_uid, &part.location);
        Some(head.len() as u64 + part.length?)
    });
    let length = lengths.sum::<Option<u64>>().map(|length| length + multipart.tail().len() as u64);
    let body = written(move |sink| {
        for part in parts {
            multipart.begin_part(sink, &part.transfer_syntax_uid, &part.location)?;
            write(part.content, sink)?;
        }
        multipart.end(sink)
    });
    with_length((content_type, body).into_response(), length)
}

/// An answer with a Content-Length, where it is known.
pub(super) fn with_length(mut response: Response, length: Option<u64>) -> Response {
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: Body) -> Result<Bytes, axum::Error> {
        axum::body::to_bytes(body, usize::MAX).await
    }

    #[tokio::test]
    async fn what_is_written_is_the_body() {
        let text = "0123456789".repeat(100_000);
        let copy = text.clone();
        let body = written(move |sink| sink.write_all(copy.as_bytes()));
        assert_eq!(read(body).await.expect("whole"), text);
    }

    #[tokio::test]
    async fn a_body_that_is_not_whole_never_ends_well() {
        let broken = written(|sink| {
            sink.write_all(b"half of it")?;
            Err(io::ErrorKind::NotFound.into())
        });
        assert!(read(broken).await.is_err());
        let panicked = written(|_| panic!("a fault"));
        assert!(read(panicked).await.is_err());
    }
}

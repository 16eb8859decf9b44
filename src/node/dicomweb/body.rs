//! Response bodies that are written by a blocking thread while the client reads: a study is never in memory, only what
//! lies between the two.

use std::io::{self, Write};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use tokio::sync::mpsc;

/// Bytes that are sent on at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks between the writer and the client.
const CHUNKS: usize = 4;

/// The writing end of a body.
pub(super) struct Sink {
    buffer: BytesMut,
    chunks: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.put_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Waits until the client has taken enough of what was written before.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.chunks.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A body that `write` fills. If it fails, the connection breaks off, so that the client does not take what came for
/// the whole; a client that went away ends the writing.
pub(super) fn written(write: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static) -> Body {
    let (chunks, received) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut sink = Sink { buffer: BytesMut::with_capacity(CHUNK), chunks };
        match write(&mut sink).and_then(|()| sink.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                tracing::error!(%error, "a response broke off");
                let _ = sink.chunks.blocking_send(Err(error));
            }
            _ => {}
        }
    });
    Body::from_stream(stream::unfold(received, |mut received| async move {
        received.recv().await.map(|chunk| (chunk, received))
    }))
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

    /// Ends the part before, if there is one, and begins the next. Its content follows.
    pub(super) fn begin_part(
        &self,
        sink: &mut impl Write,
        transfer_syntax_uid: &str,
        location: &str,
    ) -> io::Result<()> {
        let Self { boundary, payload } = self;
        write!(sink, "\r\n--{boundary}\r\nContent-Type: {payload}")?;
        if !transfer_syntax_uid.is_empty() {
            write!(sink, "; transfer-syntax={transfer_syntax_uid}")?;
        }
        write!(sink, "\r\nContent-Location: {location}\r\n\r\n")
    }

    /// Ends the body.
    pub(super) fn end(&self, sink: &mut impl Write) -> io::Result<()> {
        write!(sink, "\r\n--{}--\r\n", self.boundary)
    }
}

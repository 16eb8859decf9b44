//! A TCP connection that carries PDUs, for the accepting side.

use std::io::Cursor;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use dicom_ul::Pdu;
use dicom_ul::pdu::{ReadError, WriteError, read_pdu, write_pdu};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::association_request::{self, AssociationRequest, RequestError};

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 << 10;

/// Type, a reserved byte and the length (PS3.8 9.3.1).
const PDU_HEADER: usize = 6;

/// Time for the association request once a connection is open (the ARTIM timer of PS3.8 9.1.5).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the peer closed the connection without releasing the association")]
    Closed,
    #[error("nothing came for {0:?} (dicom.idle_timeout_seconds)")]
    Idle(Duration),
    #[error("no association request came within {0:?} of the connection")]
    Silent(Duration),
    #[error("the network: {0}")]
    Network(#[from] std::io::Error),
    #[error("the first PDU is no association request")]
    NoRequest,
    #[error("the association request has {0} bytes; dicom.maximum_pdu_bytes allows fewer")]
    LongRequest(u32),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("a PDU cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("a PDU cannot be written: {0}")]
    Write(#[from] WriteError),
}

/// A connection with limits.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    maximum_pdu: u32,
    timeout: Duration,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, maximum_pdu: u32, timeout: Duration) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set; answers may be slow");
        }
        Self { stream, buffer: BytesMut::new(), maximum_pdu, timeout }
    }

    /// The next PDU; its length is checked before its bytes are read. Nothing is lost when this is dropped.
    pub(super) async fn receive(&mut self) -> Result<Pdu, ConnectionError> {
        loop {
            let mut unread = Cursor::new(&self.buffer[..]);
            if let Some(pdu) = read_pdu(&mut unread, self.maximum_pdu, true)? {
                let length = unread.position() as usize;
                self.buffer.advance(length);
                return Ok(pdu);
            }
            self.read_more().await?;
        }
    }

    /// The first PDU. It must come soon: before it, the peer is unknown.
    pub(super) async fn receive_request(&mut self) -> Result<AssociationRequest, ConnectionError> {
        let timeout = self.timeout.min(REQUEST_TIMEOUT);
        tokio::time::timeout(timeout, self.receive_request_untimed())
            .await
            .map_err(|_| ConnectionError::Silent(timeout))?
    }

    async fn receive_request_untimed(&mut self) -> Result<AssociationRequest, ConnectionError> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<PDU_HEADER>() {
                let [pdu_type, _, length @ ..] = *header;
                let length = u32::from_be_bytes(length);
                if pdu_type != association_request::PDU_TYPE {
                    return Err(ConnectionError::NoRequest);
                }
                if length > self.maximum_pdu {
                    return Err(ConnectionError::LongRequest(length));
                }
                let end = PDU_HEADER + length as usize;
                if self.buffer.len() >= end {
                    let pdu = self.buffer.split_to(end);
                    return Ok(AssociationRequest::parse(&pdu[PDU_HEADER..])?);
                }
            }
            self.read_more().await?;
        }
    }

    /// Waits for some bytes. Each byte starts the idle timer anew: a large PDU may take its time on a slow line.
    async fn read_more(&mut self) -> Result<(), ConnectionError> {
        self.acknowledge_at_once();
        self.buffer.reserve(READ_BYTES);
        match idle_after(self.timeout, self.stream.read_buf(&mut self.buffer)).await? {
            0 => Err(ConnectionError::Closed),
            _ => Ok(()),
        }
    }

    pub(super) async fn send(&mut self, pdu: &Pdu) -> Result<(), ConnectionError> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu)?;
        let mut unsent = &bytes[..];
        while !unsent.is_empty() {
            match idle_after(self.timeout, self.stream.write(unsent)).await? {
                0 => return Err(ConnectionError::Closed),
                sent => unsent = &unsent[sent..],
            }
        }
        Ok(())
    }

    /// Ends the connection after everything that was sent.
    pub(super) async fn close(mut self) {
        // The peer may be gone already, which is what is wanted.
        let _ = self.stream.shutdown().await;
    }

    /// Senders under Nagle's algorithm hold back the last piece of an object until everything before it is
    /// acknowledged, and Linux delays that by 40 ms: 25 objects a second. The option is not sticky.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(&self.stream).set_tcp_quickack(true) {
            tracing::debug!(%error, "TCP_QUICKACK cannot be set; receiving may be slow");
        }
    }
}

/// Awaits a transfer of bytes for no longer than the idle timeout.
async fn idle_after<T>(
    timeout: Duration,
    transfer: impl Future<Output = std::io::Result<T>>,
) -> Result<T, ConnectionError> {
    Ok(tokio::time::timeout(timeout, transfer).await.map_err(|_| ConnectionError::Idle(timeout))??)
}

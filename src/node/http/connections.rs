//! Connections: accepted up to a limit, given little time for headers, drained on shutdown.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::stall::Unstalled;
use crate::node::shutdown::Shutdown;

/// Connections served at the same time; more wait in the system's backlog.
const MAXIMUM_CONNECTIONS: usize = 512;
/// How long the node waits for clients.
const PATIENCE: Patience = Patience { headers: Duration::from_secs(30), answer: Duration::from_secs(60) };
/// Time for requests in progress once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted: there were no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// The address of this end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAddress(pub(super) SocketAddr);

/// How long a client may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the headers of the next request.
    headers: Duration,
    /// Before it reads more of an answer.
    answer: Duration,
}

/// Serves requests until `shutdown`; then accepts nothing new and returns when those in progress are answered, or
/// after `DRAIN_TIMEOUT`.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(MAXIMUM_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepting => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), shutdown.clone(), PATIENCE);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting an HTTP connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests that did not end in {} s are aborted", DRAIN_TIMEOUT.as_secs());
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: Shutdown, patience: Patience) {
    // Answers are written when they are complete; waiting for more to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let router = router.layer(Extension(ConnectInfo(peer)));
    let router = match stream.local_addr() {
        Ok(local) => router.layer(Extension(LocalAddress(local))),
        Err(_) => router,
    };
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .serve_connection(TokioIo::new(Unstalled::new(stream, patience.answer)), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    use super::*;

    /// A connection over which the client has sent something, and the client's end of it.
    async fn opened(sent: &[u8]) -> (tokio::task::JoinHandle<()>, TcpStream) {
        const QUICK: Patience = Patience { headers: Duration::from_millis(300), answer: Duration::from_millis(300) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let mut client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let (stream, peer) = listener.accept().await.expect("accept");
        let router = Router::new().route("/", get(|| async { vec![0_u8; 64 << 20] }));
        let served = tokio::spawn(connection(stream, peer, router, Shutdown::new(), QUICK));
        client.write_all(sent).await.expect("write");
        (served, client)
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_or_reads_nothing_frees_its_place() {
        for sent in [&b""[..], b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let (served, _client) = opened(sent).await;
            timeout(Duration::from_secs(20), served).await.expect("in time").expect("no fault");
        }
    }
}

//! How slowly a client may send: an upload holds one of the places of `http.maximum_uploads`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use crate::node::http::Problem;

/// The least that must come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes that must come,
    pub(super) bytes: usize,
    /// in this much time spent waiting for them.
    pub(super) patience: Duration,
}

/// About 1 KiB a second, slower than any line that carries images.
pub(super) const PACE: Pace = Pace { bytes: 64 * 1024, patience: Duration::from_secs(60) };

/// The pieces of a body, until it ends or comes too slowly. The end may come after less than the pace asks for.
pub(super) fn paced<E>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    pace: Pace,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    stream::unfold(Some((pieces, pace.patience, 0)), move |state| async move {
        let (mut pieces, patience, before) = state?;
        let began = Instant::now();
        let piece = match timeout(patience, pieces.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => {
                return Some((Err(Problem::BadRequest("the connection broke off".to_owned())), None));
            }
            Err(_) => {
                let Pace { bytes, patience } = pace;
                let slow = format!("the body came too slowly: less than {bytes} bytes in {patience:?} of waiting");
                return Some((Err(Problem::Timeout(slow)), None));
            }
        };
        let come = before + piece.len();
        let next = if come >= pace.bytes {
            (pieces, pace.patience, 0)
        } else {
            (pieces, patience.saturating_sub(began.elapsed()), come)
        };
        Some((Ok(piece), Some(next)))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const QUICK: Pace = Pace { bytes: 4, patience: Duration::from_millis(400) };

    /// One byte a time.
    fn bytes(count: usize, pause: Duration) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from_static(b"x"))
        })
    }

    #[tokio::test]
    async fn a_body_that_trickles_or_stops_is_given_up() {
        let silent = stream::pending::<Result<Bytes, Infallible>>();
        let ended: Vec<_> = paced(silent, QUICK).collect().await;
        assert!(matches!(ended[..], [Err(Problem::Timeout(_))]), "{ended:?}");
        let trickle = Box::pin(bytes(usize::MAX, Duration::from_millis(150)));
        let ended: Vec<_> = paced(trickle, QUICK).collect().await;
        assert!(ended.len() <= 4 && matches!(ended.last(), Some(Err(Problem::Timeout(_)))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_steady_body_takes_as_long_as_it_takes() {
        let steady = Box::pin(bytes(30, Duration::from_millis(25)));
        let ended: Vec<_> = paced(steady, QUICK).collect().await;
        assert!(ended.len() == 30 && ended.iter().all(Result::is_ok), "{ended:?}");
    }
}

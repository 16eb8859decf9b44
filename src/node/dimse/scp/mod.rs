//! The service class provider: verification, storage into the archive, query and retrieval, storage commitment.
//!
//! A success of C-STORE is answered after the archive has returned, so what a sender counts as sent is durable. One bad
//! object costs its own status, never the association.

mod association;
mod committing;
mod finding;
mod provider;
mod retrieving;
mod session;
mod storing;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::association::Association;
use self::provider::Provider;
pub use self::provider::Services;
use super::message::Assembler;
use super::negotiation::{self, Refusal};
use crate::node::memory::Budget;
use crate::node::shutdown::Shutdown;

/// How long associations in the middle of a message may take once the node is told to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// Connections that get no place (strangers, and those beyond `dicom.maximum_associations`) and are told so at the same
/// time; any more are closed.
const MAXIMUM_REFUSALS: usize = 64;

/// Serves associations until `shutdown`. Then nothing new is accepted. Each association answers the message that it is
/// receiving, if that ends soon, and is aborted. Then this returns.
pub async fn run(listener: TcpListener, services: Services, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(services.config.maximum_associations));
    let refusals = Arc::new(Semaphore::new(MAXIMUM_REFUSALS));
    let budget = Budget::new(services.limits.object_bytes());
    let provider = Arc::new(Provider::from(services));
    let mut associations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(ended) = associations.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an association ended by a fault of this program");
                }
                continue;
            }
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when associations end.
                tracing::warn!(%error, "a DICOM connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A caller that no entry of dicom.peers can admit takes no place: strangers do not keep the others out.
        let known = negotiation::knows_network(address.ip(), &provider.config);
        if let Some(place) = places.clone().try_acquire_owned().ok().filter(|_| known) {
            let association = Association::new(stream, address, provider.clone(), shutdown.clone());
            let assembler = Assembler::new(budget.clone());
            associations.spawn(async move {
                association.serve(assembler).await;
                drop(place);
            });
        } else if let Ok(place) = refusals.clone().try_acquire_owned() {
            let association = Association::new(stream, address, provider.clone(), shutdown.clone());
            let refusal = if known { Refusal::Busy } else { Refusal::Caller };
            associations.spawn(async move {
                association.refuse(refusal).await;
                drop(place);
            });
        }
    }
    drop(listener);
    let drained = async { while associations.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(associations = associations.len(), "associations were cut off in the middle of a message");
    }
}

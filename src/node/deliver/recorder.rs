//! Outcomes of a batch, recorded as they come.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answers::Answers;
use crate::node::queue::{Delivery, DeliveryOutcome, DeliveryState};
use crate::node::shutdown::Shutdown;
use crate::node::store::{Store, StoreError};
use crate::node::telemetry::{self, DeliveryEnd};

/// Pause after the queue itself failed.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// Records the outcomes of claimed deliveries.
pub(super) struct Recorder<'a> {
    store: &'a Store,
    due: &'a [Delivery],
    shutdown: &'a Shutdown,
    /// Places in `due` of the objects that are sent, in their order.
    places: Vec<usize>,
    /// Places in `due` of what has no outcome yet.
    unrecorded: BTreeSet<usize>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(store: &'a Store, due: &'a [Delivery], shutdown: &'a Shutdown) -> Self {
        Self { store, due, shutdown, places: Vec::new(), unrecorded: (0..due.len()).collect() }
    }

    /// The next object that is sent is that of this delivery.
    pub(super) fn sends(&mut self, place: usize) {
        self.places.push(place);
    }

    /// Whether a claimed delivery is still to be made. If the queue does not answer it is not made now; it is returned to
    /// the queue with what has no outcome.
    pub(super) async fn is_still_due(&self, place: usize) -> bool {
        let delivery = &self.due[place];
        match self.store.is_still_due(delivery).await {
            Ok(is_due) => is_due,
            Err(error) => {
                tracing::error!(destination = delivery.destination, %error, "an object is not sent before the queue answers");
                false
            }
        }
    }

    /// Records an outcome, however often the queue fails: what is not recorded would count as being sent until the next
    /// start.
    pub(super) async fn record(&mut self, place: usize, outcome: &DeliveryOutcome) {
        while let Err(error) = self.try_record(&self.due[place], outcome).await {
            let destination = &self.due[place].destination;
            if error.is_refusal() {
                tracing::error!(destination, %error, "the end of a delivery is not recorded");
                break;
            }
            if self.shutdown.is_cancelled() {
                return;
            }
            tracing::error!(destination, %error, "recording a delivery; trying again");
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
        self.unrecorded.remove(&place);
    }

    async fn try_record(&self, delivery: &Delivery, outcome: &DeliveryOutcome) -> Result<(), StoreError> {
        let now = self.store.now();
        let end = match outcome {
            Ok(confirmation) => {
                self.store.delivered(delivery, confirmation, now).await?;
                DeliveryEnd::Delivered
            }
            Err(failure) => match self.store.delivery_failed(delivery, failure, now).await? {
                DeliveryState::Failed => DeliveryEnd::Failed,
                _ => DeliveryEnd::Retried,
            },
        };
        telemetry::count_delivery(&delivery.destination, end);
        Ok(())
    }

    /// Returns what has no outcome to the queue.
    pub(super) async fn release_rest(self) {
        for place in self.unrecorded {
            let delivery = &self.due[place];
            if let Err(error) = self.store.release_delivery(delivery, self.store.now()).await {
                let destination = &delivery.destination;
                tracing::error!(destination, %error, "a delivery is released at the next start");
            }
        }
    }
}

impl Answers for Recorder<'_> {
    async fn is_due(&mut self, place: usize) -> bool {
        self.is_still_due(self.places[place]).await
    }

    async fn note(&mut self, place: usize, outcome: DeliveryOutcome) {
        self.record(self.places[place], &outcome).await;
    }
}

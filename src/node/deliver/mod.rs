//! Delivery of results: one loop per destination. A destination that is down or slow delays no other.
//!
//! The queue knows what is pending, when it is due and when it has failed for good; the loops send it.

mod transport;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::transport::Sender;
use crate::config::DestinationConfig;
use crate::dicom::AeTitle;
use crate::dicom::bounded::Limits;
use crate::node::archive::{Archive, Scope, StoredInstance};
use crate::node::dicomweb::client::ClientError;
use crate::node::queue::{Delivery, DeliveryFailure, DeliveryState};
use crate::node::shutdown::Shutdown;
use crate::node::store::{Store, StoreError};
use crate::node::telemetry::{self, DeliveryEnd};

/// Objects sent in one association or request.
const BATCH: u32 = 64;
/// The longest sleep between looks at the queue; changes of the queue end it sooner.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// Pause after the queue itself failed.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);
/// Retries wait up to this much longer than the queue asks: destinations that went down together are not all called at
/// the same moment.
const LONGEST_JITTER_MILLISECONDS: u64 = 2000;
/// How long a batch that is under way may take once the node is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why deliveries cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("destination `{destination}`: {source}")]
pub struct DeliverError {
    destination: String,
    source: ClientError,
}

/// What deliveries work with.
#[derive(Clone)]
pub struct Services {
    /// This node's AE title.
    pub calling: AeTitle,
    /// `[limits]`
    pub limits: Limits,
    /// Where results lie.
    pub archive: Archive,
    /// What is pending.
    pub store: Store,
}

/// The loops of all destinations, not yet running.
pub struct Deliveries {
    loops: Vec<Loop>,
}

impl Deliveries {
    /// Prepares a loop for each destination.
    pub fn new(destinations: &[DestinationConfig], services: &Services) -> Result<Self, DeliverError> {
        let loops = destinations
            .iter()
            .map(|destination| {
                let sender = Sender::new(&destination.transport, &services.calling, services.limits)
                    .map_err(|source| DeliverError { destination: destination.name.clone(), source })?;
                Ok(Loop { name: destination.name.clone(), sender, services: services.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { loops })
    }

    /// Delivers until `shutdown`, then finishes what is under way or returns it to the queue.
    pub async fn run(self, shutdown: Shutdown) {
        let supervisors = self.loops.into_iter().map(|each| supervise(Arc::new(each), shutdown.clone()));
        futures_util::future::join_all(supervisors).await;
    }
}

/// Runs a loop until `shutdown`, and again when it ends by a fault of this program: nobody would notice otherwise that
/// a destination gets nothing any more.
async fn supervise(each: Arc<Loop>, shutdown: Shutdown) {
    while let Err(error) = tokio::spawn(Arc::clone(&each).run(shutdown.clone())).await {
        tracing::error!(destination = each.name, %error, "deliveries ended by a fault of this program and begin again");
        tokio::time::sleep(QUEUE_PAUSE).await;
        if let Err(error) = each.services.store.requeue_abandoned_deliveries(&each.name, Timestamp::now()).await {
            tracing::error!(destination = each.name, %error, "what was being sent is sent again after a restart");
        }
    }
}

struct Loop {
    name: String,
    sender: Sender,
    services: Services,
}

impl Loop {
    async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut changes = self.services.store.changes();
        while !shutdown.is_cancelled() {
            // What changes from here on ends the sleep below.
            changes.mark_unchanged();
            let sleep = match self.step(&shutdown).await {
                Ok(Some(sleep)) => sleep,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(destination = self.name, %error, "deliveries wait for the queue");
                    QUEUE_PAUSE
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Sends what is due. Returns how long there is nothing to do, if there was nothing.
    async fn step(&self, shutdown: &Shutdown) -> Result<Option<Duration>, StoreError> {
        let store = &self.services.store;
        let now = Timestamp::now();
        let due = store.claim_due(&self.name, BATCH, now).await?;
        if due.is_empty() {
            let next = store.next_delivery_due(&self.name).await?;
            let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
            return Ok(Some(wait.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(50), LONGEST_SLEEP)));
        }
        let out_of_time = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            outcomes = self.attempt(&due) => {
                for (delivery, outcome) in due.iter().zip(outcomes) {
                    self.record_in_any_case(delivery, &outcome, shutdown).await?;
                }
            }
            () = out_of_time => {
                for delivery in &due {
                    store.release_delivery(delivery, Timestamp::now()).await?;
                }
            }
        }
        Ok(None)
    }

    /// Sends a batch, after a pause of random length if it is not the first attempt.
    async fn attempt(&self, due: &[Delivery]) -> Vec<Result<(), DeliveryFailure>> {
        if due.iter().any(|delivery| delivery.attempts > 1) {
            let jitter = rand::random_range(0..LONGEST_JITTER_MILLISECONDS);
            tokio::time::sleep(Duration::from_millis(jitter)).await;
        }
        self.send(due).await
    }

    /// Records an outcome, however often the queue fails: what is not recorded would count as being sent until the
    /// next start.
    async fn record_in_any_case(
        &self,
        delivery: &Delivery,
        outcome: &Result<(), DeliveryFailure>,
        shutdown: &Shutdown,
    ) -> Result<(), StoreError> {
        while let Err(error) = self.record(delivery, outcome).await {
            if error.is_refusal() {
                tracing::error!(destination = self.name, %error, "the end of a delivery is not recorded");
                return Ok(());
            }
            if shutdown.is_cancelled() {
                return Err(error);
            }
            tracing::error!(destination = self.name, %error, "recording a delivery; trying again");
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
        Ok(())
    }

    /// Sends a batch; one outcome per delivery, in order.
    async fn send(&self, due: &[Delivery]) -> Vec<Result<(), DeliveryFailure>> {
        let mut outcomes = vec![Ok(()); due.len()];
        let mut places = Vec::new();
        let mut objects = Vec::new();
        for (place, delivery) in due.iter().enumerate() {
            match self.find(delivery).await {
                Ok(object) => {
                    places.push(place);
                    objects.push(object);
                }
                Err(failure) => outcomes[place] = Err(failure),
            }
        }
        if !objects.is_empty() {
            for (place, outcome) in places.into_iter().zip(self.sender.send(&objects).await) {
                outcomes[place] = outcome;
            }
        }
        outcomes
    }

    async fn find(&self, delivery: &Delivery) -> Result<StoredInstance, DeliveryFailure> {
        let scope = Scope::Instance(
            delivery.series.study_instance_uid.clone(),
            delivery.series.series_instance_uid.clone(),
            delivery.sop_instance_uid.clone(),
        );
        let found = self
            .services
            .archive
            .instances(&scope)
            .await
            // Neither the destination nor the object is at fault.
            .map_err(|error| DeliveryFailure::Destination(error.to_string()))?;
        let lost = || DeliveryFailure::Object("the archive no longer has the object".to_owned());
        found.into_iter().next().ok_or_else(lost)
    }

    async fn record(&self, delivery: &Delivery, outcome: &Result<(), DeliveryFailure>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let end = match outcome {
            Ok(()) => {
                self.services.store.delivered(delivery, now).await?;
                DeliveryEnd::Delivered
            }
            Err(failure) => match self.services.store.delivery_failed(delivery, failure, now).await? {
                DeliveryState::Failed => DeliveryEnd::Failed,
                _ => DeliveryEnd::Retried,
            },
        };
        telemetry::count_delivery(&self.name, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

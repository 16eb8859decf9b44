//! Delivery of results: one loop a destination, so that one that is down or slow delays no other.
//!
//! The queue knows what is owed, when it is due and when it has failed for good; this sends it.

mod transport;

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use self::transport::{Courier, Parcel};
use crate::config::DestinationConfig;
use crate::dicom::AeTitle;
use crate::dicom::bounded::Limits;
use crate::node::archive::{Archive, Scope};
use crate::node::dicomweb::client::ClientError;
use crate::node::queue::{Delivery, DeliveryState, Queue, QueueError};
use crate::node::shutdown::Shutdown;
use crate::node::telemetry;

/// Objects sent in one association or request.
const BATCH: u32 = 64;
/// The longest sleep between looks at the queue; changes of the queue end it sooner.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// Pause after the queue itself failed.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);
/// Retries wait up to so much longer than the queue asks, so that destinations that went down together are not
/// called upon in step.
const LONGEST_JITTER_MILLISECONDS: u64 = 2000;
/// What a batch that is under way may take once the node is told to stop.
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
    /// What is owed.
    pub queue: Queue,
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
                let courier = Courier::new(&destination.transport, &services.calling, services.limits)
                    .map_err(|source| DeliverError { destination: destination.name.clone(), source })?;
                Ok(Loop { name: destination.name.clone(), courier, services: services.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { loops })
    }

    /// Delivers until `shutdown`, then ends or gives back what is under way.
    pub async fn run(self, shutdown: Shutdown) {
        let mut tasks = JoinSet::new();
        for each in self.loops {
            tasks.spawn(each.run(shutdown.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "deliveries to a destination ended by a fault of this program");
            }
        }
    }
}

struct Loop {
    name: String,
    courier: Courier,
    services: Services,
}

impl Loop {
    async fn run(self, shutdown: Shutdown) {
        let mut changes = self.services.queue.changes();
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
    async fn step(&self, shutdown: &Shutdown) -> Result<Option<Duration>, QueueError> {
        let queue = &self.services.queue;
        let now = Timestamp::now();
        let due = queue.claim_due(&self.name, BATCH, now).await?;
        if due.is_empty() {
            let next = queue.next_delivery_due(&self.name).await?;
            let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
            return Ok(Some(wait.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(50), LONGEST_SLEEP)));
        }
        let attempt = async {
            if due.iter().any(|delivery| delivery.attempts > 1) {
                let jitter = rand::random_range(0..LONGEST_JITTER_MILLISECONDS);
                tokio::time::sleep(Duration::from_millis(jitter)).await;
            }
            self.send(&due).await
        };
        let out_of_time = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let outcomes = tokio::select! {
            outcomes = attempt => outcomes,
            () = out_of_time => {
                for delivery in &due {
                    queue.delivery_given_back(delivery, Timestamp::now()).await?;
                }
                return Ok(None);
            }
        };
        for (delivery, outcome) in due.iter().zip(outcomes) {
            self.record(delivery, outcome).await?;
        }
        Ok(None)
    }

    /// Sends a batch; one outcome a delivery, in order.
    async fn send(&self, due: &[Delivery]) -> Vec<Result<(), String>> {
        let mut outcomes = vec![Ok(()); due.len()];
        let mut places = Vec::new();
        let mut parcels = Vec::new();
        for (place, delivery) in due.iter().enumerate() {
            match self.find(delivery).await {
                Ok(parcel) => {
                    places.push(place);
                    parcels.push(parcel);
                }
                Err(reason) => outcomes[place] = Err(reason),
            }
        }
        if !parcels.is_empty() {
            for (place, outcome) in places.into_iter().zip(self.courier.send(&parcels).await) {
                outcomes[place] = outcome;
            }
        }
        outcomes
    }

    async fn find(&self, delivery: &Delivery) -> Result<Parcel, String> {
        let scope = Scope::Instance(
            delivery.study_instance_uid.clone(),
            delivery.series_instance_uid.clone(),
            delivery.sop_instance_uid.clone(),
        );
        let found = self.services.archive.instances(&scope).await.map_err(|error| error.to_string())?;
        found.into_iter().next().ok_or_else(|| "the archive no longer has the object".to_owned())
    }

    async fn record(&self, delivery: &Delivery, outcome: Result<(), String>) -> Result<(), QueueError> {
        let now = Timestamp::now();
        let name = match outcome {
            Ok(()) => {
                self.services.queue.delivered(delivery, now).await?;
                "delivered"
            }
            Err(reason) => match self.services.queue.delivery_failed(delivery, &reason, now).await? {
                DeliveryState::DeadLetter => "dead",
                _ => "retried",
            },
        };
        telemetry::count_delivery(&self.name, name);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

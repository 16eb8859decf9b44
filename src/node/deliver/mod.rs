//! Delivery of results: one loop per destination. A destination that is down or slow delays no other.
//!
//! The queue knows what is pending, when it is due and when it has failed for good; the loops send it.

mod answers;
mod dicom;
mod recorder;
mod stow;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::dicom::DicomSender;
use self::recorder::Recorder;
use self::transport::Sender;
use crate::config::DestinationConfig;
use crate::dicom::bounded::Limits;
use crate::dicom::{AeTitle, Uid};
use crate::node::archive::{Archive, ArchiveError, Scope, StoredInstance};
use crate::node::dicomweb::client::ClientError;
use crate::node::queue::{Delivery, DeliveryFailure};
use crate::node::shutdown::Shutdown;
use crate::node::store::{Store, StoreError};

/// Objects sent in one association or request.
const BATCH: u32 = 64;
/// The longest sleep between looks at the queue; changes of the queue end it sooner.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// Pause after the queue itself failed.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);
/// Retries wait up to this much longer than the queue asks: destinations that went down together are not all called at
/// the same moment.
const LONGEST_JITTER_MILLISECONDS: u64 = 2000;
/// Objects of one request for commitment.
const COMMITMENT_BATCH: u32 = 256;
/// When a destination is asked again to commit to what it has not answered about.
const COMMITMENT_PATIENCE: Duration = Duration::from_hours(1);
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
        if let Err(error) =
            each.services.store.requeue_abandoned_deliveries(&each.name, each.services.store.now()).await
        {
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
        let now = store.now();
        let due = store.claim_due(&self.name, BATCH, now).await?;
        if due.is_empty() {
            if self.ask_to_commit(shutdown, now).await? {
                return Ok(None);
            }
            let next = store.next_delivery_due(&self.name).await?;
            let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
            return Ok(Some(wait.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(50), LONGEST_SLEEP)));
        }
        let out_of_time = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let mut recorder = Recorder::new(store, &due, shutdown);
        tokio::select! {
            () = self.attempt(&due, &mut recorder) => {}
            () = out_of_time => {}
        }
        recorder.release_rest().await;
        Ok(None)
    }

    /// Sends a batch, after a pause of random length if it is not the first attempt.
    async fn attempt(&self, due: &[Delivery], recorder: &mut Recorder<'_>) {
        if due.iter().any(|delivery| delivery.attempts > 1) {
            let jitter = rand::random_range(0..LONGEST_JITTER_MILLISECONDS);
            tokio::time::sleep(Duration::from_millis(jitter)).await;
        }
        let mut objects = Vec::new();
        for (place, delivery) in due.iter().enumerate() {
            if !recorder.is_still_due(place).await {
                continue;
            }
            match self.find(delivery).await {
                Ok(object) => {
                    recorder.sends(place);
                    objects.push(object);
                }
                Err(failure) => recorder.record(place, &Err(failure)).await,
            }
        }
        if !objects.is_empty() {
            self.sender.send(&objects, recorder).await;
        }
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
        let object = found.into_iter().next().ok_or_else(lost)?;
        match self.services.archive.check(std::slice::from_ref(&object)).await {
            Ok(()) => Ok(object),
            Err(error @ ArchiveError::Damaged(_)) => Err(DeliveryFailure::Object(error.to_string())),
            Err(error) => Err(DeliveryFailure::Destination(error.to_string())),
        }
    }

    /// Asks the destination to commit to keep what it has confirmed, where the settings say so. Returns whether there
    /// was anything to ask.
    async fn ask_to_commit(&self, shutdown: &Shutdown, now: Timestamp) -> Result<bool, StoreError> {
        let Sender::Dicom(sender) = &self.sender else { return Ok(false) };
        if !sender.asks_for_commitment() {
            return Ok(false);
        }
        tokio::select! {
            asked = self.ask_by(sender, now) => asked,
            () = shutdown.cancelled() => Ok(false),
        }
    }

    async fn ask_by(&self, sender: &DicomSender, now: Timestamp) -> Result<bool, StoreError> {
        let store = &self.services.store;
        let objects = store.uncommitted(&self.name, now - COMMITMENT_PATIENCE, COMMITMENT_BATCH).await?;
        if objects.is_empty() {
            return Ok(false);
        }
        let transaction_uid = Uid::random();
        store.commitment_asked(&self.name, &transaction_uid, &objects, now).await?;
        match sender.request_commitment(&transaction_uid, &objects).await {
            Ok(Some(report)) => store.commitment_reported(&report, store.now()).await.map(drop)?,
            Ok(None) => {
                tracing::info!(destination = self.name, %transaction_uid, "the report of a commitment is awaited");
            }
            Err(error) => tracing::warn!(destination = self.name, %error, "it is asked for commitment again later"),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;

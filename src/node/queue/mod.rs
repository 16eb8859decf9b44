//! The queue: jobs, their results and the deliveries of those, in the archive's database.
//!
//! A job is made once for each series and set of instances. The worker leases it, and a lease dies with the run of the
//! node that took it. The bytes of results are durable before a job is recorded as analysed; then job, results in the
//! archive's index and deliveries change in one transaction, so each job has one result set, nobody sees a part of one,
//! and each result is owed to each destination once.
//!
//! What a candidate model says beside the active ones is kept apart (`shadow`) and touches none of this.
//!
//! A job of a series whose instances have grown since is outdated: it is dropped, begun or not.

mod deliveries;
mod error;
pub mod holdings;
mod job;
mod jobs;
mod shadow;
mod state;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::watch;

use crate::config::{AnalysisConfig, DestinationConfig};
use crate::dicom::Uid;
use crate::node::archive::{Archive, Database};
pub use deliveries::Delivery;
pub use error::QueueError;
pub use job::{Job, JobId, Member, Selection, instances_sha256};
pub use shadow::{Comparison, ShadowCase, ShadowView};
pub use state::{DeliveryFailure, DeliveryState, JobState, backoff};
pub use views::{Counts, DeliveryView, JobView, SeriesProgress, SeriesView, StudyView};

/// The queue; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    database: Database,
    rules: Arc<Rules>,
    changed: watch::Sender<u64>,
}

/// What the settings say about attempts and deliveries.
#[derive(Debug)]
struct Rules {
    /// Attempts a job gets.
    attempts: u32,
    /// How long a lease is good for.
    lease_milliseconds: i64,
    /// When a delivery is given up, by destination.
    destinations: BTreeMap<String, Patience>,
    /// Deliver what a demonstration package made.
    deliver_demonstrations: bool,
    /// Names this run of the node: leases of other runs are void.
    run: String,
}

/// When a delivery to a destination is given up.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Attempts at an object that the destination does not take.
    attempts: u32,
    /// How long a destination may take nothing at all.
    outage: SignedDuration,
}

impl Patience {
    fn of(destination: &DestinationConfig) -> Self {
        let outage = SignedDuration::from_hours(i64::from(destination.give_up_after_hours));
        Self { attempts: destination.attempts, outage }
    }
}

impl Queue {
    /// Opens the queue in the archive's database and takes back what a former run left in progress.
    pub async fn open(
        archive: &Archive,
        analysis: &AnalysisConfig,
        destinations: &[DestinationConfig],
        allow_demonstration: bool,
    ) -> Result<Self, QueueError> {
        let rules = Rules {
            attempts: analysis.attempts.max(1),
            // The worker ends an attempt in time by itself; the lease is for a worker that no longer does.
            lease_milliseconds: (analysis.timeout_seconds as i64 + 60) * 1000,
            destinations: destinations.iter().map(|one| (one.name.clone(), Patience::of(one))).collect(),
            deliver_demonstrations: allow_demonstration,
            run: Uid::random().to_string(),
        };
        let queue =
            Self { database: archive.database().clone(), rules: Arc::new(rules), changed: watch::Sender::new(0) };
        queue.take_back_jobs().await?;
        queue.take_back_deliveries().await?;
        Ok(queue)
    }

    /// Tells of every change of a job or a delivery: wait with `changed()`, then look again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn announce(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;

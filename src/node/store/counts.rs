//! Numbers of studies, objects, jobs and deliveries, for metrics.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;
use strum::VariantArray;

use super::conflicts::ConflictState;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::rows::Columns;
use crate::node::queue::{DeliveryState, JobState};

/// Numbers of studies, objects, jobs and deliveries, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Studies in the archive.
    pub studies: u64,
    /// Series in the archive, results included.
    pub series: u64,
    /// Instances in the archive, results included.
    pub instances: u64,
    /// Objects that came under the identifier of another one, by what became of them.
    pub conflicts: BTreeMap<ConflictState, u64>,
    /// Series whose instances may still arrive.
    pub receiving: u64,
    /// Jobs by state; every state has an entry.
    pub jobs: BTreeMap<JobState, u64>,
    /// Deliveries by destination and state; every configured destination has all states.
    pub deliveries: BTreeMap<String, BTreeMap<DeliveryState, u64>>,
}

impl Store {
    /// Counts everything.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        during("counting", async {
            let row = sqlx::query(
                "SELECT (SELECT COUNT(*) FROM studies) AS studies, (SELECT COUNT(*) FROM series) AS series, \
                 (SELECT COUNT(*) FROM instances) AS instances, \
                 (SELECT COUNT(*) FROM series WHERE assembled_revision < revision AND own_results = 0) AS receiving",
            )
            .fetch_one(self.readers())
            .await?;
            Ok(Counts {
                studies: row.count("studies")?,
                series: row.count("series")?,
                instances: row.count("instances")?,
                conflicts: self.conflicts_by_state().await?,
                receiving: row.count("receiving")?,
                jobs: self.jobs_by_state().await?,
                deliveries: self.deliveries_by_state().await?,
            })
        })
        .await
    }

    async fn conflicts_by_state(&self) -> Result<BTreeMap<ConflictState, u64>, Fault> {
        let mut counts = none_of_each();
        let rows = sqlx::query("SELECT state, COUNT(*) AS objects FROM conflicts GROUP BY state");
        for row in rows.fetch_all(self.readers()).await? {
            counts.insert(row.named("state")?, row.count("objects")?);
        }
        Ok(counts)
    }

    async fn jobs_by_state(&self) -> Result<BTreeMap<JobState, u64>, Fault> {
        let mut counts = none_of_each();
        let rows = sqlx::query("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state");
        for row in rows.fetch_all(self.readers()).await? {
            counts.insert(row.named("state")?, row.count("jobs")?);
        }
        Ok(counts)
    }

    async fn deliveries_by_state(&self) -> Result<BTreeMap<String, BTreeMap<DeliveryState, u64>>, Fault> {
        let configured = self.rules.destinations.keys().map(|name| (name.clone(), none_of_each()));
        let mut counts: BTreeMap<String, BTreeMap<DeliveryState, u64>> = configured.collect();
        let rows = sqlx::query(
            "SELECT destination, state, COUNT(*) AS deliveries FROM deliveries GROUP BY destination, state",
        );
        for row in rows.fetch_all(self.readers()).await? {
            let by_state = counts.entry(row.try_get("destination")?).or_insert_with(none_of_each);
            by_state.insert(row.named("state")?, row.count("deliveries")?);
        }
        Ok(counts)
    }
}

fn none_of_each<State: VariantArray + Ord + Copy>() -> BTreeMap<State, u64> {
    State::VARIANTS.iter().map(|state| (*state, 0)).collect()
}

//! What the settings say about attempts, leases and deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::config::{AnalysisConfig, DestinationConfig};

/// What the settings say about attempts, leases and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Attempts that a job gets.
    pub attempts: u32,
    /// How long a lease is valid.
    pub lease: Duration,
    /// When a delivery is given up, by destination.
    pub destinations: BTreeMap<String, Patience>,
    /// Deliver what a demonstration package made.
    pub deliver_demonstrations: bool,
    /// Let a search list superseded results.
    pub list_superseded: bool,
    /// Destinations that are told by rejection notes which results were replaced.
    pub rejection_notes: BTreeSet<String>,
}

/// When a delivery to a destination is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts at an object that the destination refuses.
    pub attempts: u32,
    /// How long a destination may accept nothing at all.
    pub outage: SignedDuration,
}

impl Patience {
    /// For a destination that the settings no longer name.
    const FORMER_DESTINATION: Self = Self { attempts: 10, outage: SignedDuration::from_hours(24) };

    fn of(destination: &DestinationConfig) -> Self {
        let outage = SignedDuration::from_hours(i64::from(destination.give_up_after_hours));
        Self { attempts: destination.attempts, outage }
    }
}

impl Rules {
    /// The rules of these settings.
    pub fn new(analysis: &AnalysisConfig, destinations: &[DestinationConfig], allow_demonstration: bool) -> Self {
        Self {
            attempts: analysis.attempts.max(1),
            // The worker ends an attempt in time by itself; the lease is for a worker that hangs.
            lease: Duration::from_secs(analysis.timeout_seconds + 60),
            destinations: destinations.iter().map(|one| (one.name.clone(), Patience::of(one))).collect(),
            deliver_demonstrations: allow_demonstration,
            list_superseded: false,
            rejection_notes: destinations
                .iter()
                .filter(|one| one.rejection_notes)
                .map(|one| one.name.clone())
                .collect(),
        }
    }

    /// When a delivery to this destination is given up.
    pub fn patience(&self, destination: &str) -> Patience {
        self.destinations.get(destination).copied().unwrap_or(Patience::FORMER_DESTINATION)
    }
}

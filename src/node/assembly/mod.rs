//! Assembly: finds out when a series is complete and what is to become of it.
//!
//! The interfaces report through [`StoreEvents`] who is connected and what they bring. What has arrived is read from
//! the index, so a restart forgets nothing but the connections, which it ended. Slices that arrive after a series was
//! complete make it incomplete again; once it is complete, it gets a new job with the larger instance set.

mod completeness;
mod selection;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::StudyConfig;
use crate::dicom::SeriesId;
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::shutdown::Shutdown;
use crate::node::store::{Store, StoreError, Stored, UnassembledSeries};
use completeness::{Sender, Spacing, spacing, wait};

/// Pause after an error of the database.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long what is known of a series that is assembled is kept.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Longest sleep, in case an event was missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Assembly; cheap to clone.
#[derive(Clone)]
pub struct Assembly {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    quiet: Duration,
    activity: Mutex<HashMap<SeriesId, Activity>>,
    wake: Notify,
}

/// What is known of a series beyond the index. Its times are no times of day, which can be set.
#[derive(Debug, Clone, Copy)]
struct Activity {
    /// Associations and requests that brought some of it and have not ended.
    feeds: usize,
    /// When one last brought something, or ended, or else when the series was first seen.
    last: Instant,
    /// True as long as nothing of it came in this run of the node.
    left_over: bool,
}

impl Activity {
    fn seen(now: Instant, left_over: bool) -> Self {
        Self { feeds: 0, last: now, left_over }
    }

    fn sender(self) -> Sender {
        match self.feeds {
            1.. => Sender::Connected,
            0 if self.left_over => Sender::CutOff,
            0 => Sender::Left,
        }
    }
}

impl Assembly {
    /// Assembly over a store; nothing happens before [`Assembly::run`].
    pub fn new(store: Store, config: &StudyConfig) -> Self {
        let shared = Shared {
            store,
            quiet: Duration::try_from_secs_f64(config.quiet_seconds).unwrap_or_default(),
            activity: Mutex::default(),
            wake: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Turns complete series into jobs until told to stop.
    pub async fn run(&self, shutdown: Shutdown) {
        // What arrived before the start counts as arriving at the start: senders that a crash cut off may return.
        let mut left_over = true;
        loop {
            let advanced = self.shared.advance(Instant::now(), left_over).await;
            left_over &= advanced.is_err();
            let sleep = match advanced {
                Ok(next) => next.min(LONGEST_SLEEP),
                Err(error) => {
                    tracing::error!(%error, "assembling series; trying again");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}

impl StoreEvents for Assembly {
    fn begin(&self) -> Box<dyn Feed> {
        Box::new(Feeder { shared: Arc::clone(&self.shared), series: HashSet::new() })
    }
}

impl Shared {
    /// Decides on every series that is complete now; returns how long it takes until the next one may be. At the start,
    /// every series is left over from a former run.
    async fn advance(&self, now: Instant, left_over: bool) -> Result<Duration, StoreError> {
        let mut next = Duration::MAX;
        let unassembled = self.store.unassembled().await?;
        self.forget_idle(&unassembled, now);
        for series in &unassembled {
            let activity = *self.activity().entry(series.series.clone()).or_insert(Activity::seen(now, left_over));
            next = next.min(self.advance_series(series, activity, now).await?);
        }
        Ok(next)
    }

    /// Decides on one series if it is complete, and then returns [`Duration::MAX`]; else how long it still has to wait.
    async fn advance_series(
        &self,
        series: &UnassembledSeries,
        activity: Activity,
        now: Instant,
    ) -> Result<Duration, StoreError> {
        let sender = activity.sender();
        let quiet = now.saturating_duration_since(activity.last);
        let remaining = |wait: Duration| wait.checked_sub(quiet).filter(|remaining| !remaining.is_zero());
        // The slices need not be read before the shorter wait, that without a gap, is over.
        if let Some(remaining) = remaining(wait(self.quiet, sender, Spacing::NoGap)) {
            return Ok(remaining);
        }
        let members = self.store.members(&series.series).await?;
        if let Some(remaining) = remaining(wait(self.quiet, sender, spacing(&members))) {
            return Ok(remaining);
        }
        let doubts = self.store.doubts(&series.series).await?;
        let selection = selection::select(&series.modality, &members, doubts);
        self.store.decide(&series.series, series.revision, &selection, self.store.now()).await?;
        Ok(Duration::MAX)
    }

    fn activity(&self) -> std::sync::MutexGuard<'_, HashMap<SeriesId, Activity>> {
        // No code that holds the lock can panic half-way through a change.
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what is known of series that are assembled and whose senders have left.
    fn forget_idle(&self, unassembled: &[UnassembledSeries], now: Instant) {
        let pending: HashSet<&SeriesId> = unassembled.iter().map(|series| &series.series).collect();
        self.activity().retain(|series, activity| {
            let recent = now.saturating_duration_since(activity.last) < REMEMBERED;
            activity.feeds > 0 || recent || pending.contains(series)
        });
    }
}

/// The objects of one association or request. It feeds one study at a time: one that it has left for another is waited for
/// as if the sender had gone, however long the association stays open.
struct Feeder {
    shared: Arc<Shared>,
    /// The series of the present study that it has brought something of.
    series: HashSet<SeriesId>,
}

impl Feeder {
    /// Ends the feeding of some series.
    fn leave(&mut self, is_left: impl Fn(&SeriesId) -> bool) {
        let now = Instant::now();
        let mut activity = self.shared.activity();
        let mut left = false;
        self.series.retain(|key| {
            if !is_left(key) {
                return true;
            }
            if let Some(series) = activity.get_mut(key) {
                series.feeds = series.feeds.saturating_sub(1);
                series.last = now;
            }
            left = true;
            false
        });
        drop(activity);
        if left {
            self.shared.wake.notify_one();
        }
    }
}

impl Feed for Feeder {
    fn stored(&mut self, series: &SeriesId, _stored: Stored) {
        self.leave(|known| known.study_instance_uid != series.study_instance_uid);
        let key = series.clone();
        let now = Instant::now();
        let first = self.series.insert(key.clone());
        let mut activity = self.shared.activity();
        let series = activity.entry(key).or_insert(Activity::seen(now, false));
        *series = Activity { feeds: series.feeds + usize::from(first), last: now, left_over: false };
        drop(activity);
        if first {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.leave(|_| true);
    }
}

#[cfg(test)]
mod tests;

//! The shadow model: it analyses the series that the active models have finished, and its prediction is recorded.
//!
//! It works in the pauses: it starts when no job is due and is stopped as soon as one is, so no exam waits for it. It
//! has a process of its own and writes no object. Its failures affect nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::process::{Launch, Process, ProcessError};
use super::protocol::{Reply, Request, Settings, Setup};
use super::{AFTER_ERROR, LONGEST_SLEEP, WorkerError, WorkerSettings, instances};
use crate::engine::models::PackageId;
use crate::engine::models::activation::ShadowModel;
use crate::engine::models::lineup::{Lineup, Packages};
use crate::engine::pipeline::AnalysisSummary;
use crate::node::archive::{Archive, ArchiveError};
use crate::node::models::Wanted;
use crate::node::shutdown::Shutdown;
use crate::node::store::{ShadowCase, Store, StoreError};
use crate::node::telemetry::{self, ShadowEnd};

/// Pause after a shadow model that does not start.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);

/// The state of the shadow model, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowStatus {
    /// The package.
    pub package: PackageId,
    /// When it became the shadow model.
    pub since: Timestamp,
    /// Why it does not run, if it does not.
    pub error: Option<String>,
}

impl ShadowStatus {
    fn of(model: &ShadowModel, error: Option<String>) -> Self {
        Self { package: model.package.clone(), since: model.since, error }
    }
}

/// The shadow model's own worker.
pub struct Shadow {
    archive: Archive,
    store: Store,
    settings: Settings,
    launch: Launch,
    wanted: watch::Receiver<Wanted>,
    status: watch::Sender<Option<ShadowStatus>>,
}

/// What the loop keeps from one series to the next.
#[derive(Default)]
struct Running {
    /// What the process was started for.
    lineup: Option<Lineup>,
    process: Option<Process>,
    /// After a refusal, when the next start is tried.
    not_before: Option<Instant>,
}

/// Why the shadow model has no prediction for a series. If the model itself failed, that is recorded as its result.
enum NoPrediction {
    /// A job is due, or the node stops: the series is analysed later.
    Interrupted,
    /// The shadow model cannot start.
    Refused(String),
    /// The shadow model failed on this series.
    Failed(String),
    /// The database or the disk.
    Node(WorkerError),
}

impl Shadow {
    /// Prepares the worker of the shadow model; `wanted` says whether there is one.
    pub fn new(
        archive: Archive,
        store: Store,
        settings: &WorkerSettings,
        wanted: watch::Receiver<Wanted>,
    ) -> Result<Self, WorkerError> {
        let launch = Launch::of_this_program(&settings.analysis)?;
        Ok(Self::with(archive, store, settings.child.clone(), launch, wanted))
    }

    /// As [`Shadow::new`], with another program in place of this one.
    pub fn with(
        archive: Archive,
        store: Store,
        settings: Settings,
        launch: Launch,
        wanted: watch::Receiver<Wanted>,
    ) -> Self {
        Self { archive, store, settings, launch, wanted, status: watch::Sender::new(None) }
    }

    /// The state of the shadow model; `None` without one.
    pub fn status(&self) -> watch::Receiver<Option<ShadowStatus>> {
        self.status.subscribe()
    }

    /// Works until `shutdown`. After a fault of this program it starts again: the rest of the node must not stop by it.
    pub async fn run(self, shutdown: Shutdown) {
        let shadow = Arc::new(self);
        while let Err(error) = tokio::spawn(Arc::clone(&shadow).work(shutdown.clone())).await {
            tracing::error!(%error, "the worker of the shadow model ended by a fault of this program and starts again");
            sleep(AFTER_ERROR).await;
        }
    }

    async fn work(self: Arc<Self>, shutdown: Shutdown) {
        let mut changes = self.store.changes();
        let mut wanted = self.wanted.clone();
        let mut running = Running::default();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            let lineup = wanted.borrow_and_update().lineup.clone();
            let rest = self.step(&mut running, &lineup, &shutdown).await.unwrap_or_else(|error| {
                tracing::error!(%error, "the shadow model waits for the queue");
                AFTER_ERROR
            });
            if rest.is_zero() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changes.changed() => {}
                changed = wanted.changed() => match changed {
                    // Tried again at once, even if it is the same model: somebody may have asked for it.
                    Ok(()) => running.not_before = None,
                    Err(_) => shutdown.cancelled().await,
                },
                () = sleep(rest) => {}
            }
        }
    }

    /// If there is a model, a series and a pause, has the model analyse the series and returns zero. Otherwise returns
    /// how long to wait unless something changes.
    async fn step(&self, running: &mut Running, lineup: &Lineup, shutdown: &Shutdown) -> Result<Duration, StoreError> {
        if running.lineup.as_ref() != Some(lineup) {
            *running = Running { lineup: Some(lineup.clone()), ..Running::default() };
        }
        let Some((model, packages)) = lineup.with_shadow() else {
            self.status.send_replace(None);
            return Ok(LONGEST_SLEEP);
        };
        if let Some(rest) = running.not_before.map(|then| then.saturating_duration_since(Instant::now()))
            && !rest.is_zero()
        {
            return Ok(rest);
        }
        running.not_before = None;
        self.announce(model);
        if !self.store.is_idle(self.store.now()).await? {
            return self.until_due().await;
        }
        let Some(case) = self.store.next_shadow_case(model).await? else { return Ok(LONGEST_SLEEP) };
        let analysed = tokio::select! {
            analysed = self.analyse(running, &packages, &case) => analysed,
            () = self.work_for_the_active_models() => Err(NoPrediction::Interrupted),
            () = shutdown.cancelled() => Err(NoPrediction::Interrupted),
        };
        match analysed {
            Ok(summary) => self.record(&case, model, Ok(summary)).await,
            // A signal that stops the node may stop its child at the same time.
            Err(NoPrediction::Failed(_)) if shutdown.is_cancelled() => Ok(Duration::ZERO),
            Err(NoPrediction::Failed(error)) => self.record(&case, model, Err(error)).await,
            Err(NoPrediction::Interrupted) => {
                tracing::debug!(package = %model.package, "the shadow model is interrupted");
                Ok(Duration::ZERO)
            }
            Err(NoPrediction::Refused(error)) => {
                tracing::error!(package = %model.package, error, "the shadow model does not run");
                self.status.send_replace(Some(ShadowStatus::of(model, Some(error))));
                running.not_before = Some(Instant::now() + AFTER_REFUSAL);
                Ok(AFTER_REFUSAL)
            }
            Err(NoPrediction::Node(error)) => {
                tracing::error!(%error, "the shadow model waits for the archive");
                Ok(AFTER_ERROR)
            }
        }
    }

    /// Publishes the state of this model, unless it is published already: that may hold an error.
    fn announce(&self, model: &ShadowModel) {
        self.status.send_if_modified(|shown| {
            let same = |shown: &ShadowStatus| shown.package == model.package && shown.since == model.since;
            let other = !shown.as_ref().is_some_and(same);
            if other {
                *shown = Some(ShadowStatus::of(model, None));
            }
            other
        });
    }

    /// Records the outcome of a series.
    async fn record(
        &self,
        case: &ShadowCase,
        model: &ShadowModel,
        outcome: Result<AnalysisSummary, String>,
    ) -> Result<Duration, StoreError> {
        self.status.send_replace(Some(ShadowStatus::of(model, None)));
        if let Err(error) = &outcome {
            tracing::warn!(job = %case.job, package = %model.package, error, "the shadow model failed");
        }
        telemetry::count_shadow(if outcome.is_ok() { ShadowEnd::Seen } else { ShadowEnd::Failed });
        self.store.record_shadow(case, model, &outcome, self.store.now()).await?;
        Ok(Duration::ZERO)
    }

    /// Has the shadow model analyse a series. Dropped in the middle, its process ends.
    async fn analyse(
        &self,
        running: &mut Running,
        packages: &Packages,
        case: &ShadowCase,
    ) -> Result<AnalysisSummary, NoPrediction> {
        let files = match instances::files(&self.archive, &case.series, &case.instances).await {
            Ok((files, _)) => files,
            Err(error @ (WorkerError::Missing(_) | WorkerError::Archive(ArchiveError::Damaged(_)))) => {
                return Err(NoPrediction::Failed(error.to_string()));
            }
            Err(error) => return Err(NoPrediction::Node(error)),
        };
        let mut process = match running.process.take() {
            Some(process) => process,
            None => self.start(packages).await?,
        };
        let request = Request { job: format!("{} (shadow)", case.job), files, refused: Vec::new(), report: None };
        let reply = process.analyse(&request).await.map_err(|error| NoPrediction::Failed(error.to_string()))?;
        running.process = Some(process);
        match reply {
            Reply::Done { summary, .. } => Ok(*summary),
            Reply::Failed { error } => Err(NoPrediction::Failed(error)),
            other => Err(NoPrediction::Failed(format!("the analysis process answered {other:?} to a series"))),
        }
    }

    async fn start(&self, packages: &Packages) -> Result<Process, NoPrediction> {
        let setup = Setup { settings: self.settings.clone(), packages: packages.clone() };
        let refused = |error: ProcessError| NoPrediction::Refused(error.to_string());
        let process = Process::start(&self.launch, &setup).await.map_err(refused)?;
        tracing::info!(packages = ?packages.ids(), "the shadow model is loaded");
        Ok(process)
    }

    /// Returns as soon as there is something for the active models to do.
    async fn work_for_the_active_models(&self) {
        let mut changes = self.store.changes();
        loop {
            changes.mark_unchanged();
            match self.store.is_idle(self.store.now()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return tracing::error!(%error, "the shadow model waits for the queue"),
            }
            let rest = self.until_due().await.unwrap_or(AFTER_ERROR);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep(rest) => {}
            }
        }
    }

    /// How long until the next job is due, at most the longest sleep.
    async fn until_due(&self) -> Result<Duration, StoreError> {
        let due = self.store.next_due().await?;
        let rest = due.and_then(|due| Duration::try_from(due.duration_since(self.store.now())).ok());
        Ok(rest.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(50), LONGEST_SLEEP))
    }
}

#[cfg(test)]
mod tests;

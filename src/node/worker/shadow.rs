//! The shadow model: it sees the series that the active models are done with, and its prediction is recorded.
//!
//! It works in the pauses: it begins when nothing is to be analysed, and is ended as soon as something is, so that no
//! exam waits for it. It has a process of its own, writes no object, and whatever becomes of it costs nothing else.

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
use crate::engine::models::activation::Candidate;
use crate::engine::models::lineup::{Lineup, Packages};
use crate::engine::pipeline::AnalysisSummary;
use crate::node::archive::Archive;
use crate::node::models::Wanted;
use crate::node::shutdown::Shutdown;
use crate::node::store::{ShadowCase, Store, StoreError};
use crate::node::telemetry::{self, ShadowEnd};

/// Pause after a shadow model that does not start.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);

/// Where the shadow model stands, as the API says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowStatus {
    /// The package.
    pub package: PackageId,
    /// Since when it runs.
    pub since: Timestamp,
    /// Why it does not run, if it does not.
    pub error: Option<String>,
}

impl ShadowStatus {
    fn of(candidate: &Candidate, error: Option<String>) -> Self {
        Self { package: candidate.package.clone(), since: candidate.since, error }
    }
}

/// The shadow model's own worker.
pub struct Shadow {
    archive: Archive,
    queue: Store,
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

/// Why a series was not seen by the shadow model. Where that is the model's doing, it is its result.
enum Unseen {
    /// Something else is to be done: the series is seen later.
    GivenWay,
    /// The shadow model cannot start.
    Refused(String),
    /// The shadow model failed on this series.
    Failed(String),
    /// The database or the disk.
    Node(WorkerError),
}

impl Shadow {
    /// Prepares the worker of the shadow model; whether there is one, `wanted` says.
    pub fn new(
        archive: Archive,
        queue: Store,
        settings: &WorkerSettings,
        wanted: watch::Receiver<Wanted>,
    ) -> Result<Self, WorkerError> {
        let launch = Launch::of_this_program(&settings.analysis)?;
        Ok(Self::with(archive, queue, settings.child.clone(), launch, wanted))
    }

    /// As [`Shadow::new`], with another program in place of this one.
    pub fn with(
        archive: Archive,
        queue: Store,
        settings: Settings,
        launch: Launch,
        wanted: watch::Receiver<Wanted>,
    ) -> Self {
        Self { archive, queue, settings, launch, wanted, status: watch::Sender::new(None) }
    }

    /// Where the shadow model stands; `None` without one.
    pub fn status(&self) -> watch::Receiver<Option<ShadowStatus>> {
        self.status.subscribe()
    }

    /// Works until `shutdown`, and anew after a fault of this program: nothing else may end by it.
    pub async fn run(self, shutdown: Shutdown) {
        let shadow = Arc::new(self);
        while let Err(error) = tokio::spawn(Arc::clone(&shadow).work(shutdown.clone())).await {
            tracing::error!(%error, "the worker of the shadow model ended by a fault of this program and begins anew");
            sleep(AFTER_ERROR).await;
        }
    }

    async fn work(self: Arc<Self>, shutdown: Shutdown) {
        let mut changes = self.queue.changes();
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

    /// Has the shadow model see one series, if there is a model, a series and a pause, and then returns zero; else how
    /// long there is nothing to do unless something changes.
    async fn step(&self, running: &mut Running, lineup: &Lineup, shutdown: &Shutdown) -> Result<Duration, StoreError> {
        if running.lineup.as_ref() != Some(lineup) {
            *running = Running { lineup: Some(lineup.clone()), ..Running::default() };
        }
        let Some((candidate, packages)) = lineup.candidate() else {
            self.status.send_replace(None);
            return Ok(LONGEST_SLEEP);
        };
        if let Some(rest) = running.not_before.map(|then| then.saturating_duration_since(Instant::now()))
            && !rest.is_zero()
        {
            return Ok(rest);
        }
        running.not_before = None;
        self.announce(candidate);
        if !self.queue.is_idle(Timestamp::now()).await? {
            return self.until_due().await;
        }
        let Some(case) = self.queue.next_shadow_case(candidate).await? else { return Ok(LONGEST_SLEEP) };
        let seen = tokio::select! {
            seen = self.see(running, &packages, &case) => seen,
            () = self.work_for_the_active_models() => Err(Unseen::GivenWay),
            () = shutdown.cancelled() => Err(Unseen::GivenWay),
        };
        match seen {
            Ok(summary) => self.record(&case, candidate, Ok(summary)).await,
            // Whoever stops the node may stop its child at the same time.
            Err(Unseen::Failed(_)) if shutdown.is_cancelled() => Ok(Duration::ZERO),
            Err(Unseen::Failed(error)) => self.record(&case, candidate, Err(error)).await,
            Err(Unseen::GivenWay) => {
                tracing::debug!(candidate = %candidate.package, "the shadow model gives way");
                Ok(Duration::ZERO)
            }
            Err(Unseen::Refused(error)) => {
                tracing::error!(candidate = %candidate.package, error, "the shadow model does not run");
                self.status.send_replace(Some(ShadowStatus::of(candidate, Some(error))));
                running.not_before = Some(Instant::now() + AFTER_REFUSAL);
                Ok(AFTER_REFUSAL)
            }
            Err(Unseen::Node(error)) => {
                tracing::error!(%error, "the shadow model waits");
                Ok(AFTER_ERROR)
            }
        }
    }

    /// Shows this candidate, unless it is shown already, with its error if it has one.
    fn announce(&self, candidate: &Candidate) {
        self.status.send_if_modified(|shown| {
            let same = |shown: &ShadowStatus| shown.package == candidate.package && shown.since == candidate.since;
            let other = !shown.as_ref().is_some_and(same);
            if other {
                *shown = Some(ShadowStatus::of(candidate, None));
            }
            other
        });
    }

    /// Records what came of a series.
    async fn record(
        &self,
        case: &ShadowCase,
        candidate: &Candidate,
        outcome: Result<AnalysisSummary, String>,
    ) -> Result<Duration, StoreError> {
        self.status.send_replace(Some(ShadowStatus::of(candidate, None)));
        if let Err(error) = &outcome {
            tracing::warn!(job = %case.job, candidate = %candidate.package, error, "the shadow model failed");
        }
        telemetry::count_shadow(if outcome.is_ok() { ShadowEnd::Seen } else { ShadowEnd::Failed });
        self.queue.record_shadow(case, candidate, &outcome, Timestamp::now()).await?;
        Ok(Duration::ZERO)
    }

    /// Has the shadow model analyse a series. Dropped in the middle, its process ends.
    async fn see(
        &self,
        running: &mut Running,
        packages: &Packages,
        case: &ShadowCase,
    ) -> Result<AnalysisSummary, Unseen> {
        let files = match instances::files(&self.archive, &case.series, &case.instances).await {
            Ok(files) => files,
            Err(error @ WorkerError::Missing(_)) => return Err(Unseen::Failed(error.to_string())),
            Err(error) => return Err(Unseen::Node(error)),
        };
        let mut process = match running.process.take() {
            Some(process) => process,
            None => self.start(packages).await?,
        };
        let request = Request { job: format!("{} (shadow)", case.job), files, report: None };
        let reply = process.analyse(&request).await.map_err(|error| Unseen::Failed(error.to_string()))?;
        running.process = Some(process);
        match reply {
            Reply::Done { summary, .. } => Ok(*summary),
            Reply::Failed { error } => Err(Unseen::Failed(error)),
            other => Err(Unseen::Failed(format!("the analysis process answered {other:?} to a series"))),
        }
    }

    async fn start(&self, packages: &Packages) -> Result<Process, Unseen> {
        let setup = Setup { settings: self.settings.clone(), packages: packages.clone() };
        let refused = |error: ProcessError| Unseen::Refused(error.to_string());
        let process = Process::start(&self.launch, &setup).await.map_err(refused)?;
        tracing::info!(packages = ?packages.ids(), "the shadow model is loaded");
        Ok(process)
    }

    /// Returns as soon as there is something for the active models to do.
    async fn work_for_the_active_models(&self) {
        let mut changes = self.queue.changes();
        loop {
            changes.mark_unchanged();
            match self.queue.is_idle(Timestamp::now()).await {
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
        let due = self.queue.next_due().await?;
        let rest = due.and_then(|due| Duration::try_from(due.duration_since(Timestamp::now())).ok());
        Ok(rest.unwrap_or(LONGEST_SLEEP).clamp(Duration::from_millis(50), LONGEST_SLEEP))
    }
}

#[cfg(test)]
mod tests;

//! The worker: leases a job, has it analysed in a separate process, stores the results, records the end.
//!
//! The analysis runs in a child process of the same binary (`pe-node analyse`) that keeps its models loaded. It is
//! watched from outside, so a crash, a hang or a lack of memory costs one attempt of one job and never the node. If
//! that happens while its models are loaded, no job is at fault and no attempt is counted. It ends when its standard
//! input does: whenever the node ends, and however it ends.
//!
//! Other models take over between two jobs (`succession`); a shadow model runs in the pauses ([`shadow`]).
//!
//! The bytes of results are durable before the job is recorded, and results are listed in the archive together with
//! its end. If the node ends in between, the attempt does not count and no result is visible.

pub mod child;
mod error;
mod instances;
mod process;
pub mod protocol;
mod results;
pub mod shadow;
mod succession;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::config::AnalysisConfig;
use crate::engine::models::lineup::Packages;
use crate::engine::pipeline::{AnalysisSummary, Ending};
use crate::engine::volume::Refused;
use crate::node::archive::{Archive, Unfiled};
use crate::node::models::Wanted;
use crate::node::queue::{Job, JobState};
use crate::node::shutdown::Shutdown;
use crate::node::store::{Store, StoreError};
use crate::node::telemetry::{self, JobEnd};
pub use error::{ResultFault, WorkerError};
use process::Process;
pub use process::{Launch, ProcessError};
use protocol::{Ready, Reply, ReportRequest, Request, Settings, Setup};
use succession::{Succession, Successor};

/// Pause after an error of the database.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Longest sleep, in case an event was missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The sections of the settings that the worker and the shadow model depend on.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The folder for result files on their way into the archive.
    pub folder: PathBuf,
    /// How analysis processes are bounded.
    pub analysis: AnalysisConfig,
    /// What analysis processes depend on.
    pub child: Settings,
}

/// The worker. It starts the analysis process before it claims the first job.
pub struct Worker {
    archive: Archive,
    store: Store,
    setup: Setup,
    launch: Launch,
    folder: PathBuf,
    process: Option<Process>,
    wanted: watch::Receiver<Wanted>,
    analysis: watch::Sender<Analysis>,
}

/// The state of the analysis, for the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Provider and models of the process; `None` while a lost process is not replaced yet.
    pub ready: Option<Ready>,
    /// The packages that analyse exams.
    pub packages: Packages,
    /// Why these are not the ones that were promoted last, if they are not.
    pub refused: Option<String>,
}

/// How an attempt ended, if not by an error.
enum AttemptOutcome {
    Ended(Box<AnalysisSummary>, Vec<Unfiled>),
    /// The node is stopping.
    Interrupted,
}

impl Worker {
    /// Starts the analysis process of this binary and loads the models. If something that the settings ask for is not
    /// available, such as a CUDA device, the error comes here and not in the first job.
    pub async fn start(
        archive: Archive,
        store: Store,
        settings: &WorkerSettings,
        wanted: watch::Receiver<Wanted>,
    ) -> Result<Self, WorkerError> {
        Self::start_with(archive, store, settings, Launch::of_this_program(&settings.analysis)?, wanted).await
    }

    /// As [`Worker::start`], with another program in place of this one.
    pub async fn start_with(
        archive: Archive,
        store: Store,
        settings: &WorkerSettings,
        launch: Launch,
        mut wanted: watch::Receiver<Wanted>,
    ) -> Result<Self, WorkerError> {
        let lineup = wanted.borrow_and_update().lineup.clone();
        let setup = Setup { settings: settings.child.clone(), packages: lineup.packages.clone() };
        let folder = settings.folder.clone();
        empty(&folder)?;
        let process = Process::start(&launch, &setup).await?;
        tracing::info!(provider = process.ready.provider.0, models = ?process.ready.models.ids(), "the analysis is ready");
        let analysis = Analysis { ready: Some(process.ready.clone()), packages: lineup.packages, refused: None };
        let analysis = watch::Sender::new(analysis);
        Ok(Self { archive, store, setup, launch, folder, process: Some(process), wanted, analysis })
    }

    /// The state of the analysis.
    pub fn analysis(&self) -> watch::Receiver<Analysis> {
        self.analysis.subscribe()
    }

    /// Works on jobs until told to stop. A job that is under way then has some seconds to end before it is released.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut changes = self.store.changes();
        let (mut successions, _follower) = self.follow();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            while let Ok(succession) = successions.try_recv() {
                self.succeed(succession).await;
            }
            let step = self.step(&shutdown).await;
            let ready = self.process.as_ref().map(|process| process.ready.clone());
            self.analysis.send_modify(|analysis| analysis.ready = ready);
            let rest = match step {
                Ok(rest) => rest,
                Err(error) => {
                    tracing::error!(%error, "trying again");
                    AFTER_ERROR
                }
            };
            if rest.is_zero() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changes.changed() => {}
                Some(succession) = successions.recv() => self.succeed(succession).await,
                () = sleep(rest.min(LONGEST_SLEEP)) => {}
            }
        }
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts loading other models whenever they are wanted.
    fn follow(&self) -> (mpsc::Receiver<Succession>, AbortOnDropHandle<()>) {
        succession::follow(self.wanted.clone(), self.launch.clone(), self.setup.clone())
    }

    /// Takes over the process with other models, or notes why there is none.
    async fn succeed(&mut self, succession: Succession) {
        let refused = match succession {
            Succession::Loaded(successor) => {
                let Successor { process, setup } = *successor;
                tracing::info!(models = ?process.ready.models.ids(), "these models analyse from now on");
                let packages = setup.packages.clone();
                let ready = Some(process.ready.clone());
                self.setup = setup;
                if let Some(former) = self.process.replace(process) {
                    former.kill().await;
                }
                self.analysis.send_modify(|analysis| (analysis.ready, analysis.packages) = (ready, packages));
                None
            }
            Succession::Refused(reason) => {
                tracing::error!(reason, working = ?self.analysis.borrow().packages.ids(), "the promoted models are refused; the former ones stay active");
                Some(reason)
            }
            Succession::AsBefore => None,
        };
        self.analysis.send_modify(|analysis| analysis.refused = refused);
    }

    /// Does one job if one is due, and then returns zero; else how long until the next one is.
    async fn step(&mut self, shutdown: &Shutdown) -> Result<Duration, StoreError> {
        let now = self.store.now();
        if let Some(job) = self.store.claim(now).await? {
            let outcome = self.attempt(&job, shutdown).await;
            self.record(&job, outcome, shutdown).await?;
            return Ok(Duration::ZERO);
        }
        let due = self.store.next_due().await?;
        let rest = due.map_or(LONGEST_SLEEP, |due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        Ok(rest.max(Duration::from_millis(10)))
    }

    async fn record(
        &mut self,
        job: &Job,
        outcome: Result<AttemptOutcome, WorkerError>,
        shutdown: &Shutdown,
    ) -> Result<(), StoreError> {
        let now = self.store.now();
        match outcome {
            Ok(AttemptOutcome::Ended(summary, objects)) => {
                // Whatever the reason, the lease must not be kept until it runs out.
                match self.store.finish(job, &summary, &objects, now).await {
                    Ok(Some(_)) => telemetry::count_changed_decision(),
                    Ok(None) => {}
                    Err(error) => return self.failed(job, &error.into(), now).await,
                }
                telemetry::count_job(match summary.ending {
                    Ending::Analysed(_) => JobEnd::Analysed,
                    Ending::Rejected(_) => JobEnd::Rejected,
                });
                for (stage, time) in summary.timings.iter() {
                    telemetry::record_stage(stage.into(), time);
                }
            }
            Ok(AttemptOutcome::Interrupted) => self.store.release(job, now).await?,
            // A signal that stops the node may stop its child at the same time: not the job's fault.
            Err(WorkerError::Process(ProcessError::Died(_) | ProcessError::Unable(_))) if shutdown.is_cancelled() => {
                self.store.release(job, now).await?;
            }
            Err(error) => self.failed(job, &error, now).await?,
        }
        Ok(())
    }

    async fn failed(&self, job: &Job, error: &WorkerError, now: Timestamp) -> Result<(), StoreError> {
        if error.is_infrastructure_error() {
            telemetry::count_job(JobEnd::Postponed);
            return self.store.postpone(job, &error.to_string(), now).await;
        }
        let state = self.store.attempt_failed(job, &error.to_string(), now).await?;
        telemetry::count_job(if state == JobState::Failed { JobEnd::Failed } else { JobEnd::Retried });
        Ok(())
    }

    /// Analyses a job's instances and stores the results.
    async fn attempt(&mut self, job: &Job, shutdown: &Shutdown) -> Result<AttemptOutcome, WorkerError> {
        // Results need room too; better to wait for it than to analyse in vain.
        self.archive.check_space().await?;
        let (files, members) = instances::files(&self.archive, &job.series, &job.instances).await?;
        let output = self.folder.join(job.id.to_string());
        empty(&output)?;
        let request = Request {
            job: job.id.to_string(),
            files,
            refused: job.refused.iter().map(Refused::from).collect(),
            report: Some(ReportRequest {
                output: output.clone(),
                instances: members,
                version: job.version,
                issue: job.issue,
                predecessor: job.predecessor.clone(),
                time: job.created_at,
            }),
        };
        let Some(reply) = self.ask(&request, shutdown).await? else { return Ok(AttemptOutcome::Interrupted) };
        let outcome = match reply {
            Reply::Done { summary, files } => {
                let objects =
                    results::keep(&self.archive, &output, &files, summary.results(), &self.setup.settings.limits)
                        .await?;
                Ok(AttemptOutcome::Ended(summary, objects))
            }
            Reply::Failed { error } => Err(WorkerError::Analysis(error)),
            other => Err(WorkerError::Analysis(format!("the analysis process answered {other:?} to a job"))),
        };
        // What remains is removed at the next start.
        let _ = std::fs::remove_dir_all(&output);
        outcome
    }

    /// The process's answer to a request; starts a process if there is none. `None` if the node stops meanwhile.
    async fn ask(&mut self, request: &Request, shutdown: &Shutdown) -> Result<Option<Reply>, ProcessError> {
        let former = self.process.take();
        let answered = async {
            let mut process = match former {
                Some(process) => process,
                None => Process::start(&self.launch, &self.setup).await?,
            };
            let reply = process.analyse(request).await?;
            Ok::<_, ProcessError>((process, reply))
        };
        let drained = async {
            shutdown.cancelled().await;
            sleep(self.launch.drain).await;
        };
        tokio::select! {
            answered = answered => {
                let (process, reply) = answered?;
                self.process = Some(process);
                Ok(Some(reply))
            }
            // The process is dropped with its analysis, and so it is ended.
            () = drained => Ok(None),
        }
    }
}

/// Makes an empty folder, whatever was there before.
fn empty(folder: &Path) -> Result<(), WorkerError> {
    let failed = |action| move |source| WorkerError::Folder { action, path: folder.to_owned(), source };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(failed("emptying the folder"))?;
    }
    std::fs::create_dir_all(folder).map_err(failed("creating the folder"))
}

#[cfg(test)]
mod tests;

//! The worker: leases a job, has it analysed in a process of its own, stores the results, records the end.
//!
//! The analysis runs in a child process of the same binary (`pe-node analyse`) that keeps its models loaded. It is
//! watched from outside, so a crash, a hang or a lack of memory costs one attempt of one job and never the node. It
//! ends when its standard input does, that is, whenever the node ends, however the node ends.
//!
//! The bytes of results are durable before the job is recorded, and results are listed in the archive together with
//! its end. Dying in between costs an attempt that does not count, and leaves no result that anybody could see.

mod process;
pub mod protocol;
mod results;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::Config;
use crate::dicom::Uid;
use crate::engine::pipeline::{Status, Summary};
use crate::node::archive::{Archive, ArchiveError, Scope, Unfiled};
use crate::node::queue::{Job, JobState, Queue, QueueError};
use crate::node::shutdown::Shutdown;
use crate::node::telemetry;
use process::Process;
pub use process::{Launch, ProcessError};
use protocol::{Ready, Reply, Request, Setup};

/// How long a running analysis may go on after the node was told to stop; then it is given back.
const DRAIN: Duration = Duration::from_secs(20);
/// Pause after an error of the database.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Longest sleep, in case an event was missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Why an attempt failed, or the worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The analysis process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The process answered that the analysis failed.
    #[error("{0}")]
    Analysis(String),
    /// Images or results in the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An instance of the job is no longer there.
    #[error("instance {0} is not in the archive any more")]
    Missing(Uid),
    /// A result file is not what it should be.
    #[error("the result file {file} of the analysis: {problem}")]
    Result {
        /// Its name.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder for result files.
    #[error("{action} {path}: {source}", path = path.display())]
    Folder {
        /// What was being done.
        action: &'static str,
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl WorkerError {
    /// True if the fault is the node's own: a full disk, a folder, a process that does not start. It strikes every job
    /// alike and passes when somebody mends it, so no job is given up for it.
    fn is_of_the_node(&self) -> bool {
        matches!(
            self,
            Self::Archive(ArchiveError::Full(_) | ArchiveError::Disk { .. } | ArchiveError::Index { .. })
                | Self::Folder { .. }
                | Self::Process(ProcessError::Start { .. } | ProcessError::Unable(_))
        )
    }
}

/// The worker. It has the analysis process started before it takes the first job.
pub struct Worker {
    archive: Archive,
    queue: Queue,
    setup: Setup,
    launch: Launch,
    folder: PathBuf,
    process: Option<Process>,
    ready: watch::Sender<Option<Ready>>,
}

/// How an attempt ended, if not by an error.
enum Outcome {
    Ended(Box<Summary>, Vec<Unfiled>),
    /// The node is stopping.
    Interrupted,
}

impl Worker {
    /// Starts the analysis process of this binary and loads the models. What the settings ask for and cannot be had,
    /// a CUDA device for instance, is an error here and not in the first job.
    pub async fn start(archive: Archive, queue: Queue, config: &Config) -> Result<Self, WorkerError> {
        let program = std::env::current_exe()
            .map_err(|source| ProcessError::Start { program: PathBuf::from("pe-node"), source })?;
        let launch = Launch {
            program,
            arguments: vec!["analyse".into()],
            timeout: Duration::from_secs(config.analysis.timeout_seconds),
            memory_limit_mib: config.analysis.memory_limit_mib,
            drain: DRAIN,
        };
        Self::start_with(archive, queue, config, launch).await
    }

    /// As [`Worker::start`], with another program in place of this one.
    pub async fn start_with(
        archive: Archive,
        queue: Queue,
        config: &Config,
        launch: Launch,
    ) -> Result<Self, WorkerError> {
        let setup = Setup {
            models: config.models.clone(),
            onnxruntime: config.onnxruntime.clone(),
            limits: config.limits,
            report: config.report.clone(),
            ignore_quality: config.analysis.ignore_quality,
            log: config.log.clone(),
        };
        let folder = config.storage.path.join("work");
        empty(&folder)?;
        let process = Process::start(&launch, &setup).await?;
        let ready = process.ready.clone();
        tracing::info!(provider = ready.provider.0, models = ?names(&ready), "the analysis is ready");
        let ready = watch::Sender::new(Some(ready));
        Ok(Self { archive, queue, setup, launch, folder, process: Some(process), ready })
    }

    /// What runs the networks, and which; `None` from when the analysis process is lost until the next one is ready.
    pub fn ready(&self) -> watch::Receiver<Option<Ready>> {
        self.ready.subscribe()
    }

    /// Works on jobs until told to stop. A job that is under way then has some seconds to end before it is given back.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut changes = self.queue.changes();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            let step = self.step(&shutdown).await;
            self.ready.send_replace(self.process.as_ref().map(|process| process.ready.clone()));
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
                () = sleep(rest.min(LONGEST_SLEEP)) => {}
            }
        }
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Does one job if one is due, and then returns zero; else how long until the next one is.
    async fn step(&mut self, shutdown: &Shutdown) -> Result<Duration, QueueError> {
        let now = Timestamp::now();
        if let Some(job) = self.queue.claim(now).await? {
            let outcome = self.attempt(&job, shutdown).await;
            self.record(&job, outcome, shutdown).await?;
            return Ok(Duration::ZERO);
        }
        let due = self.queue.next_due().await?;
        let rest = due.map_or(LONGEST_SLEEP, |due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        Ok(rest.max(Duration::from_millis(10)))
    }

    async fn record(
        &mut self,
        job: &Job,
        outcome: Result<Outcome, WorkerError>,
        shutdown: &Shutdown,
    ) -> Result<(), QueueError> {
        let now = Timestamp::now();
        match outcome {
            Ok(Outcome::Ended(summary, objects)) => {
                match self.queue.finish(job, &summary, &objects, now).await {
                    Err(error @ QueueError::Conflict { .. }) => return self.failed(job, &error.into(), now).await,
                    ended => ended?,
                }
                telemetry::count_job(match summary.status {
                    Status::Analysed => JobState::Analysed.name(),
                    Status::Rejected => JobState::Rejected.name(),
                });
                for (stage, milliseconds) in &summary.timings_ms {
                    telemetry::record_stage(stage, Duration::from_millis(*milliseconds));
                }
            }
            Ok(Outcome::Interrupted) => self.queue.give_back(job, now).await?,
            // Whoever stops the node may stop its child at the same time: not the job's fault.
            Err(WorkerError::Process(ProcessError::Died(_))) if shutdown.is_cancelled() => {
                self.queue.give_back(job, now).await?;
            }
            Err(error) => self.failed(job, &error, now).await?,
        }
        Ok(())
    }

    async fn failed(&self, job: &Job, error: &WorkerError, now: Timestamp) -> Result<(), QueueError> {
        if error.is_of_the_node() {
            telemetry::count_job("postponed");
            return self.queue.postpone(job, &error.to_string(), now).await;
        }
        let state = self.queue.attempt_failed(job, &error.to_string(), now).await?;
        telemetry::count_job(if state == JobState::Failed { state.name() } else { "retried" });
        Ok(())
    }

    /// Analyses a job's instances and stores the results.
    async fn attempt(&mut self, job: &Job, shutdown: &Shutdown) -> Result<Outcome, WorkerError> {
        // Results need room too; better to wait for it than to analyse in vain.
        self.archive.check_space().await?;
        let files = self.files(job).await?;
        let output = self.folder.join(job.id.to_string());
        empty(&output)?;
        let request = Request {
            job: job.id.to_string(),
            files,
            output: output.clone(),
            instances_sha256: job.instances_sha256.clone(),
            predecessor: job.predecessor.clone(),
            time: job.created_at,
        };
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.launch, &self.setup).await?,
        };
        let analysis = process.analyse(&request);
        let drained = async {
            shutdown.cancelled().await;
            sleep(self.launch.drain).await;
        };
        let reply = tokio::select! {
            reply = analysis => reply?,
            () = drained => {
                process.kill().await;
                return Ok(Outcome::Interrupted);
            }
        };
        self.process = Some(process);
        let outcome = match reply {
            Reply::Done { summary, files } => {
                let objects = results::keep(&self.archive, &output, &files, &summary, &self.setup.limits).await?;
                Ok(Outcome::Ended(summary, objects))
            }
            Reply::Failed { error } => Err(WorkerError::Analysis(error)),
            other => Err(WorkerError::Analysis(format!("the analysis process answered {other:?} to a job"))),
        };
        // What remains is removed at the next start.
        let _ = std::fs::remove_dir_all(&output);
        outcome
    }

    /// The files of a job's instances. Instances that came later are left out.
    async fn files(&self, job: &Job) -> Result<Vec<PathBuf>, WorkerError> {
        let scope = Scope::Series(job.study_instance_uid.clone(), job.series_instance_uid.clone());
        let stored = self.archive.instances(&scope).await?;
        let mut paths: HashMap<Uid, PathBuf> =
            stored.into_iter().map(|instance| (instance.sop_instance_uid, instance.path)).collect();
        let path = |uid: &Uid| paths.remove(uid).ok_or_else(|| WorkerError::Missing(uid.clone()));
        job.instances.iter().map(path).collect()
    }
}

fn names(ready: &Ready) -> Vec<String> {
    ready.models.iter().map(|model| format!("{}/{}", model.name, model.version)).collect()
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

//! The analysis process as seen from the node: started, asked, watched, ended.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{interval, timeout};

use super::protocol::{Ready, Reply, Request, Setup};
use crate::config::AnalysisConfig;
use crate::engine::models::Provider;

/// How often the memory of the process is measured.
const MEMORY_INTERVAL: Duration = Duration::from_millis(250);
/// How long models may take to load.
const SETUP_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a running analysis may go on after the node was told to stop; then its job is released.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the analysis process gave no answer. If it cannot start, the node is at fault; anything else costs one attempt
/// of the job that it had.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started.
    #[error("starting the analysis process {program}: {source}", program = program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It started and says that it cannot work.
    #[error("the analysis cannot start: {0}")]
    Unable(String),
    /// It ended without an answer.
    #[error("the analysis process ended without an answer ({0})")]
    Died(String),
    /// It took too long and was ended.
    #[error("the analysis took longer than {} s (analysis.timeout_seconds) and was ended", .0.as_secs())]
    TimedOut(Duration),
    /// It took too much memory and was ended.
    #[error(
        "the analysis took {used_mib} MiB of memory, more than {limit_mib} MiB (analysis.memory_limit_mib), and was ended"
    )]
    Memory {
        /// What it had.
        used_mib: u64,
        /// What it may have.
        limit_mib: u64,
    },
}

impl ProcessError {
    /// The same error while models are loaded: the process has no job yet that could be at fault.
    pub(super) fn at_start(self) -> Self {
        match self {
            Self::Start { .. } | Self::Unable(_) => self,
            Self::TimedOut(longest) => {
                Self::Unable(format!("its models were not loaded within {} s", longest.as_secs()))
            }
            Self::Died(_) | Self::Memory { .. } => Self::Unable(self.to_string()),
        }
    }
}

/// How the process is started and bounded.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program, usually this one.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Longest time for one answer.
    pub timeout: Duration,
    /// Most memory, in MiB; 0 for no limit.
    pub memory_limit_mib: u64,
    /// How long a running analysis may go on after the node was told to stop; then its job is released.
    pub drain: Duration,
}

impl Launch {
    /// The analysis process of this program, as the settings bound it.
    pub(super) fn of_this_program(config: &AnalysisConfig) -> Result<Self, ProcessError> {
        let program = std::env::current_exe()
            .map_err(|source| ProcessError::Start { program: PathBuf::from("pe-node"), source })?;
        Ok(Self {
            program,
            arguments: vec!["analyse".into()],
            timeout: Duration::from_secs(config.timeout_seconds),
            memory_limit_mib: config.memory_limit_mib,
            drain: DRAIN,
        })
    }
}

/// A running analysis process with its models loaded. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    launch: Launch,
    pub(super) ready: Ready,
}

impl Process {
    /// Starts the process and waits until its models are loaded.
    ///
    /// # Errors
    /// [`ProcessError::Start`] or [`ProcessError::Unable`], whatever happened.
    pub(super) async fn start(launch: &Launch, setup: &Setup) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { program: launch.program.clone(), source };
        let mut child = Command::new(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            // Out of the terminal's reach: Ctrl-C is for the node, which lets the analysis finish.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::Error::other("its pipes are missing")));
        };
        let output = BufReader::new(output).lines();
        let ready = Ready { provider: Provider(String::new()), models: setup.packages.clone() };
        let mut process = Self { child, input, output, launch: launch.clone(), ready };
        process.ready = process.load(setup).await.map_err(ProcessError::at_start)?;
        Ok(process)
    }

    /// Sends the settings and waits until the models are loaded.
    async fn load(&mut self, setup: &Setup) -> Result<Ready, ProcessError> {
        self.send(setup).await?;
        match self.answer(SETUP_TIMEOUT).await? {
            Reply::Ready(ready) => Ok(ready),
            Reply::Unable { reason } => Err(ProcessError::Unable(reason)),
            other => Err(ProcessError::Unable(format!("it answered {other:?} to its settings"))),
        }
    }

    /// Analyses one series. After an error the process cannot be used any more.
    pub(super) async fn analyse(&mut self, request: &Request) -> Result<Reply, ProcessError> {
        self.send(request).await?;
        self.answer(self.launch.timeout).await
    }

    /// Ends the process at once.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "the analysis process could not be ended");
        }
    }

    async fn send(&mut self, message: &impl Serialize) -> Result<(), ProcessError> {
        let mut line = serde_json::to_vec(message).map_err(|error| ProcessError::Died(error.to_string()))?;
        line.push(b'\n');
        let sent = async {
            self.input.write_all(&line).await?;
            self.input.flush().await
        };
        if let Err(error) = sent.await {
            return Err(self.exit_reason(&error.to_string()).await);
        }
        Ok(())
    }

    /// Waits for an answer within time and memory.
    async fn answer(&mut self, longest: Duration) -> Result<Reply, ProcessError> {
        let limit_mib = self.launch.memory_limit_mib;
        let process = self.child.id();
        let watch = async {
            let mut ticks = interval(MEMORY_INTERVAL);
            loop {
                ticks.tick().await;
                let used_mib = process.map_or(0, resident_mib);
                if limit_mib > 0 && used_mib > limit_mib {
                    return used_mib;
                }
            }
        };
        let line = tokio::select! {
            line = timeout(longest, read_reply(&mut self.output)) => line,
            used_mib = watch => return Err(self.end(ProcessError::Memory { used_mib, limit_mib }).await),
        };
        match line {
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Ok(None)) => Err(self.exit_reason("it closed its output").await),
            Ok(Err(error)) => Err(self.exit_reason(&error.to_string()).await),
            Err(_) => Err(self.end(ProcessError::TimedOut(longest)).await),
        }
    }

    async fn end(&mut self, error: ProcessError) -> ProcessError {
        // It ends in any case when the process is dropped.
        let _ = self.child.kill().await;
        error
    }

    /// How the process ended, with its exit status where it has one.
    async fn exit_reason(&mut self, symptom: &str) -> ProcessError {
        let status = timeout(Duration::from_secs(2), self.child.wait()).await;
        ProcessError::Died(match status {
            Ok(Ok(status)) => format!("{symptom}; {status}"),
            _ => symptom.to_owned(),
        })
    }
}

/// Whether the process gets a variable of the environment. Its settings come on standard input; what else the node was
/// given, secrets of destinations among them, is not for a process that reads hostile images.
pub(super) fn is_passed_on(name: &OsStr) -> bool {
    /// Where libraries and temporary files lie, time zone and language, number of threads, devices.
    const NAMES: [&str; 10] = [
        "PATH",
        "LD_LIBRARY_PATH",
        "ORT_DYLIB_PATH",
        "HOME",
        "TMPDIR",
        "TZ",
        "LANG",
        "RAYON_NUM_THREADS",
        "OMP_NUM_THREADS",
        "RUST_BACKTRACE",
    ];
    const PREFIXES: [&str; 3] = ["CUDA_", "NVIDIA_", "LC_"];
    name.to_str().is_some_and(|name| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// The next line that is a reply; anything else that a library may print is passed on to the log.
async fn read_reply(output: &mut Lines<BufReader<ChildStdout>>) -> std::io::Result<Option<Reply>> {
    while let Some(line) = output.next_line().await? {
        if let Ok(reply) = serde_json::from_str(&line) {
            return Ok(Some(reply));
        }
        tracing::debug!(line, "the analysis process printed something else");
    }
    Ok(None)
}

/// Resident memory of a process in MiB, as Linux tells it; 0 where it does not.
fn resident_mib(process: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) else { return 0 };
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = resident.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}

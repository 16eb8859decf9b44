//! The analysis process itself: settings and requests come as JSON lines on standard input, answers go to standard
//! output, logs to standard error. Its other half, in the node, is `process`.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use dicom_object::WriteError;
use jiff::tz::TimeZone;
use rustix::process::{Signal, getpid, kill_process};
use serde::Deserialize;

use super::protocol::{Ready, Reply, ReportRequest, Request, Settings, Setup};
use crate::causes::with_causes;
use crate::engine::analyse::AnalyseError;
use crate::engine::models::Models;
use crate::engine::pipeline::{FindOptions, ReportOptions, SeriesOutcome, find, report};
use crate::engine::report::{ReportError, ResultObject};
use crate::node::telemetry;

/// Why the process ends before its standard input does.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// A line of standard input is not what the node sends.
    #[error("standard input: {0}; this command is for the node's own use")]
    Input(serde_json::Error),
    /// Logging cannot be started.
    #[error(transparent)]
    Log(#[from] telemetry::TelemetryError),
    /// The node does not read answers any more.
    #[error("answering: {0}")]
    Answer(#[from] std::io::Error),
    /// The models cannot be loaded; the node has been told why.
    #[error("the models cannot be loaded: {0}")]
    Unable(String),
}

/// Why one series has no result.
#[derive(Debug, thiserror::Error)]
enum SeriesError {
    #[error(transparent)]
    Analyse(#[from] AnalyseError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("an image was analysed that is of none of the instances of the series")]
    ForeignImage,
    #[error("writing the result {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: Box<WriteError> },
}

/// Serves requests until standard input ends.
///
/// # Errors
/// The node sent something unexpected, or the models cannot be loaded.
pub fn serve() -> Result<(), ChildError> {
    let lines = read_lines();
    let Ok(line) = lines.recv() else { return Ok(()) };
    let Setup { settings, packages } = parse(&line)?;
    telemetry::start_logging(&settings.log)?;
    let mut models = match Models::exactly(&packages, &settings.models, &settings.onnxruntime) {
        Ok(models) => models,
        Err(error) => {
            let reason = with_causes(&error);
            answer(&Reply::Unable { reason: reason.clone() })?;
            return Err(ChildError::Unable(reason));
        }
    };
    answer(&Reply::Ready(Ready { provider: models.provider().clone(), models: models.identities() }))?;
    for line in lines {
        let request: Request = parse(&line)?;
        tracing::debug!(job = request.job, files = request.files.len(), "analysing");
        let reply = analyse(&request, &settings, &mut models)
            .unwrap_or_else(|error| Reply::Failed { error: with_causes(&error) });
        answer(&reply)?;
    }
    Ok(())
}

/// Lines of standard input. When it ends, the node has ended and nobody waits for an answer: this process ends too,
/// even in the middle of an analysis.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
        // At once: exit handlers of libraries whose threads are at work may hang.
        let _ = kill_process(getpid(), Signal::KILL);
    });
    receiver
}

fn analyse(request: &Request, settings: &Settings, models: &mut Models) -> Result<Reply, SeriesError> {
    let options = FindOptions {
        limits: &settings.limits,
        quality: &settings.quality,
        ignore_quality: settings.ignore_quality,
        allow_demonstration: settings.models.allow_demonstration,
        key_slices: settings.report.key_slices,
        refused: &request.refused,
    };
    let mut outcome = find(&request.files, models, &options)?;
    let objects = match &request.report {
        Some(wanted) => make(&mut outcome, wanted, settings)?,
        None => Vec::new(),
    };
    let files = objects.iter().enumerate().map(|(position, object)| file_name(position, object)).collect();
    Ok(Reply::Done { summary: Box::new(outcome.summary(&objects)), files })
}

/// Makes and writes the result objects of a series, if it was analysed.
fn make(
    outcome: &mut SeriesOutcome,
    wanted: &ReportRequest,
    settings: &Settings,
) -> Result<Vec<ResultObject>, SeriesError> {
    let digest = outcome.images_sha256(&wanted.instances).ok_or(SeriesError::ForeignImage)?;
    let options = ReportOptions {
        settings: &settings.report,
        instance_set_digest: &digest,
        version: wanted.version,
        issue: wanted.issue,
        predecessor: wanted.predecessor.as_ref(),
        time: &wanted.time.to_zoned_datetime(TimeZone::system()),
        software_version: env!("CARGO_PKG_VERSION"),
    };
    let objects = report(outcome, &options)?.map_or_else(Vec::new, |results| results.objects);
    for (position, object) in objects.iter().enumerate() {
        write(&wanted.output, &file_name(position, object), object)?;
    }
    Ok(objects)
}

fn file_name(position: usize, object: &ResultObject) -> String {
    format!("{position}-{}.dcm", object.kind)
}

fn write(folder: &Path, file: &str, object: &ResultObject) -> Result<(), SeriesError> {
    let path = folder.join(file);
    object.object.write_to_file(&path).map_err(|source| SeriesError::Write { path, source: Box::new(source) })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, ChildError> {
    serde_json::from_str(line).map_err(ChildError::Input)
}

fn answer(reply: &Reply) -> Result<(), ChildError> {
    let mut line = serde_json::to_vec(reply).map_err(std::io::Error::from)?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line)?;
    Ok(output.flush()?)
}

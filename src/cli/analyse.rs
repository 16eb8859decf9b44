//! `pe-node analyse`: the node's own analysis process. Settings and requests come as JSON lines on standard input,
//! answers go to standard output, logs to standard error. Not for use by hand.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;

use jiff::tz::TimeZone;
use rustix::process::{Signal, getpid, kill_process};

use super::CliError;
use crate::engine::models::Models;
use crate::engine::pipeline::{Options, analyse_series};
use crate::node::telemetry;
use crate::node::worker::protocol::{Ready, Reply, Request, Setup};

/// Serves requests until standard input ends.
pub(super) fn run() -> Result<ExitCode, CliError> {
    let lines = read_lines();
    let Ok(line) = lines.recv() else { return Ok(ExitCode::SUCCESS) };
    let setup: Setup = parse(&line)?;
    telemetry::start_logging(&setup.log).map_err(|error| CliError::Usage(error.to_string()))?;
    let mut models = match Models::exactly(&setup.packages, &setup.models, &setup.onnxruntime) {
        Ok(models) => models,
        Err(error) => {
            let reason = CliError::failed(&error).to_string();
            answer(&Reply::Unable { reason })?;
            return Ok(ExitCode::FAILURE);
        }
    };
    answer(&Reply::Ready(Ready { provider: models.provider().clone(), models: models.identities() }))?;
    for line in lines {
        let request: Request = parse(&line)?;
        tracing::debug!(job = request.job, files = request.files.len(), "analysing");
        let reply =
            analyse(&request, &setup, &mut models).unwrap_or_else(|error| Reply::Failed { error: error.to_string() });
        answer(&reply)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines of standard input. When it ends, the node has ended, and nobody wants an answer any more: so does this
/// process, also in the middle of an analysis.
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

fn analyse(request: &Request, setup: &Setup, models: &mut Models) -> Result<Reply, CliError> {
    let options = Options {
        limits: &setup.limits,
        report: &setup.report,
        ignore_quality: setup.ignore_quality,
        allow_demonstration: setup.models.allow_demonstration,
        instance_set_digest: &request.instances_sha256,
        predecessor: request.predecessor.as_ref(),
        time: &request.time.to_zoned_datetime(TimeZone::system()),
        software_version: env!("CARGO_PKG_VERSION"),
    };
    let result = analyse_series(&request.files, models, &options).map_err(|error| CliError::failed(&error))?;
    let mut summary = result.summary;
    let Some(output) = &request.output else {
        summary.results.clear();
        return Ok(Reply::Done { summary: Box::new(summary), files: Vec::new() });
    };
    let mut files = Vec::with_capacity(result.objects.len());
    for (position, object) in result.objects.iter().enumerate() {
        let file = format!("{position}-{}.dcm", object.kind.name());
        write(output, &file, object)?;
        files.push(file);
    }
    Ok(Reply::Done { summary: Box::new(summary), files })
}

fn write(folder: &Path, file: &str, object: &crate::engine::report::ResultObject) -> Result<(), CliError> {
    let path = folder.join(file);
    object
        .object
        .write_to_file(&path)
        .map_err(|error| CliError::Failed(format!("writing the result {}: {error}", path.display())))
}

fn parse<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Result<T, CliError> {
    serde_json::from_str(line)
        .map_err(|error| CliError::Usage(format!("standard input: {error}; this command is for the node's own use")))
}

fn answer(reply: &Reply) -> Result<(), CliError> {
    let mut line = serde_json::to_vec(reply).map_err(|error| CliError::Failed(format!("answering: {error}")))?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output
        .write_all(&line)
        .and_then(|()| output.flush())
        .map_err(|error| CliError::Failed(format!("answering: {error}")))
}
